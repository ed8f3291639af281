"""The contract in an environment without this program: ``from benchmark import Encoder`` finds it.

The modules that an encoder is made of are read from the files of this program, by their paths; they need numpy alone,
and Python 3.9 or later. What they take from elsewhere in this program has small stand-ins here. Nothing is put on the
path, and no other module of this program can be imported. The other interpreter runs this file.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

#: Modules of this program that are the same in every environment.
SHARED = (
    "benchmark.errors", "benchmark.encoders.base", "benchmark.encoders.class_files", "benchmark.encoders.fingerprint",
    "benchmark.encoders.neighbours", "benchmark.encoders.options", "benchmark.encoders.outputs",
    "benchmark.encoders.parameters", "benchmark.encoders.remote", "benchmark.encoders.torch_settings",
    "benchmark.encoders.check.speed",
)  # fmt: skip
PACKAGES = ("benchmark", "benchmark.encoders", "benchmark.encoders.check", "benchmark.system")
#: Names that an encoder's own modules may have, so that they are gone when the contract is in place.
PASSING = ("tasks", "tasks.files", "tasks.spelling")
BLOCK = 1 << 20


def said_by(error: BaseException) -> str:
    """Return the kind and the words of an exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def content_hash(path: Path) -> str:
    """Return the sha256 of a regular file's bytes."""
    if not path.is_file():
        raise OSError(f"{path} is no regular file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def expanded(path: Any) -> Path:
    """Return a path with ``~`` written out."""
    return Path(path).expanduser()


def resolved(path: Path) -> Path:
    """Return an absolute path without links."""
    return path.resolve()


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most ``limit`` bytes."""
    if path.stat().st_size > limit:
        raise OSError(f"{path} has more than {limit:,} bytes")
    return path.read_bytes()


def did_you_mean(name: str, known: Any, otherwise: str) -> str:
    """Return a question for the nearest of the known names."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else otherwise


STAND_INS: Mapping[str, Mapping[str, Any]] = {
    "benchmark.system.terminal": {"said_by": said_by},
    "benchmark.system.files": {"content_hash": content_hash},
    "tasks.files": {"expanded": expanded, "resolved": resolved, "read_bytes": read_bytes},
    "tasks.spelling": {"did_you_mean": did_you_mean},
}


class _Shared:
    """Finds the shared modules by their names, in the folder of this program, and refuses its other ones."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """Return where a module of this program is; ``None`` leaves any other to Python."""
        if name in SHARED:
            file = str(self._root.joinpath(*name.split(".")).with_suffix(".py"))
            return importlib.util.spec_from_file_location(name, file, loader=_Source(name, file))
        if name.partition(".")[0] == "benchmark":
            raise ModuleNotFoundError(
                f"No module named {name!r}: of this benchmark an environment without it has Encoder and UserError "
                "alone. Install it there for more",
                name=name,
            )
        return None


class _Source(SourceFileLoader):
    """Compiles a file and writes nothing beside it: it belongs to another interpreter."""

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002 - the name is the loader's
        """Return the code of the file as it is now."""
        return self.source_to_code(self.get_data(self.path), self.path)


def put_in_place(root: Path) -> None:
    """Let this interpreter import the contract from the folder that holds this program's package."""
    for name in (*PACKAGES, "tasks", *STAND_INS):
        module = sys.modules[name] = ModuleType(name)
        module.__package__ = name if name in PACKAGES else name.rpartition(".")[0]
        if name in PACKAGES or name == "tasks":
            module.__path__ = []
        for key, value in STAND_INS.get(name, {}).items():
            setattr(module, key, value)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, module)
    sys.meta_path.insert(0, _Shared(root))
    for name in SHARED:
        importlib.import_module(name)
    for name in PASSING:
        del sys.modules[name]
    outer: Any = sys.modules["benchmark"]
    outer.Encoder = sys.modules["benchmark.encoders.base"].Encoder
    outer.UserError = sys.modules["benchmark.errors"].UserError
    outer.__all__ = ["Encoder", "UserError"]
