"""The robustness view as text: what would be embedded again, and how scores moved."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.audio.index import AudioIndex
from benchmark.jobs.job import Job
from benchmark.jobs.robustness import deformed_job, tracks_to_deform
from benchmark.system.tables import table
from results.record import Record


def format_deformations(jobs: Sequence[Job]) -> list[str]:
    """Return how many test tracks a run would embed again, a line a space and deformation; none without these."""
    by_space: dict[str, list[Job]] = {}
    for job in jobs:
        if job.kept is None and job.source.reads_audio:
            by_space.setdefault(job.store.space.key, []).append(job)
    lines = []
    for sharing in by_space.values():
        tracks = tracks_to_deform(sharing, ())
        index = AudioIndex(sharing[0].home)
        for deformation in sharing[0].deform:
            store = deformed_job(sharing[0], deformation).store
            todo = store.missing(tracks, index)
            lines.append(
                f"{sharing[0].encoder.name}: {len(todo)} test track(s) to embed again under {deformation.text}"
            )
    return lines


def format_robustness(records: Sequence[Record]) -> str:
    """Return how scores moved under deformations, nothing if no record says; a drop is below zero where they fell."""
    rows = [
        [
            record.name,
            record.task.id + (f" ({record.curve.fraction:g} of train)" if record.curve else ""),
            view.spec,
            metric,
            f"{record.scores.test[metric].value:.3f}",
            f"{drop.value:.3f}",
            _signed(drop.drop),
            "-"
            if drop.drop_low is None or drop.drop_high is None
            else f"{_signed(drop.drop_low)} to {_signed(drop.drop_high)}",
        ]
        for record in records
        for view in record.robustness
        for metric, drop in view.metrics.items()
    ]
    if not rows:
        return ""
    headers = ["encoder", "task", "deformation", "metric", "clean", "deformed", "drop", "95 % interval"]
    clipped = [
        f"{record.name} on {record.task.id}: {view.clipped} of {record.data.counts['test']} test track(s) were clipped "
        f"under {view.spec}"
        for record in records
        for view in record.robustness
        if view.clipped
    ]
    return "\n".join([table(rows, headers, texts=("task",), spare=("clean", "deformed"), json=False), *clipped])


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no "-0.000"
