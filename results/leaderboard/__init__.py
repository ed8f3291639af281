"""The leaderboard: our records beside published scores, as Markdown that is the same bytes for the same records.

``render`` gives two pages: a compact one that can be read (:mod:`results.leaderboard.compact`), and one of every metric
(:mod:`results.leaderboard.full`). What both hold is :mod:`results.leaderboard.board`; ranks are passed in, since who is
separated from whom takes predictions and a test (``benchmark.jobs.ranking``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from results import generated, store
from results.leaderboard import board, compact, full, terminal
from results.leaderboard.board import RankGroups
from results.record import SCHEMA_VERSION, Record
from results.sources import sources
from results.status import Status, statuses
from results.together import Place


@dataclass(frozen=True)
class Pages:
    """Both pages of a leaderboard, and what they hold.

    Attributes:
        target: The file of the compact page.
        compact: Its content.
        full: The content of the page of every metric.
        sections: The tables of both.
        found: Our scores beside what was published of the same encoders.
    """

    target: Path
    compact: str
    full: str
    sections: tuple[board.Section, ...]
    found: tuple[Status, ...]

    @property
    def files(self) -> dict[Path, str]:
        """The content of each file: the compact page at its target, the full one beside it."""
        return {self.target: self.compact, full_path(self.target): self.full}

    def printed(self, width: int) -> str:
        """Return our runs for a terminal of ``width`` columns."""
        return terminal.render(self.sections, self.found, width, self.target.name)


def full_path(target: Path) -> Path:
    """Return the file of the full page beside that of the compact one.

    >>> full_path(Path("leaderboard.md")).as_posix()
    'leaderboard-full.md'
    """
    return target.with_name(f"{target.stem}-full{target.suffix}")


def render(
    records: Sequence[Record],
    examples: Set[Place] = frozenset(),
    rankings: Iterable[RankGroups] = (),
    target: Path = Path("leaderboard.md"),
    seen: Set[tuple[str, str]] = frozenset(),
) -> Pages:
    """Return both pages. The order of ``records`` does not matter.

    Args:
        records: The records.
        examples: Which of them are examples: their rows stand below the others and are marked.
        rankings: Rank groups by column; a column without has no ranks.
        target: The file of the compact page, by which the pages name each other.
        seen: Task and row of runs whose encoder has seen the task's collection in its training.

    Raises:
        RecordError: two full records are of one encoder on one task.
    """
    records = board.full_records(records)
    sections = board.sections_of(records, examples, rankings, seen)
    older = sum(record.schema_version < SCHEMA_VERSION for record in records)
    last = (
        f"{older} of {len(records)} records are of an older schema, without digests: they were not checked for damage."
    )
    found = [status for record in records for status in statuses(record)]
    page = compact.render(
        sections,
        found,
        [source for source in sources() if not source.protocol],
        has_examples=bool(examples),
        full=full_path(target).name,
        last=last if older else "",
    )
    return Pages(target, page, full.render(sections, target.name), tuple(sections), tuple(found))


def write(results: Path, target: Path, rankings: Iterable[RankGroups] = ()) -> bool:
    """Write the leaderboard of the records under ``results`` to ``target`` and beside it; return whether it changed.

    Raises:
        RecordError: a record cannot be read, or a file not be written.
    """
    pages = render(store.read_all(results), rankings=rankings, target=target)
    changed = [generated.write(path, content) for path, content in pages.files.items()]
    return any(changed)


def check(results: Path, target: Path, rankings: Iterable[RankGroups] = ()) -> str:
    """Return unified diffs from the files to what ``write`` would put there; empty when they are equal.

    Raises:
        RecordError: a record cannot be read.
    """
    pages = render(store.read_all(results), rankings=rankings, target=target)
    return "".join(generated.difference(path, text, "bench leaderboard") for path, text in pages.files.items())
