"""Where records live: ``<results>/runs/<task>/<encoder>.json``, written atomically, one file a run.

Predictions lie beside their record as ``<encoder>.<run_key[:12]>.parquet``. They are written first and the record names
them, so replacing the JSON file is the only commit: whenever a run is cut off, each record still names its own
predictions. A record that another run displaces is copied to ``<results>/runs/<task>/history/`` before that commit; its
predictions stay where they are.

A point of a learning curve has ``<results>/curves/<task>/<encoder>/fraction-<F>.repeat-<R>.json``, by the same rules.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock, Timeout
from pydantic import ValidationError

from results.record import READ_VERSIONS, Record, RecordError

if TYPE_CHECKING:
    import pyarrow

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
        raise RecordError("An encoder or task id is empty, so its record has no file name. Give it an id.")
    # ".limit-" separates the id from a limit in the names of limited runs, so no id may hold it.
    safe = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).replace(".limit-", "-limit-").strip("-.")[:SLUG_LENGTH]
    if safe == name:
        return name
    return f"{safe}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def record_path(results: Path, task: str, encoder: str, limit: int | None = None, curve: str | None = None) -> Path:
    """Return the file of a record. A run limited to N tracks has a file of its own and never displaces the full one.

    The points of a learning curve, by name, have a folder of their own: ``<results>/curves/<task>/<encoder>/``.

    >>> record_path(Path("results"), "gs_key", "musicset-ularge", limit=50).as_posix()
    'results/runs/gs_key/musicset-ularge.limit-50.json'
    """
    if curve is not None:
        return results / "curves" / slug(task) / _stem(encoder, limit) / f"{curve}.json"
    return results / "runs" / slug(task) / f"{_stem(encoder, limit)}.json"


def place_of(results: Path, record: Record) -> Path:
    """Return the file of ``record``."""
    point = record.curve
    curve = None if point is None else f"fraction-{point.fraction:g}.repeat-{point.repeat}"
    return record_path(results, record.task.id, record.encoder.id, record.limit, curve)


def predictions_path(results: Path, record: Record) -> Path:
    """Return the Parquet file of a record's predictions; it serves current records and those of the history alike."""
    return place_of(results, record).parent / record.predictions


def write(results: Path, record: Record) -> Path:
    """Write a record and return its file. The file is replaced as a whole or not at all.

    A record of another ``run_key`` in its place is first copied to ``history/<encoder>.<run_key[:12]>.json`` there; a
    record of the same ``run_key`` is replaced. Writers take turns by a lock, so none loses what another has written.

    Raises:
        RecordError: a number is NaN or infinite, a key is malformed, or the results folder stays locked.
    """
    path = place_of(results, record)
    _check_key(record.run_key)
    if record.predictions != Path(record.predictions).name:
        raise RecordError(
            f"Record of {record.encoder.id} on {record.task.id}: predictions is {record.predictions!r}, not the name "
            "of a file in the record's own folder. Pass the name that write_predictions returns."
        )
    data = _encode(record, path)
    lock = results / path.relative_to(results).parts[0] / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            _keep_displaced(path, record.run_key)
            replace_file(path, data)
    except Timeout as error:
        raise RecordError(
            f"{path} was not written: another run has held {lock} for {LOCK_SECONDS:.0f} s. Wait for it and repeat."
        ) from error
    except OSError as error:
        raise RecordError(_unwritable(path, error)) from error
    return path


def write_predictions(
    results: Path,
    task: str,
    encoder: str,
    run_key: str,
    table: pyarrow.Table,
    limit: int | None = None,
    curve: str | None = None,
) -> str:
    """Write the predictions of a run beside where its record will be, and return their file name.

    Call it before ``write`` and put the name into ``record.predictions``. The name holds the run key: the predictions
    that the present record names are not touched.

    Raises:
        RecordError: ``run_key`` is malformed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_key(run_key)
    record = record_path(results, task, encoder, limit, curve)
    path = record.with_name(f"{record.stem if curve else _stem(encoder, limit)}.{run_key[:KEY_LENGTH]}.parquet")
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    try:
        replace_file(path, memoryview(buffer.getvalue()))
    except OSError as error:
        raise RecordError(_unwritable(path, error)) from error
    return path.name


def read_predictions(results: Path, record: Record) -> pyarrow.Table:
    """Read the predictions that a record names.

    Raises:
        RecordError: the file is missing or is not whole Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = predictions_path(results, record)
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        problem = "is not there" if not path.is_file() else f"cannot be read ({error})"
        raise RecordError(
            f"{path}, the predictions of {record.encoder.id} on {record.task.id}, {problem}. "
            f"Restore it, or compute it again: {_command_of(path, record.model_dump())} --overwrite always"
        ) from error


def read(path: Path) -> Record:
    """Read one record.

    Raises:
        RecordError: the file is missing, is not JSON, has another schema version, or breaks the schema. The message
            names the file, the field and the command that makes the record again.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise RecordError(f"{path} is not there. Make it with: {_command_of(path, None)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read: {error}. {_advice(path, None)}") from error
    return _decode(text, path)


def read_all(results: Path) -> list[Record]:
    """Read every record, limited runs among them, sorted by task, encoder and limit. The history is left out.

    A results folder without records, or none at all, gives an empty list.

    Raises:
        RecordError: as ``read`` does, or a record lies where another belongs (a copied or renamed file).
    """
    records = []
    for path in sorted(results.glob("runs/*/*.json")):
        record = read(path)
        expected = place_of(results, record)
        if path != expected:
            raise RecordError(
                f"{path} holds the record of {record.encoder.id} on {record.task.id}, which belongs in {expected}. "
                "Move it there or delete it."
            )
        records.append(record)
    return sorted(records, key=lambda record: (record.task.id, record.encoder.id, record.limit or 0))


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to a temporary file beside ``path``, sync it to the disk, and rename it onto ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> str:
    return (
        f"{path} was not written: {error.strerror or error}. Make room, or give another --results, and run the same "
        "command again: the embeddings are kept."
    )


def _stem(encoder: str, limit: int | None) -> str:
    return slug(encoder) if limit is None else f"{slug(encoder)}.limit-{limit}"


def _check_key(run_key: str) -> None:
    if not re.fullmatch(rf"[0-9a-f]{{{KEY_LENGTH},}}", run_key):
        raise RecordError(
            f"run_key {run_key!r} is not {KEY_LENGTH} or more lower-case hex digits, so it cannot name a file. "
            "Use the hex digest of a hash."
        )


def _keep_displaced(path: Path, run_key: str) -> None:
    """Copy the record at ``path`` into the history unless it is of the same run.

    It is copied, not moved, so that a crash before the new record is in place leaves the old one there.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    try:
        key = json.loads(data)["run_key"]
        _check_key(key)
        name = key[:KEY_LENGTH]
    except (ValueError, TypeError, KeyError):
        key, name = None, f"unreadable-{hashlib.sha256(data).hexdigest()[:8]}"
    if key != run_key:
        replace_file(path.parent / "history" / f"{path.stem}.{name}.json", data)


def _encode(record: Record, path: Path) -> bytes:
    """Serialise a record and read it back, so that nothing is written which ``read`` would refuse."""
    content = record.model_dump(warnings=False)  # what is wrong, _decode refuses
    for field in _not_finite(content):
        raise RecordError(
            f"{path} was not written: field {field} is NaN or infinite, which JSON cannot hold. Look for constant "
            "labels or a diverged probe in this run."
        )
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _decode(text, path)
    return text.encode("utf-8")


def _decode(text: str, path: Path) -> Record:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        content = json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise RecordError(f"{path} is not whole JSON: {error}. {_advice(path, None)}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in READ_VERSIONS or isinstance(version, bool | float):
        raise RecordError(
            f"{path}: field schema_version is {version!r}, and this version of the package reads "
            f"{' and '.join(map(str, READ_VERSIONS))}. "
            f"Install the version that wrote it. {_advice(path, content)}"
        )
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path}: field {field}: {first['msg']}. {_advice(path, content)}") from error
    for field in _not_finite(content):  # 1e999 is JSON, and infinite
        raise RecordError(f"{path}: field {field} is not a finite number. {_advice(path, content)}")
    return record


def _not_finite(value: object, field: str = "") -> Iterator[str]:
    """Yield the dotted name of every NaN or infinity in nested dictionaries and lists."""
    if isinstance(value, float) and not math.isfinite(value):
        yield field
    elif isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from _not_finite(part, f"{field}.{key}" if field else str(key))


def _advice(path: Path, content: object) -> str:
    return f"Restore the file, or move it away and run again: {_command_of(path, content)}"


def _command_of(path: Path, content: object) -> str:
    """Name the command that makes the record at ``path``, from its content where that says it, else from its place."""
    name, folder = path.name.removesuffix(".json"), path.parent
    folder = folder.parent if folder.name == "history" else folder
    point = re.match(r"fraction-(?P<fraction>[0-9.e-]+)\.repeat-(?P<repeat>\d+)", name)
    if folder.parent.parent.name == "curves" and point:
        task, placed = folder.parent.name, folder.name
    else:
        task, placed, point = folder.name, name, None
    encoder, _, limit = placed.partition(".limit-")
    known = content if isinstance(content, dict) else {}
    encoder, task = (
        section["id"] if isinstance(section, dict) and isinstance(section.get("id"), str) else otherwise
        for section, otherwise in ((known.get("encoder"), encoder), (known.get("task"), task))
    )
    words = ["bench", "run", "--encoder", encoder, "--task", task]
    if (number := limit.partition(".")[0]).isdecimal():
        words += ["--limit", number]
    protocol = known.get("protocol") if known.get("schema_version") in READ_VERSIONS else None
    if isinstance(protocol, str) and protocol != "paper":  # of other versions, names of protocols mean nothing here
        words += ["--protocol", protocol]
    if point:
        words += ["--train-fraction", point["fraction"]]
        words += ["--repeats", str(int(point["repeat"]) + 1)] if int(point["repeat"]) else []
    return shlex.join(words)
