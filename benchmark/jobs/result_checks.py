"""Whether a record's scores are what its saved predictions give, and whether results are as they were written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.system.home import home_folder
from results import files, store
from results import text as record_text
from results.digests import file_digest
from results.files import read_regular
from results.predictions import read_split
from results.record import Record, RecordError
from results.rerun import rerun
from tasks.metrics import scores as task_metrics

#: Scores are recomputed from outputs as they were saved, so that no more than rounding lies between.
ROUNDING = 1e-6
#: Below the data home: an empty file for each record that was found to be what its predictions give.
FOLDER = "verified"
#: Changes when the comparison does.
VERSION = 1


@dataclass(frozen=True)
class State:
    """What was found of a record or an exported probe.

    Attributes:
        path: The record's file, or the probe's folder.
        differs: What is not as it was written, in words.
        unchecked: Why it could not be checked; empty where it was.
    """

    path: Path
    differs: tuple[str, ...]
    unchecked: str = ""


def refuse_altered(results: Path, record: Record, split: str = "test") -> None:
    """Refuse a record whose scores on ``split`` are not what its predictions give; done once for each pair of digests.

    Raises:
        RecordError: They are not, or the predictions cannot be read.
    """
    marker = _marker(results, record, split)
    if marker is not None and marker.is_file():
        return
    differences = score_differences(results, record, split)
    if differences:
        raise RecordError(
            f"{store.path_of(results, record)} does not say what its predictions give: {'; '.join(differences)}",
            f"Restore both, or make them again: {rerun(record)}",
        )
    if marker is not None:
        with suppress(OSError):  # a home that cannot be written: it is computed again next time
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()


def score_differences(results: Path, record: Record, split: str) -> list[str]:
    """Return, in words, where the scores of a split are not what the record's predictions give.

    Raises:
        RecordError: The predictions cannot be read.
    """
    scores = record.scores.test if split == "test" else record.scores.valid
    differ = []
    for metric, values in recomputed(results, record, split).items():
        said = scores[metric]
        if len(values) != len(said.seeds):
            differ.append(f"{split} {metric} has {len(said.seeds)} seeds, {len(values)} are predicted")
            continue
        for seed, (then, now) in enumerate(zip(said.seeds, values, strict=True)):
            if not abs(then - now) <= ROUNDING:
                differ.append(f"{split} {metric} of probe {seed} is {then:.6f}, its predictions give {now:.6f}")
        if not abs(said.value - sum(said.seeds) / len(said.seeds)) <= ROUNDING:
            differ.append(f"{split} {metric} is {said.value:.6f}, which is not the mean of its seeds")
    return differ


def recomputed(results: Path, record: Record, split: str) -> dict[str, list[float]]:
    """Return the scores that a record's predictions give on a split: one a probe, by metric.

    Raises:
        RecordError: The predictions cannot be read, or are not of this task.
    """
    held = read_split(results, record, split)
    try:
        return {
            metric: [float(task_metrics.scores(metric, held.targets, each, held.labels)) for each in held.outputs]
            for metric in record.task.metrics
        }
    except (ValueError, KeyError, IndexError, TypeError) as error:
        path = store.predictions_path(results, record)
        raise RecordError(
            f"{path} cannot be scored by {', '.join(record.task.metrics)}: {error}",
            f"Restore it, or compute it again: {rerun(record)}",
        ) from error


def record_state(path: Path) -> State:
    """Return whether the record at ``path`` and its predictions are as they were written.

    Raises:
        RecordError: There is none, or it breaks the schema.
    """
    record, results = store.read_unchecked(path), results_of(path)
    changed = store.changed_parts(path)
    differs = [f"changed since it was written: {', '.join(changed)}"] if changed else []
    beside = results is not None and _belongs(path, store.path_of(results, record))
    if results is not None and not beside:
        differs.append(f"it belongs in {store.path_of(results, record)}")
    unchecked = record.format_unchecked
    if results is None or not beside:
        return State(path, tuple(differs), unchecked or "it lies in no results folder: its predictions were not read")
    try:
        data = read_regular(store.predictions_path(results, record))
    except OSError as error:
        return State(path, (*differs, f"predictions {record.predictions}: {error.strerror or error}"), unchecked)
    if record.predictions_sha256 not in (None, file_digest(data)):
        differs.append(f"predictions {record.predictions} changed since it was written")
    loose = record.model_copy(update={"predictions_sha256": None})
    for split in ("valid", "test"):
        try:
            differs += score_differences(results, loose, split)
        except RecordError as error:
            differs.append(str(error))
    return State(path, tuple(differs), unchecked)


def sign_record(path: Path) -> None:
    """Write the record at ``path`` anew, with digests of itself and its predictions as they are now.

    Raises:
        RecordError: There is none, or it breaks the schema.
    """
    record, results = store.read_unchecked(path), results_of(path)
    if results is None or not _belongs(path, store.path_of(results, record)):
        raise UserError(
            f"{path} lies in no results folder, or in the place of another record, and is not signed",
            "move it to RESULTS/TASK/ENCODER.json, as 'bench run' writes it",
        )
    files.replace_file(path, record_text.encode(store.signed(results, record), path))


def probe_state(directory: Path) -> State:
    """Return whether the exported probe in ``directory`` is as it was written.

    Raises:
        UserError: There is none.
    """
    from probes.export.files import ProbeFileError, changed_files, read_card

    try:
        card = read_card(directory, checked=False)
        changed = changed_files(directory)
    except ProbeFileError as error:
        raise UserError(error.what, error.do) from None
    unchecked = "" if card.checked else "it is of version 1, without digests"
    return State(directory, (f"changed since it was written: {', '.join(changed)}",) if changed else (), unchecked)


def sign_probe(directory: Path) -> None:
    """Write ``probe.json`` anew, with digests of the files beside it as they are now.

    Raises:
        UserError: There is no probe, or a file is missing.
    """
    from probes.export.files import CARD, ProbeFileError, read_card, signed

    try:
        files.replace_file(directory / CARD, signed(read_card(directory, checked=False), directory))
    except (ProbeFileError, OSError) as error:
        raise UserError(
            f"{directory} cannot be signed: {error.what if isinstance(error, ProbeFileError) else error}",
            error.do if isinstance(error, ProbeFileError) else "let it be written, and run the same command again",
        ) from None


def journal_state(path: Path) -> State:
    """Return whether the journal of a search is as it was written."""
    from probes.search.journal import problem_of

    try:
        problem = problem_of(path)
    except OSError as error:
        problem = error.strerror or str(error)
    unchecked = "it is of an older version, without digests, and no search continues from it" if problem is None else ""
    return State(path, (problem,) if problem else (), unchecked)


def record_files(results: Path) -> Iterator[Path]:
    """Yield the files of all records, of runs, curves and history, in order."""
    for pattern in ("runs/*/*.json", "runs/*/history/*.json", "curves/*/*/*.json", "curves/*/*/history/*.json"):
        yield from sorted(results.glob(pattern))


def results_of(path: Path) -> Path | None:
    """Return the results folder that a record's file lies in, ``None`` where it lies in none."""
    for folder in path.absolute().parents[1:4]:
        if folder.name in ("runs", "curves"):
            return folder.parent
    return None


def _belongs(path: Path, place: Path) -> bool:
    """Say whether a record of ``place`` may lie at ``path``: there, or in the history beside it."""
    folder = path.absolute().parent
    if folder.name != "history":
        return path.absolute() == place.absolute()
    return folder.parent == place.absolute().parent and path.name.startswith(f"{place.stem}.")


def _marker(results: Path, record: Record, split: str) -> Path | None:
    """Return the file that says that a record was found to be what its predictions give."""
    try:
        predictions = file_digest(read_regular(store.predictions_path(results, record)))
    except OSError:
        return None
    scores = record.scores.test if split == "test" else record.scores.valid
    said: Sequence[object] = [
        VERSION, split, predictions, record.task.kind, record.task.metrics,
        {metric: [score.value, *score.seeds] for metric, score in scores.items()},
    ]  # fmt: skip
    return home_folder() / FOLDER / hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40]
