"""The command that ranks and shows all records: bench leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.jobs.ranking import rankings
from benchmark.reports.seen import seen_of
from benchmark.system.progress import Reporter
from benchmark.system.terminal import page_width
from results.leaderboard import Pages, render
from results.leaderboard.board import full_records
from results.partial import is_partial
from results.status import statuses
from results.together import Together, place_of


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
    ranked, seen = rankings(together, home, report=report), seen_of(together.records, home)
    return render(together.records, together.examples, ranked, target, seen)


def printed(pages: Pages) -> str:
    """Return our runs, as wide as the terminal is; in a pipe or a file the whole compact page, as Markdown."""
    width = page_width()
    return pages.compact if width is None else pages.printed(width)


def facts_of(together: Together, home: Path | None, report: Reporter) -> list[dict[str, Any]]:
    """Return each task's column for programs: our runs with their ranks, those that are separated, and what to know.

    Args:
        together: The records; limited runs and points of learning curves are left out.
        home: The data home, where what came of pairs is kept.
        report: Where progress goes.

    Raises:
        RecordError: Two full records are of one encoder on one task.
    """
    runs = full_records(together.records)
    found = []
    for ranking in rankings(together, home, report=report):
        ours = [record for record in runs if record.task.id == ranking.task]
        rows = [
            {
                "encoder": record.name,
                "rank": ranking.ranks.get(record.name),
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "partial": is_partial(record),
                "example": place_of(record) in together.examples,
                "published": [status for status in statuses(record) if status.metric == ranking.metric],
                "run_key": record.run_key,
            }
            for record in ours
            for score in (record.scores.test[ranking.metric],)
        ]
        rows.sort(key=lambda row: (row["rank"] is None, row["rank"] or 0, row["encoder"]))
        parts = {"rows": rows, "separations": ranking.separations, "notes": ranking.notes}
        found.append({"task": ranking.task, "metric": ranking.metric, **parts})
    return found
