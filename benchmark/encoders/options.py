"""Options of encoders: conversion of texts by annotations, and names and fingerprints of variants.

An encoder that is made with options has them in its name (``mine?size=small``) and in its fingerprint, so that records
and embeddings of two variants are kept apart.

Texts are not converted by pydantic's ``TypeAdapter.validate_strings``: it decides 9 of the 26 cases of the tests
otherwise (``1,2`` is no tuple, ``none`` not ``None``, ``2`` not of ``Literal[1, 2]``, ``4`` for ``str | int`` is a
text, ``nan`` is a number), so that only single numbers would be left to it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from benchmark.encoders.base import Encoder
from benchmark.encoders.fingerprint import describe
from benchmark.errors import UserError
from tasks.files import expanded
from tasks.spelling import did_you_mean

#: What ``X | Y`` is, from Python 3.10 on, and ``None`` in it.
UNIONS, NoneType = (typing.Union, getattr(types, "UnionType", typing.Union)), type(None)

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def refuse_unknown(options: Iterable[str], allowed: Iterable[str], encoder: str) -> None:
    """Refuse options that are not among ``allowed``.

    Raises:
        UserError: There are such; they are named with what there is instead.
    """
    known = sorted(allowed)
    for key in options:
        if key not in known:
            meant = did_you_mean(key, known, "")
            hint = f"{meant} " if meant else ""
            takes = f"{'It' if meant else 'it'} takes {', '.join(known)}" if known else "leave it out, it takes none"
            raise UserError(f"the encoder {encoder!r} has no option {key!r}", f"{hint}{takes}")


def text_of(value: object) -> str:
    """Return an option's value as one writes it in a query: ``true``, ``1.5``, ``1,2``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return ",".join(text_of(item) for item in value)
    return str(value)


def convert(text: str, kind: Any, where: str) -> Any:
    """Return ``text`` as a value of the annotation ``kind``.

    Args:
        text: What the user wrote.
        kind: ``int``, ``float``, ``bool``, ``str``, ``Path``, a ``Literal``, a tuple or list of these (separated by
            commas), a union of these, ``Any`` or none (``inspect.Parameter.empty``): the last two take the text.
        where: What the value is of, for the message.

    Raises:
        UserError: It is no such value.
    """
    try:
        return _converted(text, kind)
    except ValueError:
        raise UserError(f"{where} is {text!r}", f"give {_in_words(kind)}") from None


def constructor_options(made_by: Callable[..., Any], options: Mapping[str, str], encoder: str) -> dict[str, Any]:
    """Return ``options`` as the keyword arguments of what makes the encoder, by its annotations.

    A parameter without annotation takes the type of its default, or a text.

    Args:
        made_by: A class or function.
        options: Texts by name.
        encoder: What the user called the encoder, for messages.

    Raises:
        UserError: An option that it does not take or that it needs and has not, or one whose text is no such value.
    """
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(made_by).parameters
    except (TypeError, ValueError):
        parameters = {}
    try:
        hints = typing.get_type_hints(made_by.__init__ if isinstance(made_by, type) else made_by)  # type: ignore[misc]
    except Exception:  # an annotation that cannot be evaluated here
        hints = {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes = {name: parameter for name, parameter in parameters.items() if parameter.kind in named}
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        refuse_unknown(options, takes, encoder)
    lacking = [name for name in takes if name not in options and takes[name].default is inspect.Parameter.empty]
    if lacking:
        raise UserError(
            f"the encoder {encoder!r} needs {' and '.join(lacking)}",
            "give " + " ".join(f"--encoder-arg {name}=..." for name in lacking),
        )
    converted = {}
    for key, text in options.items():
        kind: Any = str
        if key in takes:
            default = takes[key].default
            kind = hints.get(key, str if default is None or default is inspect.Parameter.empty else type(default))
        converted[key] = convert(text, kind, f"the option {key!r} of the encoder {encoder!r}")
    return converted


def as_variant(encoder: Encoder, options: Mapping[str, Any]) -> Encoder:
    """Let an encoder's name and fingerprint tell its options, whatever its class makes of them."""
    cls = type(encoder)
    declared, shown = getattr(cls, "name", None), {key: _shown(value) for key, value in options.items()}
    if isinstance(declared, str):
        names_itself = encoder.name != declared
    else:
        names_itself = all(text in str(getattr(encoder, "name", "")) for text in shown.values())
    if not names_itself and isinstance(getattr(encoder, "name", None), str):
        try:
            encoder.name = variant_name(encoder.name, shown)
        except AttributeError:
            raise UserError(
                f"the name of {cls.__name__} cannot be set", f"include {', '.join(options)} in it"
            ) from None
    state = json.dumps({key: describe(value, key) for key, value in options.items()}, sort_keys=True)

    def fingerprint(self: Encoder) -> str:
        return hashlib.sha256((cls.fingerprint(self) + state).encode()).hexdigest()

    same = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    variant = type(cls.__name__, (cls,), {**same, "fingerprint": fingerprint})
    variant._source = cls._source  # type: ignore[attr-defined]
    encoder.__class__ = variant
    return encoder


def variant_name(name: str, options: Mapping[str, str]) -> str:
    """Return the name with its options in order, such as ``mine?layers=2&size=small``."""
    return f"{name}?{'&'.join(f'{key}={value}' for key, value in sorted(options.items()))}"


def _shown(value: Any) -> str:
    return value.name if isinstance(value, Path) else text_of(value)


def _converted(text: str, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is bool:
        word = text.strip().lower()
        return True if word in TRUE else False if word in FALSE else _fail(text)
    if kind in (int, float):
        number = kind(text.strip())
        return _fail(text) if math.isnan(number) else number
    if kind is Path:
        return expanded(text)
    if kind is NoneType:
        return None if text.strip().lower() in ("none", "null") else _fail(text)
    if origin is Literal:
        return next(iter([value for value in arguments if text_of(value) == text.strip()] or _fail(text)))
    if kind in (tuple, list):
        return kind(part.strip() for part in text.split(",") if part.strip())
    if origin in (tuple, list):
        return _sequence(text, origin, arguments)
    if origin in UNIONS:
        # str takes every text, so it comes last.
        for member in sorted(arguments, key=lambda member: (member is str, member is not NoneType)):
            try:
                return _converted(text, member)
            except ValueError:
                continue
        raise ValueError(text)
    return text


def _sequence(text: str, origin: type, arguments: tuple[Any, ...]) -> Any:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if origin is list or arguments[-1] is Ellipsis:
        return origin(_converted(part, arguments[0]) for part in parts)
    if len(parts) != len(arguments):
        raise ValueError(text)
    return tuple(_converted(part, arguments[i]) for i, part in enumerate(parts))


def _fail(text: str) -> typing.NoReturn:
    raise ValueError(text)


def _in_words(kind: Any) -> str:
    words = {
        int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path",
        NoneType: "none",
    }  # fmt: skip
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(text_of(value) for value in arguments)}"
    if origin in UNIONS:
        return " or ".join(_in_words(member) for member in arguments)
    if origin in (tuple, list):
        several = origin is list or arguments[-1] is Ellipsis
        kinds = [_in_words(member) for member in arguments if member is not Ellipsis]
        return f"{'any number' if several else len(kinds)} of {', '.join(dict.fromkeys(kinds))}, separated by commas"
    return words.get(kind, f"a {getattr(kind, '__name__', kind)}")
