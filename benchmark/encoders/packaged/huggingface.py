"""Hugging Face audio models as encoders: ``hf:id[@revision][?layer=7&pool=mean]``, from the hub or a folder.

What a repository holds decides much here, so all of it is looked at before anything runs: code that comes with a model
runs only when the user says so and its revision is pinned; weights that do not fill the network are refused, because
transformers would fill the rest at random.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.encoders.base import Encoder
from benchmark.encoders.fingerprint import describe
from benchmark.encoders.packaged.common import WINDOW_OPTIONS, printing_aside
from benchmark.encoders.packaged.hub_problems import explained
from benchmark.encoders.packaged.hub_weights import Source, load_model
from benchmark.encoders.packaged.huggingface_encoder import HuggingFace, Loaded
from benchmark.encoders.packaged.huggingface_families import Codec, Wave, family_of
from benchmark.encoders.spec import EncoderSpec
from benchmark.encoders.trust import IS_CODE
from benchmark.errors import UserError
from benchmark.system.descriptions import read_description
from benchmark.system.extras import install_command
from tasks.errors import TaskError
from tasks.files import DESCRIPTION, expanded, parse_json, read_text, resolved

#: The files of a folder that transformers reads as JSON; vocabularies, which can be larger, are not among them.
READ = ("*config.json", "*.index.json")
OPTIONS = (*WINDOW_OPTIONS, "layer", "layers_at", "normalize", "pool", "remote_code", "sample_rate")
COMMIT = re.compile(r"[0-9a-f]{40}")

#: What a configuration says of its file and not of the model.
PASSING = ("_name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype")


def open_huggingface(spec: EncoderSpec, home: Path) -> Encoder:  # noqa: ARG001 - the hub has a cache of its own
    """Return the encoder of an audio model of the Hugging Face hub, or of a folder with its files.

    Options: ``layer`` (last, all, or a number), ``pool`` (mean, max, mean_std), ``window`` (seconds or ``track``),
    ``hop``, ``minimum``; ``remote_code=1`` runs code that comes with the model, whose revision must then be a full
    commit; ``layers_at``, ``sample_rate`` and ``normalize`` say what a repository does not.

    Raises:
        UserError: transformers is not installed, the model cannot be had, is of no known family, or needs code that
            was not allowed; or the options do not fit it.
    """
    spec.check_options(OPTIONS)
    transformers = _transformers(spec)
    with printing_aside(), _quiet(transformers):
        return _open(spec, transformers)


def _open(spec: EncoderSpec, transformers: Any) -> Encoder:
    location, local = _place(spec)
    who = repr(spec.text)
    pins = {} if spec.revision is None else {"revision": spec.revision}
    if local:
        _refuse_unreadable(Path(location), who)
    with explained(who, location, spec.revision):
        raw, _ = transformers.PretrainedConfig.get_config_dict(location, **pins)
        commit = None if local else _commit(transformers.utils.cached_file(location, "config.json", **pins))
    if commit is not None:  # a branch may move between two downloads
        pins = {"revision": commit}
    if not raw:
        raise UserError(
            f"{who} has no config.json, so transformers cannot build it",
            "write a plug-in for its package ('bench encoders new')",
        )
    _refuse_kernels(raw, who)
    source = Source(location, local, who, pins, _trusted(spec, raw, local, transformers))
    family = family_of(str(raw.get("model_type")), source.remote, who)
    trust = {"trust_remote_code": source.remote}
    with explained(who, location, spec.revision):
        config = transformers.AutoConfig.from_pretrained(location, **pins, **trust)
    extractor = _extractor(source, family, transformers)
    model, config, found = load_model(source, family, config, transformers)
    weights = hashlib.sha256(json.dumps(_tensors(model), sort_keys=True).encode()).hexdigest()
    loaded = Loaded(
        model=model,
        config=config,
        extractor=extractor,
        target=resolved(Path(location)).name if local else location + _short(spec.revision),
        version=(commit or weights)[:12],
        content=_content(weights, raw, extractor, model if source.remote else None, transformers.__version__),
        remote=source.remote,
        unused=found.unused,
        lacking=found.lacking,
        beyond=found.beyond,
    )
    return family(spec, loaded)


def _transformers(spec: EncoderSpec) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"the encoder {spec.text!r} needs transformers ({error})",
            f"Install it:\n  {install_command('hf')}",
        ) from None
    try:
        transformers.PreTrainedModel  # noqa: B018 - imported at first use
    except (OSError, RuntimeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"transformers cannot be imported here ({reason}): a torchaudio or torchcodec built for another torch "
            "does this, and nothing here needs either",
            "Uninstall them: pip uninstall torchaudio torchcodec torchvision",
        ) from error
    return transformers


def _place(spec: EncoderSpec) -> tuple[str, bool]:
    """Return the folder or the hub id, and whether it is a folder."""
    folder = expanded(spec.target)
    if folder.is_dir():
        if spec.revision is not None:
            raise UserError(f"{spec.target} is a folder, which has no revision", f"leave @{spec.revision} out")
        return str(folder), True
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", spec.target) or spec.target.startswith("."):
        raise UserError(
            f"no folder at {folder}, and {spec.target!r} is no hub id",
            "check the path, or give an id such as facebook/hubert-base-ls960",
        )
    return spec.target, False


def _trusted(spec: EncoderSpec, raw: dict[str, Any], local: bool, transformers: Any) -> bool:
    """Return whether code that came with the model is run: only if the user says so, and knows which.

    Raises:
        UserError: It would have to be and was not allowed, or was allowed without need or without a pinned revision.
    """
    allowed = spec.option("remote_code", bool, default=False)
    who, code = repr(spec.text), raw.get("auto_map") or {}
    is_known = raw.get("model_type") in transformers.CONFIG_MAPPING
    if not code:
        if allowed:
            raise UserError(f"{who} comes without code of its own", "leave remote_code out")
        if not is_known:
            raise UserError(
                f"{who} is of the type {raw.get('model_type')!r}, which transformers {transformers.__version__} does "
                "not know, and comes without code",
                "write a plug-in for its package ('bench encoders new')",
            )
        return False
    if not allowed:
        if is_known:
            return False
        raise UserError(
            f"{who} needs code that comes with it ({', '.join(sorted(map(str, code.values())))}), and {IS_CODE}",
            f"Read it; then allow it with remote_code=1 and the full commit, as {spec.kind}:ID@COMMIT?remote_code=1",
        )
    _refuse_foreign(code, who)
    if not local and not COMMIT.fullmatch(spec.revision or ""):
        raise UserError(
            f"{who} would run code from the hub that can change any day",
            f"pin it by the full commit (40 hex digits), as hf:{spec.target}@COMMIT?remote_code=1, or name a folder "
            "that you downloaded",
        )
    return True


def _extractor(source: Source, family: type[HuggingFace], transformers: Any) -> Any:
    """Return the feature extractor, or ``None`` where the repository has none and the family can do without."""
    names = ("preprocessor_config.json", "processor_config.json")
    with explained(source.who, source.place, source.pins.get("revision")):
        there = [
            transformers.utils.cached_file(
                source.place, name, _raise_exceptions_for_missing_entries=False, **source.pins
            )
            for name in names
        ]
    if not any(there):
        if family is Wave or issubclass(family, Codec):
            return None
        raise UserError(
            f"{source.who} has no preprocessor_config.json, without which its input is not known",
            "download the file of the model that it was made from into the folder, or write a plug-in ('bench "
            "encoders new')",
        )
    if source.remote:
        for file in filter(None, there):
            _refuse_foreign_code(file, source.who)
    with explained(source.who, source.place, source.pins.get("revision")):
        return transformers.AutoFeatureExtractor.from_pretrained(
            source.place, trust_remote_code=source.remote, **source.pins
        )


def _refuse_unreadable(folder: Path, who: str) -> None:
    """Refuse a folder whose JSON transformers would read without bounds: pipes, devices, sizes, depths.

    Raises:
        UserError: One of its files cannot be read, or the folder itself.
    """
    try:
        for file in sorted(file for pattern in READ for file in folder.glob(pattern)):
            read_description(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{who} cannot be opened: {error}", "Download or save the model again") from None


def _refuse_foreign(code: dict[str, Any], who: str) -> None:
    """Refuse code of another repository, which ``auto_map`` names as ``REPOSITORY--MODULE.CLASS``."""
    if any("--" in str(where) for where in code.values()):
        raise UserError(
            f"{who} takes its code from another repository ({', '.join(map(str, code.values()))}), which no revision "
            "of this one pins",
            "download both into one folder and name that",
        )


def _refuse_kernels(raw: Any, who: str) -> None:
    """Refuse a configuration that has attention or the like computed by code of the hub, which it names as OWNER/NAME.

    transformers fetches and runs such code with nobody asked.
    """
    for key, value in raw.items() if isinstance(raw, dict) else ():
        named = [value, *(value.values() if isinstance(value, dict) else ())] if key.endswith("_implementation") else []
        if any(isinstance(text, str) and "/" in text for text in named):
            raise UserError(
                f"{who} asks in its configuration for code from the hub ({key}: {value}), which no commit of it pins",
                "download it into a folder, look at that, and take the key out of its config.json",
            )
        _refuse_kernels(value, who)


def _refuse_foreign_code(file: str, who: str) -> None:
    """Refuse a configuration of the input whose code, or that of a part of it, is of another repository."""
    try:
        raw = parse_json(read_text(Path(file), DESCRIPTION), Path(file))
    except (OSError, TaskError) as error:
        raise UserError(f"{who} cannot be opened: {error}", "Download or save the model again") from error
    for part in (raw, *raw.values()) if isinstance(raw, dict) else ():
        if isinstance(part, dict) and isinstance(code := part.get("auto_map"), dict):
            _refuse_foreign(code, who)


def _tensors(model: Any) -> dict[str, Any]:
    return {name: describe(tensor, name) for name, tensor in [*model.state_dict().items(), *model.named_buffers()]}


def _content(weights: str, raw: dict[str, Any], extractor: Any, remote: Any, version: str) -> str:
    """Return the sha256 of all that makes the numbers, wherever it lay."""
    state = {
        "weights": weights,
        "config": {key: value for key, value in raw.items() if key not in PASSING},
        "extractor": None if extractor is None else extractor.to_dict(),
        "code": None if remote is None else _code(remote, extractor),
        "transformers": ".".join(version.split(".")[:2]),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()


def _code(model: Any, extractor: Any) -> list[str]:
    """Return the digests of the Python files beside those that define model and extractor, where transformers put them.

    An extractor that transformers has itself counts by the version of transformers.
    """
    modules = [type(model).__module__]
    if (defined := type(extractor).__module__).startswith("transformers_modules."):
        modules.append(defined)
    folders = {Path(str(sys.modules[name].__file__)).parent: None for name in modules}
    return [hashlib.sha256(file.read_bytes()).hexdigest() for folder in folders for file in sorted(folder.glob("*.py"))]


def _commit(file: str) -> str | None:
    """Return the commit that a file of the hub's cache is of: its snapshot's name."""
    match = re.search(r"[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]", file)
    return match[1] if match else None


def _short(revision: str | None) -> str:
    if revision is None:
        return ""
    return f"@{revision[:12] if COMMIT.fullmatch(revision) else revision}"


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' warnings and progress bars aside: what matters in them is checked here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
