"""Which interpreter the text ``PYTHON`` of ``env:PYTHON::SPEC`` means, and what it is called in records."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from tasks.files import expanded

#: Where interpreters lie in the folder of an environment, on each system.
PLACES = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
FOLDER = "environments"  # of the data home
#: What lies in the folder of an environment of venv, and of conda.
MARKS = ("pyvenv.cfg", "conda-meta")


@dataclass(frozen=True)
class Interpreter:
    """A Python that encoders can be run by.

    Attributes:
        program: Its path, links kept: the one in a virtual environment leads to that which made it.
        label: Its name for people and records: of the environment's folder, or of the program; never a path.
    """

    program: Path
    label: str


def environments(home: Path) -> list[str]:
    """Return the names of the environments in the data home."""
    folder = home / FOLDER
    try:
        return sorted(path.name for path in folder.iterdir() if _in_folder(path) is not None)
    except OSError:
        return []


def label_of(text: str, home: Path) -> str:
    """Return what an interpreter is called in records, whether or not it is there."""
    path = expanded(text)
    if _is_name(text) and _in_folder(home / FOLDER / text) is not None:
        return text
    folder = path.absolute().parent.parent
    if path.parent.name in ("bin", "Scripts") and any((folder / mark).exists() for mark in MARKS):
        return folder.name
    return path.absolute().name


def find(text: str, home: Path) -> Interpreter:
    """Return the interpreter that a text means.

    Args:
        text: The name of an environment in the data home, the path of an interpreter or of the folder of an
            environment, or the name of a program.
        home: The data home.

    Raises:
        UserError: There is none.
    """
    path = expanded(text)
    if _is_name(text):
        program = _in_folder(home / FOLDER / text)
        if program is not None:
            return Interpreter(program, text)
    if path.is_dir():
        program = _in_folder(path)
        if program is None:
            raise UserError(
                f"the folder {path} holds no Python interpreter (no {PLACES[0]})",
                f"make an environment of it (python3 -m venv {path}), or name the interpreter itself",
            )
        return Interpreter(program.absolute(), label_of(text, home))
    if path.exists():
        if not path.is_file() or not os.access(path, os.X_OK):
            raise UserError(
                f"{path} is no program that can be run, so it is no Python interpreter",
                "name the interpreter of an environment, such as env:.venv/bin/python::mine.py",
            )
        return Interpreter(path.absolute(), label_of(text, home))
    found = shutil.which(text) if _is_name(text) else None
    if found is not None:
        return Interpreter(Path(found), text)
    there = environments(home)
    names = f"there are {', '.join(there)}" if there else "there is none yet"
    raise UserError(
        f"there is no Python interpreter {text!r}: no such path, no such program, and no such environment in "
        f"{home / FOLDER} ({names})",
        "check the path, or make one: bench encoders new mine.py --env NAME says how",
    )


def _is_name(text: str) -> bool:
    return not any(mark in text for mark in ("/", "\\", "~")) and text not in (".", "..")


def _in_folder(folder: Path) -> Path | None:
    """Return the interpreter in the folder of an environment."""
    return next((folder / place for place in PLACES if (folder / place).is_file()), None)
