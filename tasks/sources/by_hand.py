"""What to bring by hand where no address can be reached: each file's place, size, checksum and addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.sources.card import Source, archives_of
from tasks.sources.state import is_sound, is_unpacked, target_of


def absent(sources: Sequence[Source], root: Path) -> list[tuple[Source, Path]]:
    """Return the sources whose files are neither here nor unpacked, each with its place below ``root``.

    Args:
        sources: With all parts of a split archive, as for :func:`tasks.sources.fetch.pending`.
        root: The folder that they belong to.
    """
    lacking = []
    for parts in archives_of(sources):
        archive = next((part for part in parts if part.unpack is not None), None)
        if archive is not None and is_unpacked(archive, root):
            continue
        places = [(part, target_of(part, root)) for part in parts]
        lacking += [(part, path) for part, path in places if not is_sound(part, root) and not path.is_dir()]
    return lacking


def by_hand(files: Iterable[tuple[Source, Path]], command: str) -> str:
    """Return where files belong that could not be fetched, what they are to be, and the next command; or nothing.

    Args:
        files: Sources that are absent, each with its place.
        command: What takes the files that lie there, and unpacks archives.
    """
    lines = []
    for source, path in files:
        lines.append(f"  {path}")
        kind = "an archive, which that command unpacks; " if source.unpack is not None else ""
        lines.append(f"      {kind}{described(source.size, source.sha256, source.md5)}")
        lines += [f"      from {url}" for url in source.urls]
        lines += [] if source.urls else ["      it cannot be downloaded"]
        lines += [f"      {' '.join(source.note.split())}"] if source.note else []
    if not lines:
        return ""
    head = "Where there is no connection, bring these files from a machine that has one, each to the place named:"
    return "\n".join([head, *lines, f"Then: {command}"])


def described(size: int | None, sha256: str | None, md5: str | None = None) -> str:
    """Return the size and the checksum of a file in words.

    >>> described(1234, None, None)
    '1,234 bytes, no checksum is known'
    """
    amount = "its size is not known" if size is None else f"{size:,} bytes"
    return f"{amount}, {f'sha256 {sha256}' if sha256 else f'md5 {md5}' if md5 else 'no checksum is known'}"
