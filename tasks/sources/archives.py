"""Unpack archives that a stranger made: zip and tar, also split into parts, into a folder and never beside it.

Members are checked one by one and written to a temporary folder inside the target; only when all are whole do they take
their places. A killed unpack leaves that folder alone, and the next one removes it and starts again.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.errors import TaskError
from tasks.files import refuse_no_file, resolved
from tasks.sources.disk import not_written, refuse_if_full
from tasks.sources.http import Progress

RATIO, FLOOR = 100, 1 << 30  # an archive that claims more than both, times its own size and in bytes, is a bomb
LONGEST_PART, LONGEST_NAME = 255, 1000  # bytes
MEMBERS = 5_000_000
MANY, SMALLEST = 10_000, 200  # of more members, each takes so many bytes of the archive: audio and annotations do
LONGEST_HEADER = 1 << 20  # bytes of a header that only says how the next member is called
BLOCK = 1 << 20
AGAIN = "remove it and fetch it again"
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError)


class _TarInfo(tarfile.TarInfo):
    """A member of a tar; what the next one is called is read into memory, and therefore bounded."""

    NAMING = (
        tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
    )  # fmt: skip

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:  # where tarfile lets subclasses in
        if self.type in self.NAMING and not 0 <= self.size <= LONGEST_HEADER:
            raise TaskError(f"refusing {tar.name!s}: a header of {self.size:,} bytes, which no name takes", AGAIN)
        return super()._proc_member(tar)  # type: ignore[misc]


@dataclass(frozen=True)
class _Member:
    """A file in an archive; ``size`` is what the archive claims."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def concatenate(parts: Sequence[Path], to: Path) -> Path:
    """Join the parts of a split archive into the file ``to``.

    Raises:
        TaskError: There is no room, or a file cannot be read or written.
    """
    scratch = to.with_name(to.name + ".part")
    try:
        refuse_if_full(to.parent, sum(part.stat().st_size for part in parts), to.name)
        with scratch.open("wb") as joined:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, joined, BLOCK)
            joined.flush()
            os.fsync(joined.fileno())
        scratch.replace(to)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise not_written(error, to) from None
    return to


def unpack(archive: Path, to: Path, *, progress: Progress | None = None) -> int:
    """Unpack ``archive`` into the folder ``to`` and return how many files it had; files that are there are replaced.

    A zip and a plain tar say at their start what they hold, and are checked against the free room first; a compressed
    tar is checked member by member.

    Args:
        archive: zip, tar, tar.gz, tar.bz2 or tar.xz, known by its content.
        to: Made when missing.
        progress: Called with the bytes written and the bytes in all where they are known.

    Raises:
        TaskError: The archive is damaged or holds what no data set needs: links, devices, absolute names, ``..``, one
            name twice, sizes that are not true or far beyond its own; or there is no room.
    """
    scratch = to / f".unpacking-{archive.name}"
    try:
        to.mkdir(parents=True, exist_ok=True)
        if scratch.exists():
            shutil.rmtree(scratch)
        total = _announced(archive, to)
        scratch.mkdir()
        try:
            names = _write(archive, scratch, total, progress)
            _place(names, scratch, to)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except DAMAGED as error:
        raise TaskError(
            f"the archive {archive} is damaged ({error or type(error).__name__})",
            AGAIN,
        ) from None
    except NotImplementedError as error:
        raise TaskError(
            f"cannot unpack {archive}: {error}",
            "Unpack it yourself into the folder that 'bench data where' names",
        ) from None
    except RecursionError:
        raise TaskError(f"refusing {archive}: headers within headers, a thousand deep", AGAIN) from None
    except (ValueError, OverflowError) as error:
        if isinstance(error, TaskError):
            raise
        raise TaskError(f"the archive {archive} is damaged ({error})", AGAIN) from None
    except OSError as error:
        raise not_written(error, to) from None
    return len(names)


def _announced(archive: Path, to: Path) -> int | None:
    """Return the bytes that the archive claims to hold, checked against the free room; ``None`` if that is unknown."""
    own = refuse_no_file(archive)
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as file:
            total: int | None = sum(info.file_size for info in file.infolist())
            _refuse_many(archive, len(file.infolist()), sum(info.compress_size for info in file.infolist()))
    elif _is_tar(archive):
        total = _announced_by_tar(archive)
    else:
        raise TaskError(f"{archive} is neither a zip nor a tar archive", AGAIN)
    _refuse_bomb(archive, total or 0, own)
    refuse_if_full(to, own if total is None else total, f"what {archive.name} holds")
    return total


def _is_zip(archive: Path) -> bool:
    with archive.open("rb") as file:  # a tar whose last member is a zip ends like one
        return file.read(2) == b"PK" and zipfile.is_zipfile(archive)


def _is_tar(archive: Path) -> bool:
    try:
        tarfile.open(archive, tarinfo=_TarInfo).close()
    except (tarfile.TarError, EOFError):
        return False
    return True


def _announced_by_tar(archive: Path) -> int | None:
    try:
        with tarfile.open(archive, "r:", tarinfo=_TarInfo) as file:  # not compressed: a look at the headers is quick
            return sum(member.size for member in file if member.isreg())
    except tarfile.ReadError:
        return None


def _refuse_bomb(archive: Path, total: int, own: int) -> None:
    if total > max(FLOOR, RATIO * own):
        raise TaskError(f"refusing {archive}: {own} bytes that claim to hold {total} are a bomb", AGAIN)


def _refuse_many(archive: Path, members: int, held: int) -> None:
    """Refuse tens of thousands of members for which the archive has next to no bytes: each costs a file on the disk."""
    if members > MEMBERS:
        raise TaskError(f"refusing {archive}: it holds more than {MEMBERS} files", AGAIN)
    if members > MANY and held < SMALLEST * members:
        raise TaskError(
            f"refusing {archive}: it holds {members:,} files or more in {held:,} bytes, so that most are empty",
            AGAIN,
        )


def _write(archive: Path, scratch: Path, total: int | None, progress: Progress | None) -> list[str]:
    """Write all members below ``scratch`` and return their names."""
    own, claimed, written = archive.stat().st_size, 0, 0
    names: dict[str, None] = {}
    folders: set[str] = set()
    for member in _members(archive):
        name = _checked_name(archive, member.name)
        above = {str(parent) for parent in PurePosixPath(name).parents} - {"."}
        if name in names or name in folders or any(folder in names for folder in above):
            raise TaskError(f"refusing {archive}: it holds {name!r} twice", AGAIN)
        names[name] = None
        claimed += member.size
        _refuse_bomb(archive, claimed, own)
        if total is None and member.size > BLOCK:
            refuse_if_full(scratch, member.size, f"what {archive.name} holds")
        path = scratch / name
        if not above <= folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        folders |= above
        found = 0
        with member.open() as source, path.open("xb") as file:
            while block := source.read(BLOCK):
                found += len(block)
                if found > member.size:
                    break
                file.write(block)
                if progress is not None:
                    progress(written + found, total)
        if found != member.size:
            raise TaskError(
                f"refusing {archive}: {name!r} is not of the {member.size} bytes that it claims",
                AGAIN,
            )
        written += found
    if not names:
        raise TaskError(f"the archive {archive} holds no files", AGAIN)
    return list(names)


def _members(archive: Path) -> Iterator[_Member]:
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as file:
            yield from _zip_members(archive, file)
    else:
        with tarfile.open(
            archive, "r|*", tarinfo=_TarInfo
        ) as file:  # a stream: one pass, and no list of members in memory
            yield from _tar_members(archive, file)


def _zip_members(archive: Path, file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1:
            raise TaskError(f"refusing {archive}: {info.filename!r} is encrypted", AGAIN)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise TaskError(f"refusing {archive}: {info.filename!r} is a {_kind_of_mode(kind)}", AGAIN)
        if info.is_dir() or kind == stat.S_IFDIR:
            _checked_name(archive, info.filename)
            continue
        yield _Member(info.filename, info.file_size, lambda info=info: file.open(info))  # type: ignore[misc]


def _tar_members(archive: Path, file: tarfile.TarFile) -> Iterator[_Member]:
    entries, own = 0, archive.stat().st_size
    while (info := file.next()) is not None:
        file.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
        entries += 1
        _refuse_many(archive, entries, own)
        if info.isdir():
            if info.name.strip("./"):
                _checked_name(archive, info.name)
            continue
        if not info.isreg():
            kind = "link" if info.issym() or info.islnk() else "device"
            raise TaskError(f"refusing {archive}: {info.name!r} is a {kind}", AGAIN)
        _checked_name(archive, info.name)
        if hasattr(tarfile, "data_filter"):
            try:
                tarfile.data_filter(info, str(archive.parent))
            except tarfile.FilterError as error:
                raise TaskError(f"refusing {archive}: {error}", AGAIN) from None
        yield _Member(info.name, info.size, lambda info=info: _extracted(file, info))  # type: ignore[misc]


def _extracted(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = file.extractfile(info)
    if stream is None:
        raise tarfile.ReadError(f"{info.name!r} cannot be read")
    return stream


def _checked_name(archive: Path, name: str) -> str:
    """Return the member's name relative to the target, with ``/`` between its parts.

    Raises:
        TaskError: It is absolute, leads elsewhere, is too long, or has characters that no file name needs.
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    why = ""
    if plain.startswith("/") or (parts and re.match(r"[A-Za-z]:", parts[0])):
        why = "is absolute"
    elif ".." in parts:
        why = "leads out of its folder"
    elif not parts:
        why = "is no name"
    elif any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        why = "has control characters"
    elif max(len(os.fsencode(part)) for part in parts) > LONGEST_PART or len(os.fsencode(plain)) > LONGEST_NAME:
        why = "is too long"
    if why:
        raise TaskError(f"refusing {archive}: the name {name[:200]!r} {why}", AGAIN)
    return "/".join(parts)


def _kind_of_mode(kind: int) -> str:
    return "link" if kind == stat.S_IFLNK else "device"


def _place(names: Sequence[str], scratch: Path, to: Path) -> None:
    """Move the files from ``scratch`` to their places, each in one step."""
    made: set[Path] = set()
    base = resolved(to)
    for name in names:
        target = to / name
        if target.parent not in made:
            if not resolved(target.parent).is_relative_to(base):
                raise TaskError(f"{target.parent} is a link that leads out of {to}", "remove it, then unpack again")
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        (scratch / name).replace(target)
