"""The cache commands: what embeddings are there, whether they are sound, and which may go."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.deformations import Deformation
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
from benchmark.home import home_folder
from benchmark.scratch import scratch_folders
from benchmark.tables import table

STALE_SECONDS = 3600.0  # a temporary file this old belongs to no running process


@dataclass(frozen=True)
class CachedSpace:
    """One folder of the cache, as far as it can be read without its embeddings.

    ``state`` says what was done to the audio, and on which training split the encoder was fitted, where that is so.
    """

    folder: Path
    encoder: str
    version: str
    width: int
    tracks: int
    size: int
    changed: float
    state: str = ""


def cached_spaces(home: Path) -> list[CachedSpace]:
    """Return the spaces below ``home``, by folder name."""
    found = []
    for folder in sorted((home / FOLDER).glob("*/")):
        try:
            text = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            text = None
        text = text if isinstance(text, dict) else {}
        files = shards(folder)
        tracks = 0
        for file in files:
            try:
                tracks += pq.read_metadata(file).num_rows
            except (OSError, pa.ArrowException):
                continue
        found.append(
            CachedSpace(
                folder,
                str(text.get("encoder", "?")),
                str(text.get("version", "?")),
                int(text.get("dim", 0)) * len(text.get("layers") or [0]),
                tracks,
                sum(file.stat().st_size for file in folder.iterdir()),
                max((file.stat().st_mtime for file in files), default=folder.stat().st_mtime),
                _state(text),
            )
        )
    return found


def _state(text: dict[str, object]) -> str:
    """Return the deformation and the fit of a space's description in words."""
    found, deformation, fitted = [], text.get("deformation"), text.get("fitted_on")
    if deformation is not None:
        try:
            found.append(f"under {Deformation(**deformation).text}")  # type: ignore[arg-type]
        except (TypeError, KeyError, ValueError):  # of another version of this package
            found.append("under a deformation")
    if fitted is not None:
        found.append(f"fitted on {str(fitted)[:12]}")
    return ", ".join(found)


def ls(home: Path | None) -> None:
    """Print the spaces as a table."""
    where = home_folder(home)
    spaces = cached_spaces(where)
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
    print(table(rows, ["encoder", "version", "tracks", "width", "MB", "changed", "folder"]))
    print(f"\n{len(spaces)} space(s), {sum(space.size for space in spaces) / 1e6:.1f} MB in {where / FOLDER}")


def verify(home: Path | None) -> None:
    """Read all shards whole; exit 1 when one was torn."""
    where, torn, checked = home_folder(home), 0, 0
    for space in cached_spaces(where):
        for path in shards(space.folder):
            problem = shard_problem(path, space.width)
            checked += 1
            if problem:
                torn += 1
                set_aside(path)
                print(f"{path}: {problem}; set aside as {path.name}{TORN}")
    print(f"{checked} shard(s) read, {torn} torn")
    if torn:
        print(
            "The next run embeds their tracks again; 'bench cache prune --yes' removes the torn files.", file=sys.stderr
        )
        sys.exit(1)


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


def prune(home: Path | None, *, encoder: str | None, older_than: float | None, everything: bool, yes: bool) -> None:
    """Delete spaces that all given conditions fit, and leftovers of killed runs everywhere."""
    where, now = home_folder(home), time.time()
    if everything and (encoder is not None or older_than is not None):
        raise UserError("--all leaves nothing to choose: give it alone, or give --encoder and --older-than")
    spaces = cached_spaces(where)
    if encoder is not None and encoder not in {space.encoder for space in spaces}:
        raise UserError(f"no cached embeddings of {encoder!r}: see 'bench cache ls'")
    chosen = [
        space
        for space in spaces
        if everything
        or (
            (encoder is not None or older_than is not None)
            and (encoder is None or space.encoder == encoder)
            and (older_than is None or now - space.changed > older_than * 86400)
        )
    ]
    files = [
        file
        for space in spaces
        if space not in chosen
        for file in leftovers(space.folder)
        if file.name.endswith(TORN) or now - file.stat().st_mtime > STALE_SECONDS
    ]
    scratch = scratch_folders(where)
    abandoned = [folder for folder in scratch if folder.abandoned(now)]
    size = sum(space.size for space in chosen) + sum(file.stat().st_size for file in files)
    size += sum(folder.size for folder in abandoned)
    verb = "Deleted" if yes else "Would delete"
    for space in chosen:
        print(f"{verb} {space.folder.name}: {space.tracks} embeddings, {space.size / 1e6:.1f} MB")
        if yes:
            shutil.rmtree(space.folder)
    for file in files:
        print(f"{verb} {file.relative_to(where)}")
        if yes:
            file.unlink(missing_ok=True)
    for folder in scratch:
        if folder not in abandoned:
            why = (
                "a run is at work there" if folder.run == "alive" else "a run may be at work there; it goes after a day"
            )
            print(f"Kept {folder.path.name}: {why}")
    for folder in abandoned:
        print(f"{verb} {folder.path.name}: left by a run that was killed, {folder.size / 1e6:.1f} MB")
        if yes:
            shutil.rmtree(folder.path)
    print(f"{verb} {size / 1e6:.1f} MB" + ("" if yes or not size else "; repeat with --yes to do it"))
