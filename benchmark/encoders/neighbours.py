"""Imports of a plug-in: modules beside its file are found, but never in place of installed ones.

A script has its folder first on the path. So would a plug-in, while it is loaded, and there a ``torch.py`` would be
run in place of torch by the first module that imports it, be it the user's or not. So a neighbour comes first only
where its name is none of Python's, of this program's, or of what it needs.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

DISTRIBUTION = "music-probe-benchmark"

#: Folders that packages leave among the installed modules by mistake: a neighbour of such a name is meant.
#: Modules that import on behalf of others.
IMPORTING = frozenset({"importlib", "_frozen_importlib", "_frozen_importlib_external"})
STRAYS = frozenset({"docs", "examples", "licensing", "misc", "scripts", "test", "tests", "tools", "utils"})


@contextmanager
def importable(folder: str, asked: str = "") -> Iterator[None]:
    """Let foreign code import its neighbours in ``folder``, also while it runs.

    Args:
        folder: Where it lies.
        asked: The module that the user named, which this program may import from there.
    """
    finder = _Neighbours(folder, asked.partition(".")[0])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(finder)


class _Neighbours:
    """Finds the modules of a folder, before those elsewhere, but for names that Python and this program bring.

    The folder is not on the path: there it would answer for what is not installed too, such as ``_winapi``. Nor does it
    answer where this program or an installed package that it needs imports something: that may be an optional package
    that is not installed, whose name a file of the folder happens to have.
    """

    def __init__(self, folder: str, asked: str) -> None:
        self._folder, self._asked = folder, asked

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a neighbour is; ``None`` leaves any other module to Python."""
        if path is not None or name in _standard() - STRAYS:
            return None
        spec = PathFinder.find_spec(name, [self._folder], target)
        if spec is None or name in brought() or (name != self._asked and _importer() in brought()):
            return None
        return spec


def _importer() -> str:
    """Return the outermost name of the module whose code imports; nothing for a class that a pickle names."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in IMPORTING:
        frame = frame.f_back
    if frame is None or frame.f_code.co_name == "find_class":
        return ""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@cache
def _standard() -> frozenset[str]:
    """Return the names of the modules of the standard library."""
    names = getattr(sys, "stdlib_module_names", None)  # from Python 3.10 on
    if names is not None:
        return frozenset(names)
    files = Path(sysconfig.get_paths()["stdlib"]).iterdir()
    return frozenset({*sys.builtin_module_names, *(file.name.partition(".")[0] for file in files)})


@cache
def brought() -> frozenset[str]:
    """Return the names of the modules of this program and of all packages that it needs or may need.

    In an environment that does not have this program (``env:``), of all packages that are installed.
    """
    distributions: dict[str, metadata.Distribution] = {}
    waiting = [DISTRIBUTION, "pip", "setuptools"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in distributions:
            continue
        try:
            distributions[name] = metadata.distribution(name)
            waiting += [_project(line) for line in distributions[name].requires or ()]
        except metadata.PackageNotFoundError:
            if name == DISTRIBUTION:
                waiting += [found.metadata["Name"] or "" for found in metadata.distributions()]
    modules = {"benchmark", "tasks", "probes", "results"}
    for distribution in distributions.values():
        for file in distribution.files or ():
            first = file.parts[0]
            if len(file.parts) > 1 and first.isidentifier():
                modules.add(first)
            elif len(file.parts) == 1 and file.suffix in (".py", ".so", ".pyd"):
                modules.add(first.partition(".")[0])
    return frozenset(modules - STRAYS)


def _project(requirement: str) -> str:
    """Return the name in a requirement such as ``numpy>=2.0; extra == 'hf'``."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return match[1] if match else requirement
