"""Train a recorded probe once more from the stored embeddings, and judge how far its scores are from the record's.

What is not embedded yet is embedded first. A difference is ``same`` (rounding), ``same within seeds`` (what other seeds
of the same probe would do too), or ``other``; beside it stands what differs between the record's machine and this one.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.embeddings.tracks import Damage
from benchmark.encoders.registry import resolve
from benchmark.encoders.trust import refuse_code_of_data
from benchmark.errors import UserError
from benchmark.jobs.embed import embed
from benchmark.jobs.items import needs_audio, prepare
from benchmark.jobs.job import Job
from benchmark.jobs.options import EmbedSettings, Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.resolved import configuration_of
from benchmark.jobs.verdicts import Judged, Verdict, judge, machine_differences, version_differences, worst
from benchmark.system.home import home_folder
from benchmark.system.progress import Reporter, Silent
from results import store as records
from results.record import Record
from results.sections.selection import ProbeSection, SearchSection
from results.text import SIGNED_SINCE
from tasks import registry
from tasks.errors import TaskError

if TYPE_CHECKING:
    import numpy as np

    from benchmark.jobs.splits import JobData
    from probes.training.trainer import Trainer


@dataclass(frozen=True)
class Reproduction:
    """What became of a recorded probe that was trained once more.

    Attributes:
        record: The record.
        scores: Each of its scores, beside that of now.
        circumstances: What differs between its run and this one, in words.
    """

    record: Record
    scores: tuple[Judged, ...]
    circumstances: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the scores' verdicts."""
        return worst(score.verdict for score in self.scores)


def reproduce(
    path: Path,
    *,
    home: Path | None,
    encoder: str | None = None,
    task: str | None = None,
    data_roots: Sequence[str] = (),
    device: str = "auto",
    workers: int | None = None,
    search: bool = False,
    report: Reporter | None = None,
) -> Reproduction:
    """Retrain the probe of the record at ``path``; return how its scores differ and what may be the cause.

    Args:
        path: The JSON file of a record.
        home: Data home, with the embeddings; what is missing is embedded into it.
        encoder: What names the encoder, where its id alone does not (a plug-in in a file).
        task: What names the task, where its id alone does not (a card in a file).
        data_roots: ``COLLECTION=DIR``, where datasets lie.
        device: torch's name of the device.
        workers: Decoding processes, where something must be embedded.
        search: Search once more too, and say which trial would be chosen here.
        report: Is told the progress.

    Raises:
        UserError: The task, the encoder or the audio are not those of the record.
    """
    record, report = records.read(path), report or Silent()
    made = record.provenance
    named = record.encoder.id if made is None else made.encoder
    if encoder is None:
        refuse_code_of_data(named, f"the record {path}", f"bench reproduce {shlex.quote(str(path))}")
    options = _options(record, home_folder(home), tuple(data_roots), device, workers)
    job = _job(record, options, encoder or named, task or (record.task.id if made is None else made.task), report)
    damaged = _damaged(record, job)
    if job.source.reads_audio:
        _embed_lacking(job, damaged, options.embedding, report)
    scores, chosen = _retrained(record, job, damaged, search=search)
    return Reproduction(record, tuple(judge(record, scores)), tuple(_circumstances(record, options.device, chosen)))


def _circumstances(record: Record, device: str, chosen: Sequence[str]) -> list[str]:
    """Return what differs between the record's run and this one, in words."""
    from benchmark.system.machine import device_of

    lines = []
    machine = "machine" if record.hardware.instructions is not None else "machine, as far as the record tells"
    if record.schema_version < SIGNED_SINCE:
        lines.append(
            f"The record is of schema {record.schema_version}: it has no digests, so that it is not checked for "
            "damage, and does not say what its machine computed with"
        )
    for what, differences in (
        (machine, machine_differences(record, device_of(device))),
        ("versions", version_differences(record)),
    ):
        lines.append(f"Differs, {what}: {'; '.join(differences)}" if differences else f"Alike: {what}")
    return [*lines, *chosen]


def _options(record: Record, home: Path, data_roots: tuple[str, ...], device: str, workers: int | None) -> Options:
    """Return the record's choices, but for deformations, which are not scored once more, and the budget of trials."""
    chosen = configuration_of(record).model_dump(exclude={"encoder", "task", "deform", "device", "trials", "seeds"})
    return Options(
        **chosen, home=home, seeds=len(record.seeds.probes), device=device, workers=workers, overwrite="always",
        data_roots=data_roots,
    )  # fmt: skip


def _job(record: Record, options: Options, encoder: str, task: str, report: Reporter) -> Job:
    """Return the record's job, with every sound item's embedding in the store.

    Raises:
        UserError: Something is not as it was; it is named.
    """
    try:
        encoders = resolve(encoder, options.home_folder, options.precision)
    except UserError as error:
        raise UserError(
            error.what,
            f"The record names its encoder {encoder!r}: if it has another name here, give it with --encoder. Else: "
            f"{error.do}",
        ) from None
    try:
        tasks = registry.find(task, options.home_folder, options.data_roots)
    except TaskError as error:
        raise UserError(
            error.what,
            f"The record names its task {task!r}: if it has another name here, give it with --task. Else: {error.do}",
        ) from None
    if len(encoders) != 1 or len(tasks) != 1:
        raise UserError(
            f"{encoder!r} on {task!r} is not one encoder on one task",
            "name one of each with --encoder and --task",
        )
    items = prepare(tasks, options, report, audio=needs_audio(encoders))
    jobs = plan_jobs(encoders, items, options, report, records=False)
    repeat = 0 if record.curve is None else record.curve.repeat
    job = jobs[repeat]
    for what, now, then in (
        ("task", job.data.fingerprint, record.task.fingerprint),
        ("encoder", job.source.space.fingerprint, record.encoder.fingerprint),
        ("space of embeddings", job.source.space.key, record.encoder.space),
    ):
        _refuse_other(record, what, now, then)
    return job


def _refuse_other(record: Record, what: str, now: str, then: str) -> None:
    if now != then:
        versions = version_differences(record)
        differ = f" (versions differ: {'; '.join(versions)})" if versions else ""
        raise UserError(
            f"the {what} is not that of the record: its fingerprint is {now[:12]}, there {then[:12]}. The package, a "
            f"file or the data has changed since{differ}",
            "Make a record of what is here with 'bench run', or bring back what has changed",
        )


def _embed_lacking(job: Job, damaged: Mapping[Path, Damage], settings: EmbedSettings, report: Reporter) -> None:
    """Embed what is not in the store, but for what the record left out."""
    from benchmark.audio.index import AudioIndex

    missing = job.store.missing(job.data.tracks, AudioIndex(job.home))
    lacking = [track for track in missing if track.path not in damaged]
    if lacking:
        report.say(f"{len(lacking)} of {len(job.data.items)} embeddings are not there yet")
        embed([job], settings, report)


def _retrained(
    record: Record, job: Job, damaged: Mapping[Path, Damage], *, search: bool
) -> tuple[dict[str, dict[str, list[float]]], list[str]]:
    """Return the scores of each seed by split and metric, and, with ``search``, which trials would be chosen."""
    from benchmark.jobs.record import content_of
    from benchmark.jobs.splits import in_item_order, open_job_data
    from tasks.metrics import scores

    outputs: dict[str, list[np.ndarray]]
    with open_job_data(job, damaged) as splits:
        _refuse_other(record, "audio", content_of(splits), record.data.fingerprint)
        items, chosen = splits.items, []
        targets = {split: items.targets[items.rows(split)] for split in ("valid", "test")}
        if record.folds:
            by_fold = []
            for fold in record.folds:
                by_fold.append(_outputs(record, splits.of_fold(fold.name), fold.probe))
                chosen += _choice(record, splits.of_fold(fold.name), fold.probe, fold.search) if search else []
            outputs = {}
            for split in targets:
                rows = [items.of_fold(fold.name).rows(split) for fold in record.folds]
                of_seeds = zip(*(of_fold[split] for of_fold in by_fold), strict=True)
                outputs[split] = [in_item_order(parts, rows) for parts in of_seeds]
                targets[split] = items.targets
        else:
            outputs = _outputs(record, splits, record.probe)
            chosen += _choice(record, splits, record.probe, record.search) if search else []
    labels = record.data.labels
    return {
        split: {
            metric: [float(scores.scores(metric, targets[split], output, labels)) for output in outputs[split]]
            for metric in job.card.metrics
        }
        for split in targets
    }, chosen


def _trainer(record: Record, splits: JobData, probe: ProbeSection) -> tuple[Trainer, int | None]:
    """Return what trains a recorded probe once more, and the layer that it takes, where it takes one of several."""
    from benchmark.jobs.scoring import objective
    from benchmark.jobs.select import split_data
    from benchmark.system.machine import device_of
    from probes.training.trainer import Trainer

    job, card, labels = splits.job, splits.job.card, record.data.labels
    layers = job.source.space.layers
    number = list(layers).index(probe.layer) if layers and probe.layer in layers else None
    spec = job.data.protocol.spec(card.kind, len(labels), len(layers or ()) if probe.layer == "mix" else None)
    trainer = Trainer(
        spec, split_data(splits, number), lambda targets, outputs: objective(card, targets, outputs, labels),
        device=device_of(job.search.device), precision=job.search.precision,
    )  # fmt: skip
    return trainer, number


def _outputs(record: Record, splits: JobData, probe: ProbeSection) -> dict[str, list[np.ndarray]]:
    """Train a recorded probe once more with each seed, and return its outputs on valid and test."""
    from probes.protocol import Settings

    trainer, number = _trainer(record, splits, probe)
    settings = Settings(
        probe.learning_rate, probe.l2, probe.steps, probe.standardise, tuple(probe.hidden), probe.dropout,
        probe.batch_size, probe.warm_rate,
    )  # fmt: skip
    trainings = [trainer.begin(settings, seed) for seed in record.seeds.probes]
    trainer.complete(trainings)
    probes = [trainer.finish(training) for training in trainings]
    return {
        split: [trained.predict(splits.arrays(split, number).embeddings) for trained in probes]
        for split in ("valid", "test")
    }


def _choice(record: Record, splits: JobData, probe: ProbeSection, recorded: SearchSection) -> list[str]:
    """Search once more, with the recorded budget and seed, and say which trial would be chosen."""
    from probes.search.search import search
    from probes.search.storage import open_study

    job, fold = splits.job, "" if splits.fold is None else f" (fold {splits.fold})"
    trainer, _ = _trainer(record, splits, probe)
    with open_study(None, None, "reproduce") as study:
        result = search(
            trainer, job.data.protocol, study,
            trials=len(recorded.trials), seed=record.seeds.search, sampler=job.search.sampler,
            pruner=job.search.pruner,
        )  # fmt: skip
    then = recorded.trials[recorded.selected]
    now = result.trials[result.selected]
    if now.number == then.number:
        return [f"Choice of trial{fold}: {now.number}, as in the record"]
    score = "none" if then.score is None else f"{then.score:.4f}"
    there = recorded.trials[now.number].score if now.number < len(recorded.trials) else None
    return [
        f"Differs, choice of trial{fold}: here {now.number} (valid {now.score:.4f}, in the record "
        f"{'none' if there is None else f'{there:.4f}'}), in the record {then.number} (valid {score}, here "
        f"{result.trials[then.number].score:.4f})"
    ]


def _damaged(record: Record, job: Job) -> dict[Path, Damage]:
    """Return what the record left out, by file."""
    paths = dict(zip(job.data.items.track_ids, job.data.items.audio, strict=True))
    return {
        paths[each.track_id]: Damage(each.track_id, paths[each.track_id], each.problem, each.seconds_recovered)
        for each in record.data.damaged
    }
