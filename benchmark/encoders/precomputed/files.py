"""Files of precomputed embeddings: .npz, .parquet, .npy with ids, or a folder of ``<track_id>.npy``.

Nothing that could run code is loaded: arrays of Python objects (pickles) are refused.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoders.declarations import check_width
from benchmark.errors import UserError
from benchmark.system.files import content_hash
from results.parquet import FREE, RATIO, read_table
from tasks.errors import TaskError
from tasks.files import MAGIC, TABLE, check_npy, parse_json, read_text, refuse_no_file
from tasks.spelling import AmbiguousNameError, composed, find

FORMS = (
    "a .npz with arrays 'ids' and 'embeddings'; a .parquet with a column 'track_id' or 'id' and either a list column "
    "'embedding' or one numeric column a dimension; a .npy with STEM.ids.txt, STEM.ids.json or ids.txt beside it; or a "
    "folder of TRACK_ID.npy"
)
ID_COLUMNS = ("track_id", "id")
NUMBERS = "fiu"
#: What NumPy and its readers of archives raise on damaged and made-up files: impossible sizes, encryption and the like.
DAMAGE = (
    ValueError, EOFError, MemoryError, OverflowError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """The rows of a file of embeddings.

    Attributes:
        ids: n ids as texts in the composed Unicode form, in the order of the file; they may repeat.
        dim: Width D of a row.
        take: Reads the rows at the given indices: numbers [len(indices), D] of the type that the file has.
        digests: The sha256 of each file that was read.
    """

    ids: tuple[str, ...]
    dim: int
    take: Callable[[np.ndarray], np.ndarray]
    digests: tuple[str, ...]


def read_rows(path: Path) -> Rows:
    """Read ids, and as much of the embeddings as is needed to take rows later.

    Raises:
        UserError: There is no such file, it is of none of the forms, or it is not what its form must be.
    """
    try:
        path = find(path) or path
    except AmbiguousNameError as error:
        raise UserError(error.what, error.do) from None
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise UserError(f"there are no embeddings at {path}", f"give {FORMS}")
    readers = {".npz": _npz, ".npy": _npy, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is not a file of embeddings that is known", f"give {FORMS}")
    try:
        refuse_no_file(path)
        return reader(path)
    except TaskError as error:
        raise UserError(error.what, error.do, error.rows) from None
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}", "let it be read, or name another file"
        ) from error


def _refuse_bomb(path: Path, held: int) -> None:
    """Refuse a file whose content would take far more memory than real embeddings do.

    Raises:
        UserError: It would.
    """
    size = path.stat().st_size
    if held > max(FREE, RATIO * size):
        raise UserError(
            f"refusing {path}: {size:,} bytes that would take {held:,} in memory are a bomb",
            "write it again without compression, or get it again",
        )


def _check_members(path: Path) -> None:
    """Check what the arrays of an .npz claim, before any of them is read.

    Raises:
        UserError: They are larger than real embeddings would be, or their bytes are not those of their headers.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _refuse_bomb(path, sum(member.file_size for member in members))
        for member in members:
            if member.filename in ("ids.npy", "embeddings.npy"):
                with archive.open(member) as file:
                    check_npy(file, member.file_size, f"{path}: {member.filename.removesuffix('.npy')!r}")


def _npz(path: Path) -> Rows:
    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UserError(f"{path} is one array, not a .npz", "call it .npy and put its ids beside it")
        with archive:
            lacking = [name for name in ("ids", "embeddings") if name not in archive.files]
            if lacking:
                raise UserError(
                    f"{path} has no array {' and no '.join(map(repr, lacking))}, only {', '.join(archive.files)}",
                    "write it as np.savez(path, ids=ids, embeddings=embeddings)",
                )
            ids, matrix = archive["ids"], archive["embeddings"]
    except DAMAGE as error:
        raise _unreadable(path, error) from error
    for name, array in (("ids", ids), ("embeddings", matrix)):
        if not isinstance(array, np.ndarray):  # a member of the archive that is no .npy
            raise UserError(
                f"{path}: {name!r} is no array",
                "write it as np.savez(path, ids=ids, embeddings=embeddings)",
            )
    if ids.ndim != 1:
        raise UserError(f"{path}: 'ids' has the shape {list(ids.shape)}", "write it as a list [n], one id a row")
    _check_matrix(matrix, f"{path}: 'embeddings'")
    return _rows(_texts(ids.tolist(), f"{path}: 'ids'"), matrix, path, (content_hash(path),))


def _npy(path: Path) -> Rows:
    refuse_no_file(path)
    matrix = _load(path, mapped=True)
    _check_matrix(matrix, str(path))
    ids, file = _ids_beside(path)
    return _rows(ids, matrix, path, (content_hash(path), content_hash(file)))


def _parquet(path: Path) -> Rows:
    import pyarrow as pa

    try:
        table = _read_table(path)
    except (pa.ArrowException, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from error
    names = [name for name in ID_COLUMNS if name in table.column_names]
    if len(names) != 1:
        columns = ", ".join(table.column_names[:20])
        raise UserError(
            f"{path} has the columns {columns}",
            f"write exactly one of {' and '.join(map(repr, ID_COLUMNS))}, which holds the ids",
        )
    kind = table.schema.field(names[0]).type
    texts = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(test(texts) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)):
        raise UserError(f"{path}: the column {names[0]!r} is of the type {kind}", "write ids as texts or whole numbers")
    try:
        ids = _texts(table.column(names[0]).to_pylist(), f"{path}: the column {names[0]!r}")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: the column {names[0]!r} holds text that is not UTF-8 ({error.reason})",
            "write it as UTF-8",
        ) from None
    if "embedding" in table.column_names:
        matrix = _list_column(table, ids, path)
    else:
        matrix = _number_columns(table.drop_columns(names), path)
    _check_matrix(matrix, f"{path}: the embedding")
    return _rows(ids, matrix, path, (content_hash(path),))


def _read_table(path: Path) -> Any:
    """Return the ids and the embeddings of a file of Parquet, or all of its columns where none is the embedding's."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    if "embedding" not in schema.names:
        nested = [field for field in schema if field.type.num_fields]
        if nested:
            raise UserError(
                f"{path} has no column 'embedding', and {nested[0].name} is of the type {nested[0].type}",
                "write one list column 'embedding', or drop what is none of it",
            )
        return read_table(path)
    _check_list_type(schema.field("embedding").type, path)
    return read_table(path, (*ID_COLUMNS, "embedding"))


def _check_list_type(kind: Any, path: Path) -> None:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(kind) for test in lists) or not _is_number(kind.value_type):
        advice = "average over time first" if any(test(kind) for test in lists) else "write a list of numbers a row"
        raise UserError(f"{path}: the column 'embedding' is of the type {kind}, not a list of numbers", advice)


def _list_column(table: Any, ids: Sequence[str], path: Path) -> np.ndarray:
    import pyarrow.compute as pc

    column = table.column("embedding")
    lengths = np.array([-1 if n is None else n for n in pc.list_value_length(column).to_pylist()], np.int64)
    odd = np.flatnonzero(lengths != (lengths[0] if len(lengths) else 0))
    if len(lengths) and lengths[0] < 0:
        raise UserError(f"{path}: {ids[0]!r} has no embedding", "write a list of numbers there, or leave the row out")
    if len(odd):
        first = odd[0]
        has = "no embedding" if lengths[first] < 0 else f"{lengths[first]} numbers"
        raise UserError(
            f"{path}: {ids[first]!r} has {has}, but {ids[0]!r} has {lengths[0]}, in the column 'embedding'",
            "give all rows one length",
        )
    values = pc.list_flatten(column).to_numpy()  # an empty cell is NaN, and refused as such where it is used
    return np.asarray(values).reshape(len(ids), -1 if len(ids) else 0)


def _number_columns(table: Any, path: Path) -> np.ndarray:
    others = [field.name for field in table.schema if not _is_number(field.type) or field.name.startswith("__index")]
    if others or not table.column_names:
        raise UserError(
            f"{path} has no column 'embedding', so every column beside the ids must be a number of the embedding, but "
            f"it has {', '.join(others[:20]) or 'none'}",
            "write one list column 'embedding', or drop what is none of it",
        )
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _folder(path: Path) -> Rows:
    files = sorted(file for file in path.rglob("*.npy") if not file.name.startswith(".") and file.is_file())
    if not files:
        raise UserError(f"the folder {path} has no .npy files", f"give {FORMS}")
    ids = tuple(composed(file.relative_to(path).as_posix()[: -len(".npy")]) for file in files)

    def read(index: int) -> np.ndarray:
        row = _load(files[index])
        if row.ndim == 2 and row.shape[0] == 1:
            row = row[0]
        if row.ndim != 1:
            raise UserError(
                f"{files[index]} has the shape {list(row.shape)}, not [D]",
                "average over time, array.mean(axis=0)",
            )
        return row

    dim = len(read(0))
    _check_matrix(read(0)[None], str(files[0]))

    def take(indices: np.ndarray) -> np.ndarray:
        rows = [read(int(i)) for i in indices]
        for i, row in zip(indices, rows, strict=True):
            if len(row) != dim or row.dtype.kind not in NUMBERS:
                raise UserError(
                    f"{files[int(i)]} has {len(row)} of {row.dtype}, but {files[0]} has {dim} numbers",
                    "give all files one length and type",
                )
        return np.stack(rows) if rows else np.zeros((0, dim), np.float32)

    return Rows(ids, dim, take, tuple(content_hash(file) for file in files))


def _ids_beside(path: Path) -> tuple[tuple[str, ...], Path]:
    """Return the ids of a .npy, and the file that they are in."""
    own = [file for suffix in (".ids.txt", ".ids.json") if (file := path.with_name(path.stem + suffix)).is_file()]
    if len(own) > 1:
        raise UserError(f"{own[0]} and {own[1]} both are ids of {path}", "remove one")
    file = own[0] if own else path.with_name("ids.txt")
    if not file.is_file():
        raise UserError(
            f"{path} needs its track ids",
            f"put them into {path.stem}.ids.txt beside it, one a line in the order of the rows (or "
            f"{path.stem}.ids.json, a list, or ids.txt)",
        )
    try:
        text = read_text(file, TABLE)
        listed = parse_json(text, file) if file.suffix == ".json" else text.splitlines()
    except TaskError as error:
        raise UserError(f"{file} is not a list of ids: {error.what}", error.do) from None
    if not isinstance(listed, list):
        raise UserError(f"{file} is not a JSON list of ids", 'write ["id of row 1", "id of row 2", ...]')
    return _texts([name.strip() if isinstance(name, str) else name for name in listed], str(file)), file


def _load(path: Path, *, mapped: bool = False) -> np.ndarray:
    try:
        size = refuse_no_file(path)
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                file.seek(0)
                check_npy(file, size, str(path))
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}", "let it be read, or name another file"
        ) from error
    except DAMAGE as error:
        raise _unreadable(path, error) from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is an archive of arrays, not one array", "call it .npz")
    return array


def _unreadable(path: Path, error: Exception) -> UserError:
    text = str(error).splitlines()[0].removeprefix(f"{path}: ") if str(error) else type(error).__name__
    if "allow_pickle" in text or "Python objects" in text:
        text = "it holds Python objects, which could run code: write ids as np.array(ids, dtype=str), rows as numbers"
    return UserError(f"cannot read {path}: {text}", "write it again with numpy.save, or get it again")


def _check_matrix(matrix: np.ndarray, where: str) -> None:
    if matrix.ndim == 3:
        raise UserError(
            f"{where} has the shape {list(matrix.shape)}; [n, D] is needed, one row a track",
            "If the second axis is time, average over it: embeddings.mean(axis=1)",
        )
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise UserError(f"{where} has the shape {list(matrix.shape)}", "write [n, D], one row a track")
    if matrix.dtype.kind not in NUMBERS:
        raise UserError(f"{where} is of the type {matrix.dtype}", "write real numbers, best as float32")
    check_width(matrix.shape[1], 1, f"{where} has the shape {list(matrix.shape)}")


def _rows(ids: tuple[str, ...], matrix: np.ndarray, path: Path, digests: tuple[str, ...]) -> Rows:
    if len(ids) != len(matrix):
        raise UserError(
            f"{path} has {len(matrix)} rows, but there are {len(ids)} ids",
            "write one id for each row, in their order",
        )
    if not ids:
        raise UserError(f"{path} has no rows", "write one row for each track")
    return Rows(ids, matrix.shape[1], lambda indices: np.asarray(matrix[indices]), digests)


def _texts(ids: Sequence[Any], where: str) -> tuple[str, ...]:
    """Return ids as texts in the composed Unicode form: whole numbers as they are written, bytes as UTF-8."""
    texts = []
    for number, name in enumerate(ids, start=1):
        try:
            text = name.decode() if isinstance(name, bytes) else name
        except UnicodeDecodeError:
            raise UserError(f"{where}: id {number} is {name!r}, not UTF-8", "write it as UTF-8") from None
        if isinstance(text, bool) or not isinstance(text, str | int) or text == "":
            raise UserError(f"{where}: id {number} is {text!r}", "write ids as texts or whole numbers")
        texts.append(composed(str(text)))
    return tuple(texts)
