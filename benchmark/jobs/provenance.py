"""The versions of what computes a record."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

from benchmark.audio.decode import pipeline_name


def versions() -> dict[str, str]:
    """Return the versions of what computes a record; of what only some encoders need, where it is in use.

    ``training`` and ``scoring`` are those of our own code.
    """
    from benchmark.jobs.scoring import SCORING_VERSION
    from probes.protocol import TRAINING_VERSION

    names = ["numpy", "scipy", "scikit-learn", "torch", "optuna", "mir_eval", "soundfile", "soxr", "pyarrow"]
    names += [name for name in ("transformers", "onnxruntime", "opensmile") if name in sys.modules]
    found = {name: version(name) for name in names}
    return {
        "python": platform.python_version(),
        "benchmark": version("music-probe-benchmark"),
        **found,
        "audio": pipeline_name(),
        "training": str(TRAINING_VERSION),
        "scoring": str(SCORING_VERSION),
    }
