"""Find the encoder that a text names: a built-in id, ``package.module:Class``, or ``file.py[:Class]``."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from benchmark.encoders.base import Encoder, Precision
from benchmark.errors import UserError
from benchmark.home import home_folder

#: Built-in encoders: id -> "module:Class" and what it is, in a line.
BUILTIN: Mapping[str, tuple[str, str]] = {
    "logmel": ("benchmark.encoders.logmel:LogMel", "mean and standard deviation of 96 log-mel bands"),
    "mfcc": ("benchmark.encoders.mfcc:Mfcc", "mean and standard deviation of 20 MFCCs and their deltas"),
    "chroma": ("benchmark.encoders.chroma:Chroma", "tuned chroma: means and products of successive frames"),
}

#: Encoders with weights that must be fetched first, and what they are.
PUBLISHED: Mapping[str, str] = {
    "musicset-ularge": "SF-NFNet-F0 of McCallum et al. 2022, self-supervised; needs 'bench encoders fetch'",
}


def resolve(
    names: str | Encoder | Iterable[str | Encoder], home: Path | None = None, precision: Precision | None = None
) -> list[Encoder]:
    """Return the encoders that ``names`` ask for, each once; objects pass through.

    Args:
        names: Names, several in one text separated by commas, or objects.
        home: The data home, where fetched weights are.
        precision: What they compute in, where they have a choice.

    Raises:
        UserError: A name that fits nothing, a file or class that cannot be loaded, or two encoders of one name.
    """
    wanted = [names] if isinstance(names, str | Encoder) else list(names)
    found: dict[str, Encoder] = {}
    for want in wanted:
        parts = [want] if not isinstance(want, str) else _parts(want)
        for part in parts:
            encoder = part if not isinstance(part, str) else resolve_one(part, home)
            if not isinstance(encoder, Encoder):
                raise UserError(f"{encoder!r} is no encoder: give a name, or an object of a subclass of Encoder")
            if not isinstance(getattr(encoder, "name", None), str):
                raise UserError(f"the encoder {type(encoder).__name__} does not declare name: give it one, a text")
            if precision is not None:
                encoder = encoder.with_precision(precision)
            known = found.setdefault(encoder.name, encoder)
            if known is not encoder and known.fingerprint() != encoder.fingerprint():
                raise UserError(f"two different encoders have the name {encoder.name!r}: rename one of them")
    if not found:
        raise UserError("no encoder was named: list the built-in ones with 'bench encoders'")
    return list(found.values())


def _parts(text: str) -> list[str]:
    """Split a text at its commas, unless it names one file whose path holds a comma."""
    if Path(re.sub(r"(\.py):\w*$", r"\1", text)).is_file():
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def resolve_one(name: str, home: Path | None = None) -> Encoder:
    """Return the encoder that one name asks for; ``home`` is the data home, where fetched weights are.

    Raises:
        UserError: See :func:`resolve`.
    """
    if name in BUILTIN:
        return _instance(_load(BUILTIN[name][0]), name)
    if name in PUBLISHED:
        from benchmark.encoders.published import open_published

        return open_published(name, home or home_folder())
    if name.endswith(".keras"):
        from benchmark.encoders.published import open_keras

        return open_keras(Path(name).expanduser(), home or home_folder())
    if file := re.fullmatch(r"(.+\.py)(?::(\w*))?", name):
        return _instance(_class_in(_module_from(Path(file[1])), file[2] or "", name), name)
    if ":" in name:
        return _instance(_load(name), name)
    from benchmark.encoders.published import refuse_unpublished

    refuse_unpublished(name)
    known = [*BUILTIN, *PUBLISHED]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"built in are {', '.join(known)}"
    raise UserError(f"no encoder is called {name!r}: {hint} (a plug-in is named as file.py:Class or module:Class)")


def _load(target: str) -> type:
    module_name, _, cls = target.partition(":")
    try:
        with _beside(Path.cwd()):
            module = importlib.import_module(module_name)
    except Exception as error:  # whatever the module does when it is imported
        raise UserError(f"cannot import the encoder {target!r}: {type(error).__name__}: {error}") from error
    return _class_in(module, cls, target)


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let an encoder import its neighbours while it is loaded."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _module_from(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UserError(f"no encoder file at {path}")
    name = f"encoder_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"  # files may share a stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _beside(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"the encoder file {path} fails to load: {type(error).__name__}: {error}") from error
    return module


def _class_in(module: ModuleType, cls: str, name: str) -> type:
    classes = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Encoder) and value.__module__ == module.__name__
    }
    if cls:
        found = getattr(module, cls, None)
        if not isinstance(found, type) or not issubclass(found, Encoder):
            raise UserError(f"{name!r}: there is no Encoder class {cls!r}; it has {', '.join(classes) or 'none'}")
        return found
    if len(classes) != 1:
        raise UserError(f"{name!r} has {len(classes)} Encoder classes ({', '.join(classes)}): name one as {name}:Class")
    return next(iter(classes.values()))


def _instance(cls: type, name: str) -> Encoder:
    try:
        encoder = cls()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the encoder {name!r} cannot be made: {type(error).__name__}: {error}") from error
    assert isinstance(encoder, Encoder)
    return encoder
