"""The records of a report: those that are sound, and in words those that are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.jobs.result_checks import results_of
from benchmark.pretraining.comparison.folder import results_in
from results import store
from results.digests import file_digest
from results.files import read_regular
from results.markdown import folded
from results.record import Record, RecordError
from results.together import Place, Together, place_of

_Key = tuple[str, str, int, float, int]


@dataclass(frozen=True)
class Sound:
    """What a report is made of.

    Attributes:
        together: The records, the folder of each, and the points of learning curves.
        problems: A sentence for each file that was left out, and why.
        without: By task, encoder and limit, why the predictions of a record are not used; those that are have none.
    """

    together: Together
    problems: tuple[str, ...]
    without: Mapping[Place, str]


def read_sound(named: Sequence[Path], folders: Sequence[Path], examples: Path | None = None) -> Sound:
    """Read records one by one, so that a damaged one costs none of the others.

    Args:
        named: Files of records, and folders of them; where there are any, nothing else is read. Of the folder of a
            comparison of pre-training strategies its results are meant.
        folders: Results folders.
        examples: A folder of examples: of these only what no other folder has is taken.

    Raises:
        RecordError: A path that is named does not exist, or is no record by its kind.
    """
    named, folders = ([results_in(path) for path in paths] for paths in (named, folders))
    for path in named:
        _refuse_no_record(path)
    sources = [(path, False) for path in named or [folder for folder in folders if folder.is_dir()]]
    sources += [(examples, True)] if examples is not None and not named else []
    found: dict[_Key, tuple[Record, Path]] = {}
    shown: set[_Key] = set()
    problems: list[str] = []
    for source, is_example in sources:
        for path in _files(source):
            try:
                record, folder = _read(path, alone=path == source)
            except RecordError as error:
                problems.append(folded(str(error)))
                continue
            key = _key(record)
            if is_example and key in found and key not in shown:
                continue
            if is_example:
                shown.add(key)
            kept, where = found.setdefault(key, (record, folder))
            if kept.run_key != record.run_key:
                problems.append(
                    folded(
                        f"{path} is left out: it is another run of {record.name} on {record.task.id} than the record "
                        f"in {where}. Name the one that is meant: bench report {path}"
                    )
                )
    ordered = [found[key] for key in sorted(found)]
    runs = [(record, folder) for record, folder in ordered if record.curve is None]
    together = Together(
        tuple(record for record, _ in runs),
        {place_of(record): folder for record, folder in runs},
        frozenset(place_of(found[key][0]) for key in shown if found[key][0].curve is None),
        ", ".join(str(source) for source in (*(named or folders), *([examples] if examples and not named else []))),
        tuple(record for record, _ in ordered if record.curve is not None),
    )
    without = {place_of(record): why for record, folder in runs if (why := _why_without(folder, record))}
    return Sound(together, tuple(problems), without)


def _refuse_no_record(path: Path) -> None:
    """Refuse a path that does not exist, or that is no record by its kind.

    Raises:
        RecordError: It is one of these.
    """
    if path.is_dir():
        return
    if not path.exists():
        store.read(path)  # its message says how the record is made
    store.refuse_other_file(path)


def _files(source: Path) -> Iterator[Path]:
    """Yield the files of records that a path names: itself, those of a results folder, or those of one inside it."""
    if not source.is_dir():
        yield source
        return
    patterns: tuple[str, ...] = ("runs/*/*.json", "curves/*/*/*.json")
    if results_of(source / "record.json") is not None or source.name in ("runs", "curves"):
        patterns = ("**/*.json",)
    for pattern in patterns:
        yield from sorted(path for path in source.glob(pattern) if "history" not in path.relative_to(source).parts)


def _read(path: Path, *, alone: bool) -> tuple[Record, Path]:
    """Return a record and its results folder; ``alone`` says that the file itself was named.

    Raises:
        RecordError: It is damaged, of a newer schema, or lies where another belongs.
    """
    record = store.read(path)
    folder = results_of(path)
    if folder is None:
        return record, path.absolute().parent
    expected = store.path_of(folder, record)
    if not alone and path.absolute() != expected.absolute():
        raise RecordError(
            f"{path} holds the record of {record.encoder.id} on {record.task.id}, which belongs in {expected}",
            "Move it there or delete it.",
        )
    return record, folder


def _why_without(folder: Path, record: Record) -> str:
    """Return why the predictions of a record cannot be used; nothing where they can."""
    path = store.predictions_path(folder, record)
    try:
        digest = file_digest(read_regular(path))
    except FileNotFoundError:
        return f"its predictions ({path.name}) are not beside the record"
    except OSError as error:
        return f"its predictions ({path.name}) cannot be read: {error.strerror or error}"
    if record.predictions_sha256 not in (None, digest):
        return f"its predictions ({path.name}) are not those that the record was written with"
    return ""


def _key(record: Record) -> _Key:
    """Return the place of a record, and which point of a learning curve it is (0, 0 where it is none)."""
    point = record.curve
    of_curve = (0.0, 0) if point is None else (point.fraction, point.repeat)
    return record.task.id, record.name, record.limit or 0, *of_curve
