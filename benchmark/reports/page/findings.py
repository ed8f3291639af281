"""What a page finds out of its records: status beside the paper, rank groups, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.jobs.ranking import Ranking, rankings
from benchmark.reports.figures import FIGURES, figures_of
from benchmark.reports.figures.comparisons import comparisons
from benchmark.reports.figures.outputs import Outputs
from benchmark.reports.page.reading import Sound
from benchmark.system.progress import Reporter
from results.status import Status, statuses

if TYPE_CHECKING:
    from benchmark.pretraining.comparison.summary import Summary
    from benchmark.reports.figures.figure import Drawn

SHOWN, MANY, SHOWN_OF_MANY = 20, 100, 10
"""Hardest tracks and confusions shown of each record: fewer where there are more than so many records."""


@dataclass(frozen=True)
class Findings:
    """What was found out of the records of a page.

    Attributes:
        statuses: Scores beside published ones.
        rankings: Rank groups of tasks.
        drawn: Pictures by their kind.
        most: How many of the hardest tracks and most frequent confusions of each record are shown.
        comparisons: Comparisons of pre-training strategies that lie beside the records.
        unread: A sentence for each of these that cannot be read.
    """

    statuses: tuple[Status, ...]
    rankings: tuple[Ranking, ...]
    drawn: Mapping[str, Drawn]
    most: int = 20
    comparisons: tuple[Summary, ...] = ()
    unread: tuple[str, ...] = ()


def find_out(sound: Sound, home: Path, report: Reporter) -> Findings:
    """Return what there is to be known of the records of a page; what cannot be is said in notes.

    Args:
        sound: The records.
        home: The data home, in which compared pairs are kept.
        report: Where progress goes.
    """
    together = sound.together
    beside = tuple(status for record in together.records for status in statuses(record))
    ranked = rankings(together, home, report=report) if together.records else ()
    drawn, most = {}, SHOWN if len(together.records) <= MANY else SHOWN_OF_MANY
    if together.records or together.curves:
        outputs = Outputs()
        with report.stage("Drawing", len(FIGURES), "kinds of charts") as advance:
            for done, kind in enumerate(FIGURES, start=1):
                drawn[kind] = figures_of(kind, together, home=home, items=most, outputs=outputs)
                advance(done)
    unread: list[str] = []
    compared = tuple(comparisons(together, unread))
    return Findings(beside, ranked, drawn, most, compared, tuple(unread))
