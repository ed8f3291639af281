"""Near-duplicates between the splits of tasks, by embeddings that are in the cache; nothing is embedded for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from benchmark.audio.index import AudioIndex
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs.items import needs_audio, prepare
from benchmark.jobs.near_duplicates import format_near_duplicates, near_duplicates
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.splits import open_job_data
from benchmark.system.finding import Finding
from benchmark.system.progress import Reporter
from tasks import registry


def audit(
    encoder: str, task: str, home: Path, data_roots: Sequence[str], report: Reporter, threshold: float | None = None
) -> Iterator[Finding]:
    """Yield the near-duplicates between the splits (or folds) of tasks, by embeddings that are in the cache.

    Raises:
        UserError: Something is not embedded yet, or there is no such encoder; so does ``TaskError`` for tasks.
    """
    options = Options(home=home, data_roots=data_roots)
    encoders = resolve(encoder, home)
    items = prepare(registry.find(task, home, data_roots), options, report, audio=needs_audio(encoders))
    for job in plan_jobs(encoders, items, options, report, records=False):
        lacking = job.source.missing(job.data.tracks, AudioIndex(home)) if job.source.reads_audio else []
        if lacking:
            raise UserError(
                f"{len(lacking)} of {len(job.data.items)} items of {job.card.id} are not embedded yet",
                f"Embed them: bench embed -e {shlex.quote(encoder)} -t {shlex.quote(task)}",
            )
        with open_job_data(job, {}) as splits:
            for other, one in combinations(splits.items.parts, 2):
                found = near_duplicates(splits.arrays(other), splits.arrays(one), threshold)
                word = "fold " if splits.items.folds else ""
                first, *lines = format_near_duplicates(found, (f"{word}{one}", f"{word}{other}"))
                yield Finding(f"{job.name}: {first}", is_error=bool(found.pairs))
                yield from map(Finding, lines)
