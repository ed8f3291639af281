"""Plant an error in a copy of the packages: by the qualified name of what is changed, not by file or line.

A mutant names a function, class or constant (``Trainer._look``, ``PENALTIES``) or a file of data (``table3.csv``), and
a text in it with its replacement. The text is compared token by token, so that line breaks and trailing commas do not
matter. A name that several modules have is fine as long as the text occurs in one of them alone.
"""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("benchmark", "probes", "results", "tasks")
TOKEN = re.compile(r"\w+|\S")


class StaleError(Exception):
    """A mutant that can no longer be planted, or a test that is no longer there. The message says which."""


@dataclass(frozen=True)
class Mutant:
    """One planted error.

    Attributes:
        name: What is wrong, in a few words.
        area: The part of the protocol that it belongs to.
        where: Qualified name of a function, class or constant, or the name of a file of data.
        edits: Texts in it and what stands there instead.
        tests: Names, where need be qualified, of the test functions that must fail, every one.
        error: Name of the product's own exception that may end a test in place of a failed assertion.
    """

    name: str
    area: str
    where: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    error: str | None = None


@dataclass(frozen=True)
class Planted:
    """A file of the tree as it was and as the mutant makes it."""

    path: Path
    before: str
    after: str


def read_mutants(path: Path) -> list[Mutant]:
    """Read the mutants of a TOML file, in order.

    Raises:
        ValueError: Two have one name, or one lacks a key.
    """
    found = []
    for table in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
        edits = table.get("edits") or [[table["old"], table["new"]]]
        found.append(
            Mutant(
                name=table["name"],
                area=table["area"],
                where=table["where"],
                edits=tuple((old, new) for old, new in edits),
                tests=tuple(table["tests"]),
                error=table.get("error"),
            )
        )
    names = [mutant.name for mutant in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two mutants have one name: {sorted({name for name in names if names.count(name) > 1})}")
    return found


def plant(tree: Path, mutant: Mutant) -> Planted:
    """Return the file that a mutant changes, with its text before and after; nothing is written.

    Raises:
        StaleError: Nothing has that name, the text is not in it or in several, or what comes out is no Python.
    """
    places = [
        (path, text, start, stop)
        for path, text, start, stop in _places(tree, mutant.where)
        if all(len(_found(old, text[start:stop])) == 1 for old, _ in mutant.edits)
    ]
    if len(places) != 1:
        named = sum(1 for _ in _places(tree, mutant.where))
        raise StaleError(
            f"{mutant.where}: {named} of this name in the packages, {len(places)} with the text to be changed"
        )
    path, text, start, stop = places[0]
    part = text[start:stop]
    for old, new in mutant.edits:
        (match,) = _found(old, part)
        part = part[: match.start()] + new + part[match.end() :]
    after = text[:start] + part + text[stop:]
    if path.suffix == ".py":
        try:
            same = ast.dump(ast.parse(after)) == ast.dump(ast.parse(text))
        except SyntaxError as error:
            raise StaleError(f"{mutant.where}: the changed code does not parse: {error}") from None
        if same:
            raise StaleError(f"{mutant.where}: the change changes nothing")
    return Planted(path, text, after)


def find_tests(tree: Path, names: Sequence[str]) -> list[str]:
    """Return pytest's ids of test functions by their names, qualified or not, each in one module alone.

    Raises:
        StaleError: A name is in no test module, or in several.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    for path in _modules(tree / "tests"):
        for whole, _, _ in _named(path)[1]:
            for name in {whole, whole.rpartition(".")[2]} & found.keys():
                found[name].append("::".join([path.relative_to(tree).as_posix(), *whole.split(".")]))
    for name, ids in found.items():
        if len(ids) != 1:
            raise StaleError(f"the test {name} is in {len(ids)} test modules")
    return [ids[0] for ids in found.values()]


def _places(tree: Path, where: str) -> Iterator[tuple[Path, str, int, int]]:
    """Yield file, its text, and start and end of whatever has the name ``where``."""
    for package in PACKAGES:
        if where.endswith((".csv", ".toml")):
            for path in sorted((tree / package).rglob(where)):
                text = path.read_text(encoding="utf-8")
                yield path, text, 0, len(text)
            continue
        for path in _modules(tree / package):
            text, named = _named(path)
            for name, start, stop in named:
                if where in (name, name.rpartition(".")[2]):
                    yield path, text, start, stop


@cache
def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("test_*.py" if folder.name == "tests" else "*.py"))


def _named(path: Path) -> tuple[str, list[tuple[str, int, int]]]:
    """Return the text of a module, and its functions, classes and assigned names with where each starts and ends."""
    stat = path.stat()
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@cache
def _parsed(path: Path, _mtime: int, _size: int) -> tuple[str, list[tuple[str, int, int]]]:
    text = path.read_text(encoding="utf-8")
    lines = [0, *itertools.accumulate(map(len, text.splitlines(keepends=True)))]
    found = []
    for name, node in _definitions(ast.parse(text)):
        assert node.end_lineno is not None
        found.append((name, lines[node.lineno - 1], lines[node.end_lineno]))
    return text, found


def _definitions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield functions, classes and assigned names with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{inside}{node.name}", node
            yield from _definitions(node, f"{inside}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (
                    (f"{inside}{each.id}", node)
                    for each in (target.elts if isinstance(target, ast.Tuple) else [target])
                    if isinstance(each, ast.Name)
                )


def _found(old: str, text: str) -> list[re.Match[str]]:
    """Return where ``old`` stands in ``text``, white space between tokens and commas before brackets aside."""
    pattern, before = "", ""
    for token in TOKEN.findall(old):
        if pattern:
            pattern += r"\s+" if before[-1].isalnum() and token[0].isalnum() else r"\s*"
        if token in ")]}":
            pattern += r"(?:,\s*)?"
        pattern += re.escape(token)
        before = token
    first, last = (r"\b" if old.strip()[place].isalnum() else "" for place in (0, -1))
    return list(re.finditer(first + pattern + last, text))
