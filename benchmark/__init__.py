"""The run: from audio through a frozen encoder and a searched probe to a record.

``benchmark.run(encoder, task)`` is the whole of it; ``benchmark.Encoder`` is what a plug-in subclasses.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.encoders.base import Encoder as Encoder
    from benchmark.pipeline import run as run

__version__ = "0.1.0"
__all__ = ["Encoder", "__version__", "run"]


def __getattr__(name: str) -> Any:
    """Import the public names at first use, so that ``import benchmark`` costs nothing."""
    if name == "run":
        from benchmark.pipeline import run

        return run
    if name == "Encoder":
        from benchmark.encoders.base import Encoder

        return Encoder
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
