"""An encoder's class in a file of Python that the user names, or in a module."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from benchmark.encoders.base import Encoder
from benchmark.encoders.neighbours import importable
from benchmark.errors import UserError
from benchmark.system.terminal import said_by
from tasks.files import expanded, read_bytes, resolved

#: Bytes of a file of Python: to be compiled, each may take 500 bytes of memory.
LARGEST_SOURCE = 1_000_000


def module_from(path: Path) -> ModuleType:
    """Run a file of Python, and return it as a module.

    Raises:
        UserError: There is none, it is larger than any source, or it fails.
    """
    path = resolved(expanded(path))
    if not path.is_file():
        raise UserError(f"no encoder file at {path}", f"check the path, or write one: bench encoders new {path.name}")
    name = f"encoder_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"  # files may share a stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importable(str(path.parent)):
            # Not by the loader's exec_module: it takes a compiled file of the same second and size for this one.
            exec(compile(read_bytes(path, LARGEST_SOURCE), path, "exec", dont_inherit=True), vars(module))
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            f"the encoder file {path} fails to load: {said_by(error)}",
            "Mend it ('bench --debug run ...' shows the line)",
        ) from error
    return module


def class_in(module: ModuleType, cls: str, name: str) -> type:
    """Return an encoder's class of a module, by its name, or the only one where ``cls`` is empty.

    Raises:
        UserError: There is no such class, or not one alone.
    """
    classes = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Encoder) and value.__module__ == module.__name__
    }
    if cls:
        named = getattr(module, cls, None)
        if not isinstance(named, type) or not issubclass(named, Encoder):
            raise UserError(
                f"{name!r}: there is no Encoder class {cls!r}",
                f"name one that it has: {', '.join(classes) or 'none'}",
            )
        return named
    if len(classes) != 1:
        raise UserError(
            f"{name!r} has {len(classes)} Encoder classes ({', '.join(classes)})",
            f"name one as {name}:Class",
        )
    return next(iter(classes.values()))
