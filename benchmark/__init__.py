"""The run: from audio through a frozen encoder and a searched probe to a record.

``benchmark.run(encoder, task)`` is the whole of it; ``benchmark.Encoder`` is what a plug-in subclasses, and
``benchmark.load_results()`` reads records into a table.
"""

import sys

# ``python -m benchmark`` puts the current folder first on the path, where a json.py may lie. It goes before anything
# but sys, a part of the interpreter, is imported; a checkout that is not installed is found after everything else.
_asked = [name for flag, name in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) if flag == "-m"]
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and "benchmark" in [name.partition(".")[0] for name in _asked]:
    del sys.path[0]
    sys.path.append(__path__[0].removesuffix("benchmark"))


def _find_own(name: str) -> None:
    """Make ``import NAME`` give the package that this one is built on, also beside a folder of that name.

    Raises:
        ImportError: A module of the user's bears its name; it is named.
    """
    from importlib.util import find_spec, module_from_spec, spec_from_file_location

    own, module = f"{__path__[0].removesuffix('benchmark')}{name}", sys.modules.get(name)
    found = find_spec(name) if module is None else module.__spec__
    places = [] if found is None else list(found.submodule_search_locations or [str(found.origin)])
    if places == [own]:
        return
    if found is not None and found.origin is not None:
        raise ImportError(
            f"benchmark needs its own package {name!r}, and Python finds {places[0]} in its place. Rename that, or "
            "start from a folder without it",
            name=name,
        )
    # A folder without code, such as ./results, goes before an editable installation.
    spec = spec_from_file_location(name, f"{own}/__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


for _name in ("tasks", "probes", "results"):
    _find_own(_name)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmark.api import run as run
    from benchmark.api import run_many as run_many
    from benchmark.catalogue import list_encoders as list_encoders
    from benchmark.catalogue import list_tasks as list_tasks
    from benchmark.catalogue import load_results as load_results
    from benchmark.encoders.base import Encoder as Encoder
    from benchmark.errors import BenchmarkWarning as BenchmarkWarning
    from benchmark.errors import UserError as UserError
    from benchmark.jobs.labelled import predict as predict
    from benchmark.jobs.options import Options as Options
    from benchmark.reports.interactive import compare as compare
    from benchmark.reports.interactive import plot as plot

__version__ = "0.1.0"
__all__ = [
    "BenchmarkWarning", "Encoder", "Options", "UserError", "__version__", "compare", "list_encoders", "list_tasks",
    "load_results", "plot", "predict", "run", "run_many",
]  # fmt: skip

#: Where the public names are; none may be that of a sub-package, which importing the package would put in its place.
_PUBLIC = {
    "BenchmarkWarning": "benchmark.errors",
    "Encoder": "benchmark.encoders.base",
    "Options": "benchmark.jobs.options",
    "UserError": "benchmark.errors",
    "compare": "benchmark.reports.interactive",
    "list_encoders": "benchmark.catalogue",
    "list_tasks": "benchmark.catalogue",
    "load_results": "benchmark.catalogue",
    "plot": "benchmark.reports.interactive",
    "predict": "benchmark.jobs.labelled",
    "run": "benchmark.api",
    "run_many": "benchmark.api",
}


def __getattr__(name: str) -> object:
    """Import the public names at first use, so that ``import benchmark`` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
