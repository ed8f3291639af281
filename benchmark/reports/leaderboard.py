"""The command that ranks and shows all records: bench leaderboard."""

from __future__ import annotations

from pathlib import Path

from benchmark.jobs.ranking import rankings
from benchmark.system.progress import Reporter
from benchmark.system.terminal import page_width
from results.leaderboard import Pages, render
from results.together import Together


def pages_of(together: Together, home: Path | None, target: Path, report: Reporter) -> Pages:
    """Return the leaderboard of records, with the ranks of those that the paired test separates.

    Args:
        together: The records.
        home: The data home, where what came of pairs is kept.
        target: The file of the compact page.
        report: Where progress goes.

    Raises:
        RecordError: Two full records are of one encoder on one task.
    """
    return render(together.records, together.examples, rankings(together, home, report=report), target)


def printed(pages: Pages) -> str:
    """Return our runs, as wide as the terminal is; in a pipe or a file the whole compact page, as Markdown."""
    width = page_width()
    return pages.compact if width is None else pages.printed(width)
