"""The run: from audio through a frozen encoder and a searched probe to a record.

``benchmark.run(encoder, task)`` is the whole of it; ``benchmark.Encoder`` is what a plug-in subclasses.
"""

import sys

# ``python -m benchmark`` puts the current folder first on the path, where a json.py may lie. It goes before anything
# but sys, a part of the interpreter, is imported; a checkout that is not installed is found after everything else.
_asked = [name for flag, name in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) if flag == "-m"]
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and "benchmark" in [name.partition(".")[0] for name in _asked]:
    del sys.path[0]
    sys.path.append(__path__[0].removesuffix("benchmark"))

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmark.api import run as run
    from benchmark.encoders.base import Encoder as Encoder

__version__ = "0.1.0"
__all__ = ["Encoder", "__version__", "run"]


def __getattr__(name: str) -> object:
    """Import the public names at first use, so that ``import benchmark`` costs nothing."""
    if name == "run":
        from benchmark.api import run

        return run
    if name == "Encoder":
        from benchmark.encoders.base import Encoder

        return Encoder
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
