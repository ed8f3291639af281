"""The folder of a run: what lies in it, and which runs there are. Imports no torch, for listings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.system.descriptions import read_description
from tasks.files import expanded

RECIPE, DATA, WEIGHTS, CARD = "recipe.toml", "data.json", "encoder.safetensors", "card.json"
LOCK = ".lock"
#: Folder of runs in the data home; ``pretrained:NAME`` looks there behind the working folder.
RUNS = "pretrained"


@dataclass(frozen=True)
class Run:
    """A run below the home, for listings; ``step`` is ``None`` before its export."""

    name: str
    folder: Path
    step: int | None
    title: str


def folder_of(target: str, home: Path) -> Path:
    """Return the folder of a run: a path, or a name below the home.

    Raises:
        UserError: Neither is a run; the runs below the home are named.
    """
    given = expanded(target)
    for folder in (given, home / RUNS / target):
        if (folder / RECIPE).is_file() or (folder / WEIGHTS).is_file():
            return folder
    there = ", ".join(run.name for run in runs(home))
    what = f"{given} is no run of bench pretrain" if given.exists() else f"there is no run {target}"
    raise UserError(what, f"name its folder{f', or one of {there} in {home / RUNS}' if there else ''}")


def data_of(run: Path) -> dict[str, Any]:
    """Return what a run says of the store that it was trained on.

    Raises:
        UserError: Its file is missing, or does not say it.
    """
    path = run / DATA
    again = "restore it, or train into a new --out"
    try:
        found = read_description(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", again) from None
    except ValueError as error:
        raise UserError(str(error), again) from None
    if not isinstance(found.get("fingerprint"), str):
        raise UserError(f"{path} names no fingerprint of a store", again)
    return found


def frontend_of(run: Path) -> str:
    """Return the front end of the log-mels that a run was trained on; nothing where its files do not say it."""
    for name, key in ((CARD, "data"), (DATA, None)):
        try:
            found: Any = read_description(run / name)
        except (OSError, ValueError):
            continue
        frontend = (found.get(key) if key else found) or {}
        if isinstance(frontend, dict) and isinstance(frontend.get("frontend"), str):
            return str(frontend["frontend"])
    return ""


def runs(home: Path) -> list[Run]:
    """Return the runs below the home, by name."""
    found = []
    for file in sorted((home / RUNS).glob(f"*/{RECIPE}")):
        folder = file.parent
        try:
            card = read_description(folder / CARD)
        except (OSError, ValueError):
            card = {}
        step = card.get("steps")
        title = str(card.get("title", "not exported yet"))
        found.append(Run(folder.name, folder, step if isinstance(step, int) else None, title))
    return found
