"""What trackers are told of a job: its choices when it begins, and what its record holds when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from benchmark.jobs.job import Job
from benchmark.jobs.resolved import configuration_section
from benchmark.system.progress import Reporter
from benchmark.system.stdout import stdout_to_stderr
from benchmark.tracking.contract import About, Status, Value
from benchmark.tracking.trackers import Trackers
from results.record import Record
from results.sections.selection import ProbeSection, Trial


@contextmanager
def tracked(job: Job, report: Reporter, problems: list[str]) -> Iterator[Callable[[Record], None]]:
    """Let the trackers of a job follow it meanwhile; yield what takes its record.

    Args:
        job: The job.
        report: Is told once of a tracker that fails.
        problems: Gets the same.
    """
    if not job.tracking.kinds:
        yield lambda _: None
        return
    with stdout_to_stderr():  # what libraries print must not stand among the results
        trackers = Trackers(job.tracking.kinds, _about(job), report)
        status: Status = "failed"
        try:
            yield lambda record: tell(record, trackers)
            status = "finished"
        except KeyboardInterrupt:
            status = "killed"
            raise
        finally:
            trackers.close(status)
            problems += trackers.problems


def tell(record: Record, trackers: Trackers) -> None:
    """Tell trackers what a record holds: every trial of its search, the chosen probe, scores, seconds."""
    if record.folds:
        for fold in record.folds:
            _trials(fold.search.trials, f"fold {fold.name}/", trackers)
    else:
        _trials(record.search.trials, "", trackers)
    trackers.summarise(summary_of(record))


def summary_of(record: Record) -> dict[str, Value]:
    """Return what came of a run, by name."""
    values: dict[str, Value] = {
        "run_key": record.run_key,
        "record": f"{record.task.id}/{record.name}",
        "task_fingerprint": record.task.fingerprint,
        "encoder_fingerprint": record.encoder.fingerprint,
        "selected_trial": record.search.trials[record.search.selected].number,
        **_probe(record.probe),
    }
    for split, scores in (("valid", record.scores.valid), ("test", record.scores.test)):
        for metric, score in scores.items():
            values[f"{split}/{metric}"] = score.value
            for bound, value in (("low", score.low), ("high", score.high)):
                if value is not None:
                    values[f"{split}/{metric}/{bound}"] = value
    seconds = record.seconds.model_dump()
    return {**values, **{f"seconds/{part}": value for part, value in seconds.items()}}


def _probe(probe: ProbeSection) -> dict[str, Value]:
    values: dict[str, Value] = {
        "probe/hidden": ",".join(map(str, probe.hidden)) or "none",
        "probe/dropout": probe.dropout,
        "probe/learning_rate": probe.learning_rate,
        "probe/l2": probe.l2,
        "probe/steps": probe.steps,
        "probe/standardise": probe.standardise,
        "probe/parameters": probe.parameters,
    }
    return values if probe.layer is None else {**values, "probe/layer": probe.layer}


def _trials(trials: Sequence[Trial], prefix: str, trackers: Trackers) -> None:
    for trial in trials:
        values: dict[str, float] = {
            "learning_rate": trial.learning_rate,
            "l2": trial.l2,
            "dropout": trial.dropout,
            "steps": trial.steps,
            "steps_run": trial.steps_run,
            "seconds": trial.seconds,
        }
        if trial.score is not None:
            values["valid"] = trial.score
        trackers.log(trial.number, {f"{prefix}trial/{name}": value for name, value in values.items()})


def _about(job: Job) -> About:
    path, began = job.path, datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    chosen = configuration_section(job).model_dump(exclude_none=True)
    settings = {key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in chosen.items()}
    return About(
        project=job.tracking.project,
        name=f"{path.parent.name}/{path.stem}",
        events=job.results / "tensorboard" / path.parent.name / path.stem / began,
        folder=job.results,
        settings={key: value for key, value in settings.items() if value != ""},
    )
