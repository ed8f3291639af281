"""What is at a job's record path: the record of the same run, which is kept, or of another, which may have to stay."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.audio.deformations import texts
from benchmark.audio.index import AudioIndex
from benchmark.errors import UserError
from benchmark.jobs.job import Existing, Job
from benchmark.jobs.keys import run_key
from results import store as records
from results.record import Record, RecordError


def existing_of(job: Job, index: AudioIndex, overwrite: str) -> Existing:
    """Return what is at a job's record path.

    Args:
        job: The job.
        index: Hashes of audio files.
        overwrite: ``always`` runs again, ``never`` refuses to displace a record, ``missing`` displaces smaller ones.

    Raises:
        RecordError: The record cannot be read, and ``overwrite`` is not ``always``.
    """
    path = job.path
    if not path.is_file():
        return Existing()
    if overwrite == "always":
        return Existing(displaced=_displaced_anyway(job, index))
    record = records.read(path)
    if _is_same(record, job, index):
        allowed = len(record.data.damaged) <= job.allow_damaged
        if allowed and job.export is None and records.predictions_path(job.results, record).is_file():
            return Existing(kept=record)
        if allowed:  # its predictions are lost, or a probe is to be exported, which is in no record
            return Existing()
    if overwrite == "never":
        return Existing(
            displaced=record,
            refusal=UserError(
                f"{path} holds the record of a different run, and --overwrite never keeps it",
                "choose another --results folder, or --overwrite missing (the old record moves to history/)",
            ),
        )
    smaller = _smaller(record, job)
    if smaller:
        return Existing(
            displaced=record,
            refusal=UserError(
                f"{path} holds the record of a larger budget ({'; '.join(smaller)}), which this run would displace",
                "choose another --results folder, ask for as much, or let it go to history/ with --overwrite always",
            ),
        )
    return Existing(displaced=record)


def refuse_displacing(jobs: Sequence[Job]) -> None:
    """Refuse a run that would displace a record that must stay, before anything is computed.

    Raises:
        UserError: Each such record with its reason.
    """
    refusals = [job.existing.refusal for job in jobs if job.existing.refusal]
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        raise UserError(
            f"{len(refusals)} records would be displaced that must stay",
            "do for each what its line says",
            [str(refusal) for refusal in refusals],
        )


def _displaced_anyway(job: Job, index: AudioIndex) -> Record | None:
    try:
        record = records.read(job.path)
    except RecordError:
        return None
    return None if _is_same(record, job, index) else record


def _is_same(record: Record, job: Job, index: AudioIndex) -> bool:
    """Say whether a run would repeat a record; one with more deformations has the same numbers beside them."""
    keys = job.keys(index)
    deformed = sorted(f"{each.spec}; version {each.version}" for each in record.robustness)
    if None in keys or not set(texts(job.deform)) <= set(deformed):
        return False
    return record.run_key == run_key(job, [key for key in keys if key], deformed)


def _smaller(record: Record, job: Job) -> list[str]:
    """Say in what a run is smaller than the record at its path; nothing where it is not."""
    if record.protocol != job.data.protocol.name:  # of schema 2, whose protocols share a name: this one is the paper's
        return []
    before = {
        "trials": (len(record.search.trials), job.search.trials),
        "seeds": (len(record.seeds.probes) + len(record.seeds.diverged), job.search.seeds),
    }
    reasons = [f"{then} {what}, here {now}" for what, (then, now) in before.items() if now < then]
    missing = len(job.data.missing)
    if missing > len(record.data.missing) and job.card.version == record.task.version:
        reasons.append(f"{len(record.data.missing)} missing tracks, here {missing}")
    return reasons
