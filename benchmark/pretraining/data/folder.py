"""The folder of a store while it is made: held by one process, without files of others, on a disk that may be full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.errors import UserError
from benchmark.pretraining.data.shards import DESCRIPTION, shard_name, wave_name
from benchmark.system.home import refuse_unwritable

OURS = re.compile(
    r"shard-\d{5,}\.(f16|wave\.f16|parquet)|store\.json|index\.npy|label_(starts|indices)\.npy|left_out\.csv|"
    r"tracks\.npy|caption_(starts|numbers|offsets|texts)\.npy|\..*"
)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the store's folder, which is made where it is not there.

    Raises:
        UserError: It cannot be written, holds other files, or another process is at work in it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file", "give the folder that is to be the store")
    refuse_unwritable(out, "--out")
    foreign = sorted(path.name for path in out.iterdir() if not OURS.fullmatch(path.name)) if out.is_dir() else []
    if foreign:
        raise UserError(
            f"--out {out} holds files that are of no store ({', '.join(foreign[:3])})",
            "choose another folder",
        )
    with full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another process prepares {out}", "wait for it, or choose another --out") from None
    try:
        for path in out.glob(".*.tmp"):  # what a killed run left
            unlink(path)
        yield
    finally:
        lock.release()


@contextmanager
def full_disk(out: Path) -> Iterator[None]:
    """Say what to do where the folder cannot be written.

    Raises:
        UserError: It cannot.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {out}: {error.strerror or error}. Finished shards are kept",
            "make room and run the same command again",
        ) from error


def remove_from(out: Path, number: int) -> None:
    """Remove all shards from ``number`` on, the last one first, so that a kill leaves an unbroken row of them."""
    found = {int(path.name.partition(".")[0].removeprefix("shard-")) for path in out.glob("shard-*")}
    later = sorted((one for one in found if one >= number), reverse=True)
    if later:
        unlink(out / DESCRIPTION)
    for one in later:
        unlink(out / f"{shard_name(one)}.parquet")
        unlink(out / f"{shard_name(one)}.f16")
        unlink(out / wave_name(shard_name(one)))


def unlink(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()
