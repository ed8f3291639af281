"""Pages of records, and what a parser of HTML finds in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmark.reports.page.make import Written, write_report
from benchmark.system.progress import Silent

RUNS = Path(__file__).resolve().parents[4] / "results"
VOID = {"meta", "link", "img", "br", "input", "hr"}


@dataclass
class Cell:
    """A cell: its text without what is below it, and its numbers."""

    text: str = ""
    small: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    numeric: bool = False


@dataclass
class Parsed(HTMLParser):
    """A page: its tables by caption, its texts outside of scripts, its tags, its scripts by id."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[Cell]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: dict[str, str] = {}
        self.ids: list[str] = []
        self._open: list[str] = []
        self._rows: list[list[Cell]] = []
        self._script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag in ("td", "th", "tr"):
            self._end_cell(row=tag == "tr")
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            numbers = {
                name[5:]: float(given[name] or "nan") for name in ("data-v", "data-l", "data-h") if name in given
            }
            self._rows[-1].append(Cell(numbers=numbers, numeric=given.get("class") == "n"))
        elif tag == "script":
            self._script = given.get("id") or f"script-{len(self.scripts)}"

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self._end_cell(row=False)
        elif tag == "tbody":
            self._end_cell(row=True)
        assert self._open.pop() == tag, f"{tag} is closed where another is open"
        if tag == "table":
            assert self._caption not in self.tables, f"two tables are called {self._caption}"
            self.tables[self._caption] = self._rows

    def _end_cell(self, *, row: bool) -> None:
        """End the cell, and the row, whose end tags HTML leaves out."""
        if self._open[-1] in ("td", "th"):
            self._open.pop()
            cell = self._rows[-1][-1]
            if cell.numeric and "v" not in cell.numbers:
                with suppress(ValueError):  # what is shown has all of its digits
                    cell.numbers["v"] = float(cell.text)
        if row and self._open[-1] == "tr":
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
            return
        if "style" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self._caption += data
        elif {"td", "th"} & set(self._open):
            cell = self._rows[-1][-1]
            if "small" in self._open:
                cell.small += data
            elif "sup" not in self._open:
                cell.text += data

    def table(self, caption: str) -> list[dict[str, Cell]]:
        """Return the rows of a table, by the names of its columns."""
        header, *rows = self.tables[caption]
        return [{name.text: cell for name, cell in zip(header, row, strict=True)} for row in rows]


def parsed(file: Path) -> Parsed:
    page = Parsed()
    page.feed(file.read_text(encoding="utf-8"))
    page.close()
    assert page._open == []
    return page


@pytest.fixture(scope="session")
def page_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data home for all pages: Vega is bundled once."""
    return tmp_path_factory.mktemp("page-home")


@pytest.fixture(scope="session")
def demo_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the records of three demo tasks, one of each kind."""
    folder = tmp_path_factory.mktemp("runs") / "results"
    for task in ("demo_key", "demo_tags", "demo_emotion"):
        shutil.copytree(RUNS / "runs" / task, folder / "runs" / task)
    return folder


@pytest.fixture(scope="session")
def demo_page(demo_runs: Path, page_home: Path) -> Path:
    output = demo_runs.parent / "report.html"
    write_report([], [demo_runs], output, Silent(), home=page_home)
    return output


MakePage = Callable[..., tuple[Written, Parsed]]


@pytest.fixture
def make_page(tmp_path: Path, page_home: Path) -> MakePage:
    def make(*folders: Path, named: tuple[Path, ...] = (), **chosen: Any) -> tuple[Written, Parsed]:
        output = tmp_path / "page.html"
        written = write_report(list(named), list(folders), output, Silent(), home=page_home, **chosen)
        return written, parsed(output)

    return make


@pytest.fixture
def change_record() -> Callable[..., None]:
    """Change the file of a record, and sign it anew unless it shall be damaged."""
    from results import store, text

    def change(path: Path, edit: Callable[[dict[str, Any]], None], *, sign: bool = True) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        edit(content)
        if not sign:
            path.write_text(json.dumps(content), encoding="utf-8")
            return
        content.pop("sha256", None)
        path.write_text(json.dumps(content), encoding="utf-8")
        record = text.decode(path.read_text(encoding="utf-8"), path, checked=False)
        path.unlink()
        store.write(path.parents[2], record)

    return change


@pytest.fixture
def small_runs(tmp_path: Path) -> Path:
    """A results folder with the records of one demo task, which a test may change."""
    folder = tmp_path / "results"
    shutil.copytree(RUNS / "runs" / "demo_key", folder / "runs" / "demo_key")
    return folder
