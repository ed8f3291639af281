"""Checkpoints of a run: written whole or not at all, the last, the best, and some that are kept for good.

``RUN/checkpoints/last.pt`` is replaced in one step, so a killed run has either the one before or the new one.
``best.pt`` is the checkpoint before which the mean loss was lowest, ``step-NNNNNNN.pt`` those that stay. They are one
file under several names where the file system can do that. They are read without unpickling anything but tensors and
plain values.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.filesize import decimal

from benchmark.errors import UserError
from results.files import is_leftover

FOLDER = "checkpoints"
LAST, BEST = "last.pt", "best.pt"
STEP = re.compile(r"step-(\d+)\.pt")
FORMAT = 1
State = dict[str, Any]


def step_name(step: int) -> str:
    """Return the name of a checkpoint that is kept for good.

    >>> step_name(20000)
    'step-0020000.pt'
    """
    return f"step-{step:07d}.pt"


def steps_kept(run: Path) -> list[int]:
    """Return the steps whose checkpoints are kept for good, in order."""
    names = (STEP.fullmatch(path.name) for path in (run / FOLDER).glob("step-*.pt"))
    return sorted(int(name[1]) for name in names if name)


def save(run: Path, state: Mapping[str, Any], *, best: bool = False, keep: bool = False) -> Path:
    """Write ``state`` as the last checkpoint, and under the names of the best and of its step where asked.

    Args:
        run: The run's folder.
        state: Tensors and plain values by name, nested; ``step`` is an int.
        best: Whether it is the best one so far.
        keep: Whether it stays when later ones are written.

    Raises:
        UserError: The disk is full or cannot be written; the checkpoint before is as it was.
    """
    folder = run / FOLDER
    scratch = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            torch.save({**state, "format": FORMAT}, file)
            file.flush()
            os.fsync(file.fileno())
        if best:
            _also(scratch, folder / BEST)
        if keep:
            _also(scratch, folder / step_name(state["step"]))
        scratch.replace(folder / LAST)
        _sync_folder(folder)
    except (OSError, RuntimeError) as error:  # torch's own writer says RuntimeError where the disk is full
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        raise UserError(
            f"the checkpoint of step {state['step']} cannot be written to {folder}: {reason}. The checkpoint before "
            "it is as it was",
            "make room and run the same command again, it continues from there",
        ) from error
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
    return folder / LAST


def _also(file: Path, name: Path) -> None:
    """Put ``file`` under another name too, in one step."""
    scratch = name.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        os.link(file, scratch)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        shutil.copyfile(file, scratch)  # a file system without links
    scratch.replace(name)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not all systems open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def clean(run: Path) -> None:
    """Remove what a killed process left half written."""
    for path in (*(run / FOLDER).glob(".*.tmp"), *filter(is_leftover, run.glob(".*.tmp"))):
        path.unlink(missing_ok=True)


def exists(run: Path) -> bool:
    """Say whether a run has a checkpoint to continue from."""
    return (run / FOLDER / LAST).is_file()


def load(path: Path) -> State:
    """Return a checkpoint, on the CPU.

    Raises:
        UserError: No such file, a damaged one, or one of another version.
    """
    try:
        _refuse_torn(path)
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}", "check the path") from None
    except Exception as error:  # torch raises whatever its unpickler stumbles on
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"the checkpoint {path} is damaged ({reason})",
            f"put another of {path.parent} in its place, or begin again in a new folder",
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise UserError(
            f"the checkpoint {path} has the format {found!r}, and this version reads {FORMAT}",
            "begin again in a new folder, or install the version that wrote it",
        )
    return state


def _refuse_torn(path: Path) -> None:
    """Raise what says that a checksum fails: torch writes them and does not look at them."""
    with zipfile.ZipFile(path) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise zipfile.BadZipFile(f"{torn} fails its checksum")


def path_of(run: Path, which: str) -> Path:
    """Return the file of ``last``, ``best`` or a step of a run.

    Raises:
        UserError: There is no such checkpoint; those that are there are named.
    """
    names = {"last": LAST, "best": BEST}
    name = names.get(which) or (step_name(int(which)) if which.isdecimal() else "")
    path = run / FOLDER / name
    if name and path.is_file():
        return path
    if which.isdecimal() and exists(run):
        last = run / FOLDER / LAST
        if load(last)["step"] == int(which):
            return last
    there = [word for word, file in names.items() if (run / FOLDER / file).is_file()]
    there += [str(step) for step in steps_kept(run)]
    raise UserError(f"the run {run} has no checkpoint {which!r}", f"name one that it has: {', '.join(there) or 'none'}")


def refuse_full(run: Path, expected: int) -> None:
    """See whether the disk has room for three checkpoints of ``expected`` bytes before a run begins.

    Raises:
        UserError: It has not.
    """
    there = next(path for path in (run, *run.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < 3 * expected:
        raise UserError(
            f"the disk of {run} has {decimal(free)} free, and three checkpoints of this run take "
            f"{decimal(3 * expected)}",
            "make room, or choose another --out",
        )
