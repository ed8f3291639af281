"""The cache commands: what embeddings are there, whether they are sound, and which may go."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.filesize import decimal

from benchmark.audio.deformations import Deformation
from benchmark.embeddings.space import describes
from benchmark.embeddings.store import (
    COLUMNS,
    DESCRIPTION,
    FOLDER,
    TORN,
    TornError,
    leftovers,
    read_shard,
    set_aside,
    shards,
)
from benchmark.errors import UserError
from benchmark.system.descriptions import read_description
from benchmark.system.finding import Finding
from benchmark.system.scratch import scratch_folders
from benchmark.system.tables import table
from results.files import refuse_irregular

STALE_SECONDS = 3600.0  # a temporary file this old belongs to no running process
PRUNED = ".pruned-"  # how the name of a folder begins that is being deleted


@dataclass(frozen=True)
class CachedSpace:
    """One folder of the cache, as far as it can be read without its embeddings.

    Attributes:
        folder: Where it lies.
        encoder: The encoder's name; ``?`` where the space has no description that can be read.
        version: The encoder's version.
        width: Floats in an embedding; 0 without a description.
        tracks: Embeddings.
        size: Bytes.
        changed: When its last shard was written.
        state: What was done to the audio, and on which training split the encoder was fitted, where that is so.
        described: Whether it has a description, and that of this very space.
    """

    folder: Path
    encoder: str
    version: str
    width: int
    tracks: int
    size: int
    changed: float
    state: str = ""
    described: bool = True


def cached_spaces(home: Path) -> list[CachedSpace]:
    """Return the spaces below ``home``, by folder name."""
    spaces = []
    for folder in sorted(path for path in (home / FOLDER).glob("*/") if not path.name.startswith(PRUNED)):
        try:
            text = read_description(folder / DESCRIPTION)
            width = _width(text)
        except (OSError, ValueError):
            text, width = {}, 0
        described = isinstance(text.get("encoder"), str) and describes(text, folder.name)
        text = text if described else {}
        files = shards(folder)
        tracks = 0
        for file in files:
            try:
                refuse_irregular(file)
                tracks += pq.read_metadata(file).num_rows
            except (OSError, pa.ArrowException):
                continue
        spaces.append(
            CachedSpace(
                folder,
                str(text.get("encoder", "?")),
                str(text.get("version", "?")),
                width if described else 0,
                tracks,
                sum(file.lstat().st_size for file in folder.iterdir()),
                max((file.lstat().st_mtime for file in files), default=folder.stat().st_mtime),
                _state(text),
                described,
            )
        )
    return spaces


def _width(text: Mapping[str, object]) -> int:
    """Return the floats of an embedding, by a space's description.

    Raises:
        ValueError: It says none that can be.
    """
    dim, layers = text.get("dim", 0), text.get("layers") or [0]
    if not isinstance(dim, int) or not 0 <= dim <= 2**31 or not isinstance(layers, list):
        raise ValueError(f"an embedding of {dim!r} floats")
    return dim * len(layers)


def _state(text: dict[str, object]) -> str:
    """Return the deformation and the fit of a space's description in words."""
    words, deformation, fitted = [], text.get("deformation"), text.get("fitted_on")
    if deformation is not None:
        try:
            words.append(f"under {Deformation(**deformation).text}")  # type: ignore[arg-type]
        except (TypeError, KeyError, ValueError):  # of another version of this package
            words.append("under a deformation")
    if fitted is not None:
        words.append(f"fitted on {str(fitted)[:12]}")
    return ", ".join(words)


def format_spaces(home: Path) -> str:
    """Return the spaces below ``home`` as a table."""
    spaces = cached_spaces(home)
    rows = [
        [
            f"{space.encoder} {space.state}".rstrip(),
            space.version,
            f"{space.tracks}",
            f"{space.width}",
            f"{space.size / 1e6:.1f}",
            datetime.fromtimestamp(space.changed).strftime("%Y-%m-%d %H:%M"),
            space.folder.name,
        ]
        for space in spaces
    ]
    total = f"{len(spaces)} space(s), {decimal(sum(space.size for space in spaces))} in {home / FOLDER}"
    headers = ["encoder", "version", "tracks", "width", "MB", "changed", "folder"]
    return f"{table(rows, headers, texts=('encoder', 'changed'), spare=('folder', 'version', 'width'))}\n\n{total}"


def space_facts(home: Path) -> list[dict[str, Any]]:
    """Return the spaces below ``home`` for programs: sizes are bytes, times UTC."""
    return [
        {**vars(space), "changed": datetime.fromtimestamp(space.changed, UTC).isoformat(timespec="seconds")}
        for space in cached_spaces(home)
    ]


def verify(home: Path) -> Iterator[Finding]:
    """Read all shards whole, set torn ones aside, and yield what was found."""
    torn = checked = 0
    for space in cached_spaces(home):
        for path in shards(space.folder):
            problem = shard_problem(path, space.width)
            checked += 1
            if problem:
                torn += 1
                set_aside(path)
                yield Finding(f"{path}: {problem}; set aside as {path.name}{TORN}", is_error=True)
    yield Finding(f"{checked} shard(s) read, {torn} torn")


def shard_problem(path: Path, width: int) -> str:
    """Return what is wrong with a shard, or nothing. ``width`` is 0 where the space's description is lost."""
    try:
        keys, *_, embeddings = read_shard(path, COLUMNS, width or None)
    except FileNotFoundError:
        return ""  # another process has set it aside
    except TornError as error:
        return f"cannot be read: {error}"
    if not np.isfinite(embeddings).all():
        return "holds values that are not finite"
    return "holds a key twice" if len(set(keys)) < len(keys) else ""


def prune(home: Path, *, encoder: str | None, older_than: float | None, everything: bool, yes: bool) -> Iterator[str]:
    """Delete spaces that all given conditions fit, and leftovers of killed runs everywhere; yield what was done.

    Args:
        home: The data home.
        encoder: Only spaces of this encoder.
        older_than: Only spaces to which nothing was added for so many days.
        everything: All spaces.
        yes: Delete; without it, only say what would go.

    Raises:
        UserError: ``everything`` beside a condition, an encoder without a space, or something that cannot be deleted.
    """
    now = time.time()
    if everything and (encoder is not None or older_than is not None):
        raise UserError("--all leaves nothing to choose", "give it alone, or give --encoder and --older-than")
    spaces = cached_spaces(home)
    begun = sorted((home / FOLDER).glob(f"{PRUNED}*/"))
    known = encoder is None or encoder in {space.encoder for space in spaces}
    chosen = [space for space in spaces if everything or _fits(space, encoder, older_than, now)]
    lost = [space for space in spaces if not space.described and space not in chosen and _is_lost(space, now)]
    files = [
        file
        for space in spaces
        if space not in chosen and space not in lost
        for file in leftovers(space.folder)
        if file.name.endswith(TORN) or now - file.stat().st_mtime > STALE_SECONDS
    ]
    scratch = scratch_folders(home)
    abandoned = [folder for folder in scratch if folder.abandoned(now)]
    size = sum(space.size for space in (*chosen, *lost)) + sum(file.stat().st_size for file in files)
    size += sum(folder.size for folder in abandoned) + sum(_size(folder) for folder in begun)
    verb = "Deleted" if yes else "Would delete"
    for folder in begun:
        yield f"{verb} {folder.name}: left by a prune that was ended, {decimal(_size(folder))}"
        if yes:
            _delete([folder])
    for space in chosen:
        yield f"{verb} {space.folder.name}: {space.tracks} embeddings, {decimal(space.size)}"
        if yes:
            _delete_space(space.folder)
    for space in lost:
        yield (
            f"{verb} {space.folder.name}: {space.tracks} embeddings without a description ({DESCRIPTION}), "
            f"{decimal(space.size)}"
        )
        if yes:
            _delete_space(space.folder)
    for file in files:
        yield f"{verb} {file.relative_to(home)}"
        if yes:
            _delete([file])
    for held in scratch:
        if held not in abandoned:
            why = "a run is at work there" if held.run == "alive" else "a run may be at work there; it goes after a day"
            yield f"Kept {held.path.name}: {why}"
    for held in abandoned:
        yield f"{verb} {held.path.name}: left by a run that was killed, {decimal(held.size)}"
        if yes:
            _delete([held.path])
    if known or size:
        yield f"{verb} {decimal(size)}" + ("" if yes or not size else "; repeat with --yes to do it")
    if not known and not begun:  # at the end: leftovers of others do not wait for a name that is spelled right
        raise UserError(f"no cached embeddings of {encoder!r}", "see 'bench cache ls'")


def _fits(space: CachedSpace, encoder: str | None, older_than: float | None, now: float) -> bool:
    """Say whether a space fits all conditions that were given, and any was."""
    return (
        (encoder is not None or older_than is not None)
        and (encoder is None or space.encoder == encoder)
        and (older_than is None or now - space.changed > older_than * 86400)
    )


def _is_lost(space: CachedSpace, now: float) -> bool:
    """Say whether a space without description is one that lost it, and not one that a run is just beginning."""
    return bool(shards(space.folder)) or now - space.changed > STALE_SECONDS


def _delete_space(folder: Path) -> None:
    """Delete a space: renamed first, so that one that is half gone is never taken for a space."""
    aside = folder.with_name(f"{PRUNED}{folder.name}-{secrets.token_hex(4)}")
    try:
        folder.replace(aside)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"cannot delete {folder}: {error.strerror or error}. Nothing of it was deleted",
            "Let it be written, and run the same command again",
        ) from error
    _delete([aside])


def _delete(paths: Sequence[Path]) -> None:
    """Delete files and folders that another process may delete just now."""
    for path in paths:
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(
                f"cannot delete {path}: {error.strerror or error}",
                "Mend that and run the same command again",
            ) from error


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
