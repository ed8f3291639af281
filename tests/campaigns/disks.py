"""Disks that fill up: a small file system of its own where root may mount one, else failures at the n-th change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.campaigns.kills import after
from tests.campaigns.trial import bench, run, with_fault
from tests.campaigns.world import COMMANDS, World

ROOM = 64 * 2**20


def full(world: World, scratch: Path, levels: int) -> Iterator[tuple[str, str, str]]:
    """Yield (command, outcome, what was said) of each command at each fill level, and of the same command with room.

    ``ok`` says that the full disk was told of in a sentence (or that what was to be written did fit), and that with
    room the same command came to its end with nothing lost.
    """
    mounts = _may_mount(scratch)
    plan = {}
    for name in world.expected:
        place = world.copy(name, scratch / f"count-full-{name}")
        run(with_fault("count:events", *COMMANDS[name][0]), place)
        sizes = [_size(world.folder / f"{when}-{name}") for when in ("before", "after")]
        plan[name] = int((place / "events").read_text()), *sizes
    for level in range(levels):  # all commands take turns, so that a campaign that is ended early has seen all of them
        for name, (events, before, done) in plan.items():
            command, share = COMMANDS[name][0], (level * 7 % levels + 0.5) / levels
            what = f"{share:.0%} full"
            if mounts:
                room = before + int(share * max(done - before, 40_000))
                with mounted(scratch / "disk", room) as disk:
                    place = world.copy(name, disk / "world")
                    refused = run(bench(*command), place)
                    subprocess.run(["mount", "-o", f"remount,size={ROOM}", disk], check=True)
                    again = run(bench(*command), place)
                    word, why = after(world, name, place, again, what)
            else:
                place = world.copy(name, scratch / f"full-{name}-{level}")
                refused = run(with_fault(f"full:{1 + int(np.floor(share * events))}", *command), place)
                again = run(bench(*command), place)
                word, why = after(world, name, place, again, what)
            if refused.word not in ("ok", "refusal"):
                word, why = refused.word, f"{what}: {refused.last}"
            yield name, word, why


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of ``size`` bytes in memory for a while."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _may_mount(scratch: Path) -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        with mounted(scratch / "try", 2**20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _size(folder: Path) -> int:
    """Return the bytes that a folder takes in pages."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in files) + 65_536
