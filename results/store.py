"""Where records live: ``<results>/runs/<task>/<encoder>.json``, written atomically, one file a run.

A run with other than the default choices has them in its name, ``<encoder>+<variant>.json`` (``logmel+quick.json``), so
that it never displaces the plain one.

Predictions lie beside their record as ``<encoder>.<run_key[:12]>.parquet``. They are written first and the record names
them, so replacing the JSON file is the only commit: whenever a run is cut off, each record still names its own
predictions. A record that another run displaces is copied to ``<results>/runs/<task>/history/`` before that commit; its
predictions stay where they are.

A point of a learning curve has ``<results>/curves/<task>/<encoder>/fraction-<F>.repeat-<R>.json``, by the same rules.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from results import text
from results.digests import file_digest
from results.files import is_plain_name, read_regular, replace_file
from results.parquet import read_table
from results.record import SCHEMA_VERSION, Record, RecordError
from results.rerun import advice, command_of, rerun

if TYPE_CHECKING:
    import pyarrow

STUDIES = "studies"  # below a results folder: the journals of searches
LOCK_SECONDS = 60.0
KEY_LENGTH = 12
SLUG_LENGTH = 100


def slug(name: str) -> str:
    """Turn an encoder or task id into a file name that no other id has, also where file names ignore case.

    An id of lower-case letters, digits, ``_``, ``-`` and ``.`` stays as it is. From any other, what is unsafe becomes
    ``-``, and ``~`` with eight hex digits of the id's SHA-256 follows; a plain id cannot hold ``~``, so it never meets
    one of these.

    >>> slug("musicset-ularge")
    'musicset-ularge'
    >>> slug("hf:m-a-p/MERT-v1-95M?layer=7")
    'hf-m-a-p-mert-v1-95m-layer-7~acb0181c'

    Raises:
        RecordError: the id is empty.
    """
    if not name.strip():
        raise RecordError("An encoder or task id is empty, so its record has no file name", "Give it an id.")
    # ".limit-" separates the id from a limit in the names of limited runs, so no id may hold it.
    safe = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).replace(".limit-", "-limit-").strip("-.")[:SLUG_LENGTH]
    if safe == name:
        return name
    return f"{safe}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def record_path(
    results: Path, task: str, encoder: str, limit: int | None = None, curve: str | None = None, variant: str = ""
) -> Path:
    """Return the file of a record. A run limited to N tracks has a file of its own and never displaces the full one.

    So has a variant; no slug holds its ``+``. The points of a learning curve, by name, have a folder of their own:
    ``<results>/curves/<task>/<encoder>/``.

    >>> record_path(Path("results"), "gs_key", "musicset-ularge", limit=50).as_posix()
    'results/runs/gs_key/musicset-ularge.limit-50.json'
    >>> record_path(Path("results"), "gs_key", "musicset-ularge", variant="bf16+quick").as_posix()
    'results/runs/gs_key/musicset-ularge+bf16+quick.json'
    """
    if curve is not None:
        return results / "curves" / slug(task) / _stem(encoder, limit, variant) / f"{curve}.json"
    return results / "runs" / slug(task) / f"{_stem(encoder, limit, variant)}.json"


def path_of(results: Path, record: Record) -> Path:
    """Return the file of ``record``."""
    point = record.curve
    curve = None if point is None else f"fraction-{point.fraction:g}.repeat-{point.repeat}"
    return record_path(results, record.task.id, record.encoder.id, record.limit, curve, record.variant)


def predictions_path(results: Path, record: Record) -> Path:
    """Return the Parquet file of a record's predictions; it serves current records and those of the history alike."""
    return path_of(results, record).parent / record.predictions


def write(results: Path, record: Record) -> Path:
    """Write a record and return its file: see :func:`displace`."""
    return displace(results, record)[0]


def displace(results: Path, record: Record) -> tuple[Path, Path | None]:
    """Write a record; return its file, and that in the history of the one that it displaces, if there is one.

    The file is replaced as a whole or not at all. A record of another ``run_key`` in its place is first copied to
    ``history/<encoder>.<run_key[:12]>.json`` there; a record of the same ``run_key`` is replaced. Writers take turns by
    a lock, so none loses what another has written.

    Raises:
        RecordError: a number is NaN or infinite, a key is malformed, or the results folder stays locked.
    """
    path = path_of(results, record)
    _check_key(record.run_key)
    if not is_plain_name(record.predictions):
        raise RecordError(
            f"Record of {record.encoder.id} on {record.task.id}: predictions is {record.predictions!r}, not the name "
            "of a file in the record's own folder",
            "Pass the name that write_predictions returns.",
        )
    data = text.encode(signed(results, record), path)
    lock = results / path.relative_to(results).parts[0] / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            displaced = _keep_displaced(path, record.run_key)
            replace_file(path, data)
    except Timeout as error:
        raise RecordError(
            f"{path} was not written: another run has held {lock} for {LOCK_SECONDS:.0f} s",
            "Wait for it and repeat.",
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    return path, displaced


def signed(results: Path, record: Record) -> Record:
    """Return a record of the present schema with the digest of its predictions, where they are, as they are now.

    The digest of its own content follows when it is written.
    """
    path = predictions_path(results, record)
    try:
        digest = file_digest(read_regular(path))
    except OSError:
        digest = None
    return record.model_copy(update={"predictions_sha256": digest, "schema_version": SCHEMA_VERSION})


def write_predictions(
    results: Path,
    task: str,
    encoder: str,
    run_key: str,
    table: pyarrow.Table,
    limit: int | None = None,
    curve: str | None = None,
    variant: str = "",
) -> str:
    """Write the predictions of a run beside where its record will be, and return their file name.

    Call it before ``write`` and put the name into ``record.predictions``. The name holds the run key, and the digest
    too where other predictions of this run key lie there: those that the present record names are not touched.

    Raises:
        RecordError: ``run_key`` is malformed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_key(run_key)
    record = record_path(results, task, encoder, limit, curve, variant)
    path = record.with_name(f"{record.stem}.{run_key[:KEY_LENGTH]}.parquet")
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    data = buffer.getvalue().to_pybytes()
    try:
        if path.exists() and read_regular(path) != data:
            path = path.with_name(f"{path.stem}-{file_digest(data)[:8]}.parquet")
        replace_file(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path.name


def read_predictions(results: Path, record: Record) -> pyarrow.Table:
    """Read the predictions that a record names.

    Raises:
        RecordError: the file is missing, is not the one whose digest the record holds, or is not whole Parquet.
    """
    import pyarrow as pa

    path = predictions_path(results, record)
    what = f"{path}, the predictions of {record.encoder.id} on {record.task.id},"
    again = f"compute it again: {rerun(record)}"
    sign = shlex.join(["bench", "results", "verify", "--sign", str(path_of(results, record))])
    try:
        data = read_regular(path)
        if record.predictions_sha256 not in (None, file_digest(data)):
            raise RecordError(
                f"{what} is not the file that its record was written with: its sha256 differs",
                f"Restore it, or {again}; if it was changed on purpose, {sign!r} says what differs and signs it anew",
            )
        return read_table(data)
    except FileNotFoundError as error:
        raise RecordError(f"{what} is not there", f"Restore it, or {again}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RecordError(f"{what} cannot be read ({error})", f"Restore it, or {again}") from error


def read(path: Path) -> Record:
    """Read one record.

    Raises:
        RecordError: the file is missing, is not JSON, has another schema version, breaks the schema, or is not what
            its digest says. The message names the file, the field and the command that makes the record again.
    """
    return read_unchecked(path, checked=True)


def changed_parts(path: Path) -> list[str]:
    """Return the parts of the record at ``path`` that are not what its digests say.

    Raises:
        RecordError: as ``read`` does, but for the digests.
    """
    return text.changed_parts(_text(path), path)


def read_unchecked(path: Path, *, checked: bool = False) -> Record:
    """Read one record, whatever its digests say; see :func:`read`."""
    return text.decode(_text(path), path, checked=checked)


def refuse_other_file(path: Path) -> None:
    """Refuse what is no record by its kind: a folder, or a file that lies beside a record.

    Raises:
        RecordError: The message names a record that was perhaps meant.
    """
    if path.is_dir():
        inside = sorted([*path.glob("*.json"), *path.glob("*/*.json"), *path.glob("runs/*/*.json")])
        card = next((each for each in inside if each.name == "probe.json"), None)
        what = f"{path} is a folder, not the JSON file of a record"
        if card is not None:
            raise RecordError(f"{what}: it holds an exported probe", f"Use it with: bench predict --probe {path} FILE")
        name = inside[0] if inside else path / "TASK" / "ENCODER.json"
        raise RecordError(what, f"name one, such as {name}")
    if path.suffix != ".json" and path.is_file():
        beside = sorted(path.parent.glob("*.json"))
        mine = [each for each in beside if path.name.startswith(f"{each.stem}.")] or beside
        name = mine[0] if mine else Path("results/runs/TASK/ENCODER.json")
        raise RecordError(f"{path} is not the JSON file of a record", f"name one, such as {name}")


def _text(path: Path) -> str:
    refuse_other_file(path)
    try:
        return read_regular(path).decode("utf-8")
    except FileNotFoundError as error:
        raise RecordError(f"{path} is not there", f"Make it with: {command_of(path, None)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read: {error}", advice(path, None)) from error


def read_all(results: Path, *, curves: bool = False) -> list[Record]:
    """Read every record, limited runs among them, sorted by task, encoder and limit. The history is left out.

    A results folder without records, or none at all, gives an empty list. The points of learning curves are read with
    ``curves`` alone.

    Raises:
        RecordError: as ``read`` does, or a record lies where another belongs (a copied or renamed file).
    """
    records = []
    for path in sorted([*results.glob("runs/*/*.json"), *(results.glob("curves/*/*/*.json") if curves else ())]):
        record = read(path)
        expected = path_of(results, record)
        if path != expected:
            raise RecordError(
                f"{path} holds the record of {record.encoder.id} on {record.task.id}, which belongs in {expected}",
                "Move it there or delete it.",
            )
        records.append(record)
    return sorted(records, key=lambda record: (record.task.id, record.name, record.limit or 0))


def _unwritable(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"{path} was not written: {error.strerror or error}",
        "Make room, or give another --results, and run the same command again: the embeddings are kept.",
    )


def _stem(encoder: str, limit: int | None, variant: str) -> str:
    name = f"{slug(encoder)}+{variant}" if variant else slug(encoder)
    return name if limit is None else f"{name}.limit-{limit}"


def _check_key(run_key: str) -> None:
    if not re.fullmatch(rf"[0-9a-f]{{{KEY_LENGTH},}}", run_key):
        raise RecordError(
            f"run_key {run_key!r} is not {KEY_LENGTH} or more lower-case hex digits, so it cannot name a file",
            "Use the hex digest of a hash.",
        )


def history_path(path: Path, run_key: str) -> Path:
    """Return where the record at ``path`` goes when another run displaces it."""
    return path.parent / "history" / f"{path.stem}.{run_key[:KEY_LENGTH]}.json"


def _keep_displaced(path: Path, run_key: str) -> Path | None:
    """Copy the record at ``path`` into the history unless it is of the same run, and return the copy.

    It is copied, not moved, so that a crash before the new record is in place leaves the old one there.
    """
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return None
    try:
        key = json.loads(data)["run_key"]
        _check_key(key)
        kept = history_path(path, key)
    except (ValueError, TypeError, KeyError):
        key, name = None, f"unreadable-{hashlib.sha256(data).hexdigest()[:8]}"
        kept = path.parent / "history" / f"{path.stem}.{name}.json"
    if key == run_key:
        return None
    replace_file(kept, data)
    return kept
