"""Parsing of encoder names such as ``hf:m-a-p/MERT-v1-95M@0e10b04?layer=7``.

A text is a scheme or none, a target, for some kinds a revision or weights after ``@``, and options after ``?`` as
``k=v&k2=v2``. Nothing is looked up here but whether a text is the path of something that exists.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from benchmark.encoders.options import convert, refuse_unknown, text_of
from benchmark.errors import UserError
from tasks.files import expanded

Kind = Literal["name", "class", "file", "keras", "hear", "hf", "onnx", "torchscript", "emb", "pretrained", "env"]

#: Kinds that are written as ``kind:target``, and an example of each.
SCHEMES: Mapping[str, tuple[str, str]] = {
    "hf": ("hf:facebook/hubert-base-ls960?layer=7", "an audio model of the Hugging Face hub, or of a folder"),
    "hear": ("hear:hearbaseline.naive", "a module with the HEAR functions; weights after @"),
    "onnx": ("onnx:model.onnx?sample_rate=16000&window=3", "an ONNX file from waveforms to embeddings"),
    "torchscript": ("torchscript:model.pt?sample_rate=16000&trust=1", "a TorchScript file, which is code, of the same"),
    "emb": ("emb:features.npz", "embeddings that were computed elsewhere; needs no audio"),
    "pretrained": ("pretrained:runs/mine@20000", "a run of pre-training, at a step"),
    "env": ("env:.venv-old::mine.py:Omar", "an encoder that another interpreter or environment runs"),
}

#: The other kinds, with an example of each.
PLAIN: Mapping[str, tuple[str, str]] = {
    "name": ("logmel", "a built-in encoder, or one that an installed package brings; 'bench encoders' lists them"),
    "class": ("package.module:Class", "a subclass of benchmark.Encoder that can be imported"),
    "file": ("./file.py:Class", "the same in a file; without :Class its only one"),
    "keras": ("model.keras", "a Keras file of the layout of musicset-ularge"),
}

#: What ``@`` means after the target, by kind; for other kinds it is a character like any other.
AFTER_AT: Mapping[str, str] = {"hf": "revision", "pretrained": "revision", "hear": "weights"}

FILE = re.compile(r"(.+\.py)(?::(\w*))?")
KEY = r"[A-Za-z_]\w*"
QUERY = re.compile(rf"\?({KEY}=[^&]*(?:&{KEY}=[^&]*)*)$")
OPTION = re.compile(rf"({KEY})=(.*)", re.DOTALL)


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder as the user named it.

    Attributes:
        text: The text without its options.
        kind: What kind of encoder it is; ``name`` is a built-in or published id or an entry point.
        target: The id, ``module:Class``, path (for ``file`` with ``:Class`` where that was given), hub id or, for
            ``env``, the interpreter.
        revision: What follows ``@`` after a hub id or a run.
        weights: What follows ``@`` after a HEAR module.
        inner: What follows ``::``, without options: the encoder that the interpreter ``target`` is to run.
        options: Options of the query and of ``--encoder-arg``, as texts.
    """

    text: str
    kind: Kind
    target: str
    revision: str | None = None
    weights: str | None = None
    inner: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def check_options(self, allowed: Iterable[str]) -> None:
        """Refuse options that are not among ``allowed``.

        Raises:
            UserError: There are such; they are named with what there is instead.
        """
        refuse_unknown(self.options, allowed, self.text)

    def option(self, key: str, kind: Any, default: Any = None) -> Any:
        """Return the option ``key`` converted to ``kind`` (int, float, bool, str, Path, tuple[int, ...], X | None).

        Raises:
            UserError: Its text is no such value.
        """
        if key not in self.options:
            return default
        return convert(self.options[key], kind, f"the option {key!r} of the encoder {self.text!r}")


def parse(text: str, arguments: Mapping[str, str] | None = None) -> EncoderSpec:
    """Take one encoder text apart.

    Args:
        text: The text, without the commas that separate several encoders.
        arguments: Options of ``--encoder-arg``, added to those of the text.

    Raises:
        UserError: The options of the text are not ``k=v&k2=v2``, an option is there twice with different values, or
            nothing follows a scheme or ``@``.
    """
    bare, options = _without_query(text)
    for key, value in (arguments or {}).items():
        if options.setdefault(key, value) != value:
            raise UserError(
                f"the encoder {text!r} has {key}={options[key]}, but --encoder-arg says {key}={value}",
                "leave one out",
            )
    frozen = MappingProxyType(options)
    scheme, colon, rest = bare.partition(":")
    if colon and scheme == "env":
        target, inner = _interpreter(rest, text)
        return EncoderSpec(bare, "env", target, options=frozen, inner=inner)
    if colon and scheme in SCHEMES:
        target, at = _at(scheme, rest)
        if not target.strip():
            raise UserError(f"nothing follows {scheme + ':'!r} in {text!r}", f"write for instance {SCHEMES[scheme][0]}")
        spec = EncoderSpec(bare, typing.cast(Kind, scheme), target, options=frozen)
        if at is None:
            return spec
        return replace(spec, weights=at) if scheme == "hear" else replace(spec, revision=at)
    if bare.endswith(".keras"):
        return EncoderSpec(bare, "keras", bare, options=frozen)
    if FILE.fullmatch(bare):
        return EncoderSpec(bare, "file", bare, options=frozen)
    return EncoderSpec(bare, "class" if ":" in bare else "name", bare, options=frozen)


def split(text: str) -> list[str]:
    """Split a text at the commas that separate several encoders; those of a path that exists do not."""
    if text.startswith("env:") and "::" in text:
        interpreter, _, inner = text.partition("::")
        if "," not in interpreter or _names_a_file(f"./{interpreter.removeprefix('env:')}"):
            first, *others = split(inner) or [""]
            return [f"{interpreter}::{first}", *others]
    bare = text if _names_a_file(text) else _without_query(text, strict=False)[0]
    before, _, after = bare.partition("@") if bare.startswith("hear:") else bare.rpartition("@")
    paths = [bare, before, *([f"hear:{after}"] if bare.startswith("hear:") else [])]
    whole = bare if any(_names_a_file(path) for path in paths) else ""
    first, *others = text[len(whole) :].split(",")
    return [part.strip() for part in (whole + first, *others) if part.strip()]


def with_paths(text: str, of_target: Callable[[Kind, str], str], of_value: Callable[[str], str]) -> str:
    """Return one encoder text with the paths in it changed.

    Args:
        text: The text.
        of_target: What stands in place of a target (without ``:Class``), given the encoder's kind and the target.
        of_value: What stands in place of weights, or of the value of an option, whether or not it is a path.

    Raises:
        UserError: As :func:`parse`.
    """
    spec = parse(text)
    scheme = f"{spec.kind}:" if spec.kind in SCHEMES else ""
    if spec.kind == "env":
        inner = f"{spec.inner}{text[len(spec.text) :]}"
        return f"{scheme}{of_target(spec.kind, spec.target)}::{with_paths(inner, of_target, of_value)}"
    file = FILE.fullmatch(spec.target) if spec.kind == "file" else None
    target = file[1] if file else spec.target
    after = spec.text[len(scheme) + len(target) :] if spec.weights is None else f"@{of_value(spec.weights)}"
    query = "&".join(f"{key}={of_value(value)}" for key, value in spec.options.items())
    return f"{scheme}{of_target(spec.kind, target)}{after}{query and f'?{query}'}"


def parse_arguments(arguments: Mapping[str, object] | Sequence[str]) -> dict[str, str]:
    """Return the options of ``--encoder-arg``, given as ``k=v`` texts or, from Python, as a mapping.

    Raises:
        UserError: One is not of that form, or a key is there twice with different values.
    """
    pairs: list[tuple[str, str]] = []
    if isinstance(arguments, Mapping):
        pairs = [(key, text_of(value)) for key, value in arguments.items()]
    else:
        for argument in [arguments] if isinstance(arguments, str) else arguments:
            match = OPTION.fullmatch(argument)
            if match is None:
                raise UserError(f"--encoder-arg {argument!r} is not KEY=VALUE", "write it such as layer=7")
            pairs.append((match[1], match[2]))
    options: dict[str, str] = {}
    for key, value in pairs:
        if not re.fullmatch(KEY, key):
            raise UserError(f"{key!r} cannot be the name of an encoder's option", "use letters, digits and _")
        if options.setdefault(key, value) != value:
            raise UserError(f"--encoder-arg says {key}={options[key]} and {key}={value}", "leave one out")
    return options


def _without_query(text: str, *, strict: bool = True) -> tuple[str, dict[str, str]]:
    """Return the text before its query, and the query's options."""
    match = None if _names_a_file(text) else QUERY.search(text)
    if match is None:
        if strict and "?" in text and not _names_a_file(text):
            bare, _, query = text.partition("?")
            raise UserError(
                f"{query!r} after {bare!r} is not KEY=VALUE&KEY2=VALUE2",
                f"write it such as {bare}?layer=7",
            )
        return text, {}
    options: dict[str, str] = {}
    for pair in match[1].split("&"):
        key, _, value = pair.partition("=")
        if options.setdefault(key, value) != value:
            raise UserError(f"the encoder {text!r} says {key}={options[key]} and {key}={value}", "leave one out")
    return text[: match.start()], options


def _names_a_file(text: str) -> bool:
    """Say whether a text, less its scheme and its ``:Class``, is the path of something that exists."""
    if text.startswith("env:") and "::" in text:
        return _names_a_file(text.partition("::")[2])
    scheme, colon, rest = text.partition(":")
    target = rest if colon and scheme in SCHEMES else re.sub(r"(\.py):\w*$", r"\1", text)
    with_paths = target.strip() and ("/" in target or "." in target or "\\" in target or bool(colon))
    try:
        return bool(with_paths) and expanded(target).exists()
    except (OSError, RuntimeError, ValueError):  # too long for a name, no such user's home, or a zero byte
        return False


def _interpreter(rest: str, text: str) -> tuple[str, str]:
    """Return the interpreter and the encoder that it is to run.

    Raises:
        UserError: One is missing.
    """
    target, colons, inner = rest.partition("::")
    if not colons or not target.strip() or not inner.strip():
        what = "the interpreter" if not target.strip() else "the encoder that it is to run, behind ::,"
        raise UserError(f"{what} is missing in {text!r}", f"write for instance {SCHEMES['env'][0]}")
    return target, inner


def _at(scheme: str, rest: str) -> tuple[str, str | None]:
    """Return the target, and what follows its ``@`` where the scheme has one."""
    if scheme not in AFTER_AT or "@" not in rest or (scheme != "hear" and _names_a_file(f"{scheme}:{rest}")):
        return rest, None
    # A module's name holds no @, but the path of its weights may; a folder's path may, but a revision does not.
    target, _, at = rest.partition("@") if scheme == "hear" else rest.rpartition("@")
    if not at.strip():
        raise UserError(
            f"nothing follows the @ in {f'{scheme}:{rest}'!r}",
            f"name the {AFTER_AT[scheme]}, or leave @ out",
        )
    return target, at
