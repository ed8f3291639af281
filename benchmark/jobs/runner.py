"""A run: plan the jobs, embed what is missing, then probe and score job after job, and write their records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.encoders.base import Encoder
from benchmark.errors import UserError, message_for_user
from benchmark.jobs.embed import embed
from benchmark.jobs.existing import refuse_displacing
from benchmark.jobs.items import needs_audio, prepare
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.variants import precision_of
from benchmark.system.home import refuse_unwritable
from benchmark.system.machine import device_of
from benchmark.system.precision import tell_slow_bf16
from benchmark.system.progress import Reporter, Silent
from benchmark.tracking.kinds import refuse_missing
from results.record import Record
from tasks.registry import Task


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its record, where it lies, and whether it was there before.

    ``displaced`` is where the record of another run went that lay there. ``untracked`` is what was told of trackers
    that failed.
    """

    record: Record
    path: Path
    kept: bool
    displaced: Path | None = None
    untracked: tuple[str, ...] = ()


class UnfinishedError(UserError):
    """Some of several jobs failed. The message names them; ``outcomes`` are those of the others, which are written."""

    def __init__(self, what: str, do: str, rows: Iterable[str], outcomes: Sequence[Outcome]) -> None:
        super().__init__(what, do, rows)
        self.outcomes = tuple(outcomes)
        self.args = (*self.args, self.outcomes)  # which pickle makes it from


def run_many(
    encoders: Sequence[Encoder], tasks: Sequence[Task], options: Options, report: Reporter | None = None
) -> list[Outcome]:
    """Evaluate every encoder on every task: all audio first, so that damage shows before any probe is trained.

    A job that fails in the search or after it does not keep the others from being finished.

    Raises:
        UserError: See :func:`benchmark.run`.
        UnfinishedError: Of several jobs some failed; the others are finished and written.
    """
    report = report or Silent()
    refuse_missing(options.tracking.kinds)
    refuse_unwritable(options.home_folder, "--home")
    refuse_unwritable(options.results_folder, "--results")
    jobs = plan_jobs(encoders, prepare(tasks, options, report, audio=needs_audio(encoders)), options, report)
    refuse_displacing(jobs)
    todo = [job for job in jobs if job.kept is None]
    if todo:
        device = device_of(options.device)
        if any(job.search.precision == "bf16" and precision_of(job.encoder) != "bf16" for job in todo):
            tell_slow_bf16(device, report)  # of encoders the first stage says it
    if options.export_folder is not None:
        from benchmark.jobs.export import check_export

        check_export(options.export_folder, todo)
    embedded = embed(todo, options.embedding, report)
    outcomes: list[Outcome] = []
    failed: list[str] = []
    for job in jobs:
        if job.kept is not None:
            outcomes.append(Outcome(job.kept, job.path, kept=True))
            continue
        from benchmark.jobs.evaluate import evaluate
        from benchmark.jobs.tracked import tracked

        key = job.source.space.key
        damaged, seconds = embedded.damaged.get(key, {}), embedded.seconds.get(key, 0.0)  # nothing, where not embedded
        untracked: list[str] = []
        try:
            with tracked(job, report, untracked) as tell:
                record, path, displaced = evaluate(job, damaged, seconds, report)
                tell(record)
        except Exception as error:
            if len(jobs) == 1 or message_for_user(error) is None:
                raise
            failed.append(f"{job.name}: {error}")
            report.say(f"Failed, the others continue: {failed[-1]}")
        else:
            outcomes.append(Outcome(record, path, kept=False, displaced=displaced, untracked=tuple(untracked)))
    if failed:
        raise UnfinishedError(
            f"{len(failed)} of {len(jobs)} pairs of encoder and task failed, the others are finished and their "
            "records written",
            "mend what follows, and the same command tries the failed ones alone",
            [f"  {failure}" for failure in failed],
            outcomes,
        )
    return outcomes
