"""How a record was asked for, and the versions of what computes it."""

from __future__ import annotations

import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

from benchmark.audio.decode import pipeline_name
from benchmark.encoders.base import Encoder
from benchmark.encoders.environment.interpreters import label_of
from benchmark.encoders.spec import with_paths
from benchmark.jobs.job import Job
from benchmark.system.version import commit_of
from results.sections.provenance import ProvenanceSection
from tasks.files import expanded
from tasks.registry import Task, builtin_tasks

#: Kinds of encoders whose target is a path.
FILES = ("file", "keras", "onnx", "torchscript", "emb", "pretrained")


def provenance_section(job: Job) -> ProvenanceSection:
    """Return how the run was asked for, and of which code."""
    from benchmark import __version__

    encoder, task = encoder_text(job.encoder, job.home), task_text(job.data.task, job.home)
    words = ["bench", "run", "--encoder", encoder, "--task", task, *job.asked]
    return ProvenanceSection(
        command=shlex.join(words) if job.encoder.text else None,
        encoder=encoder,
        task=task,
        version=__version__,
        commit=commit_of(),
    )


def encoder_text(encoder: Encoder, home: Path) -> str:
    """Return what named an encoder, without folders of this machine; the name of one that was given as an object."""
    if not encoder.text:
        return encoder.name

    def of_target(kind: str, target: str) -> str:
        if kind == "env":
            return label_of(target, home)
        is_path = kind in FILES or (kind == "hf" and expanded(target).exists()) or Path(target).is_absolute()
        return portable(target, home) if is_path else target

    def of_value(value: str) -> str:
        return portable(value, home) if ("/" in value or "\\" in value) and "://" not in value else value

    return with_paths(encoder.text, of_target, of_value)


def task_text(task: Task, home: Path) -> str:
    """Return what names a task: the id of a built-in one, the card of one's own without the folders of this machine."""
    if task.loaded is not None:
        return task.card.id.replace(".", ":", 2)  # mirdata.tinysol.pitch is named mirdata:tinysol:pitch
    own = builtin_tasks().get(task.card.id)
    return task.card.id if own is not None and own.source == task.source else portable(task.source, home)


def portable(path: Path | str, home: Path) -> str:
    """Return a path relative to the data home where it lies in it, else its base name."""
    absolute = expanded(path).absolute()
    return absolute.relative_to(home).as_posix() if absolute.is_relative_to(home) else absolute.name


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
