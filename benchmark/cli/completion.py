"""Names that a shell completes: tasks, encoders, records. They are read from files, so that nothing is imported."""

from __future__ import annotations

import ast
import glob
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
SHOWN = 200  # records, of which a folder may hold thousands


def encoders(incomplete: str) -> list[str]:
    """Return names of encoders that begin as the last of several in ``incomplete`` does.

    Behind ``env:`` these are the environments of the data home, and behind ``::`` the plug-ins of the folder.
    """
    names = encoder_names()
    if incomplete.rpartition(",")[2].startswith("env:"):
        names += _in_environments(incomplete.rpartition(",")[2])
    return _last_of_several(incomplete, names)


def tasks(incomplete: str) -> list[str]:
    """Return names of tasks and groups that begin as the last of several in ``incomplete`` does."""
    return _last_of_several(incomplete, task_names())


def records(incomplete: str) -> list[str]:
    """Return the paths of records below ``results`` that begin so; where ``incomplete`` is a path, those below it."""
    folder = Path(incomplete)
    folder = folder if incomplete and folder.is_dir() else folder.parent if "/" in incomplete else Path("results/runs")
    found: list[str] = []
    for path in (*sorted(folder.glob("*.json")), *sorted(folder.glob("*/*.json")), *sorted(folder.glob("*/*/*.json"))):
        if path.as_posix().startswith(incomplete) and "history" not in path.parts:
            found.append(path.as_posix())
        if len(found) == SHOWN:
            break
    return found


def recorded(incomplete: str) -> list[str]:
    """Return names of encoders that have a record in ``results``, by the names of the files."""
    names = {path.stem for path in Path("results/runs").glob("*/*.json") if ".limit-" not in path.stem}
    return sorted(name for name in names if name.startswith(incomplete))


def pictures(incomplete: str) -> list[str]:
    """Return the kinds of pictures that begin so."""
    from benchmark.reports.figures import FIGURES

    return [name for name in FIGURES if name.startswith(incomplete)]


def trackers(incomplete: str) -> list[str]:
    """Return names of trackers that begin so."""
    from benchmark.tracking.kinds import KINDS

    return [name for name in KINDS if name.startswith(incomplete)]


def encoder_names() -> list[str]:
    """Return the names of built-in and published encoders, from the text of their tables, and of those with cards."""
    source = (HERE / "benchmark" / "encoders" / "registry.py").read_text(encoding="utf-8")
    names: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in ("BUILTIN", "PUBLISHED"):
            assert isinstance(node.value, ast.Dict)
            names += [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
    cards = sorted(path.stem for path in (HERE / "benchmark" / "encoders" / "cards").glob("*.toml"))
    return [*names, *(name for name in cards if name not in names)]


def task_names() -> list[str]:
    """Return the ids of the built-in tasks and the names of their groups, from their cards."""
    import tomllib

    ids, groups = [], set()
    for path in sorted((HERE / "tasks" / "cards").glob("*.toml")):
        card = tomllib.loads(path.read_text(encoding="utf-8"))
        ids.append(str(card["id"]))
        groups |= set(map(str, card.get("groups", ())))
    return [*ids, *sorted(groups - set(ids)), "all"]


def _in_environments(incomplete: str) -> list[str]:
    from benchmark.encoders.environment.interpreters import environments
    from benchmark.system.home import home_folder

    environment, colons, before = incomplete.partition("::")
    if not colons:
        return [f"env:{name}::" for name in environments(home_folder())]
    files = sorted(Path().glob(f"{glob.escape(before)}*.py"))
    return [f"{environment}::{file}" for file in files[:SHOWN]]


def _last_of_several(incomplete: str, names: list[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    given = set(before.split(","))
    return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in given]
