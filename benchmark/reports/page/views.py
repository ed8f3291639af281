"""The views of the page, each a tab: what they hold, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.reports.page.charts import Chart
from benchmark.reports.page.tables import Table


@dataclass(frozen=True)
class Fact:
    """A line of a record's provenance: what, and its value, in letters of one width where it is ``code``."""

    name: str
    value: str
    code: bool = False


@dataclass(frozen=True)
class Folded:
    """Facts that are shown when they are opened; ``anchor`` is the id of their place."""

    title: str
    anchor: str
    facts: tuple[Fact, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ViewPart:
    """A part of a view under a heading of its own.

    Attributes:
        title: The heading; empty for none.
        anchor: The id of its place in the page.
        short: What a link to it says; the heading where it is empty.
        words: Sentences above the rest.
        charts: Its charts, each with the table of what it draws, which opens below it, where no other has its numbers.
        tables: Its tables.
        folded: Facts that are opened.
        notes: Sentences below.
        tables_first: Whether the tables stand above the charts.
    """

    title: str
    anchor: str
    short: str = ""
    words: tuple[str, ...] = ()
    charts: tuple[tuple[Chart, Table | None], ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Folded, ...] = ()
    notes: tuple[str, ...] = ()
    tables_first: bool = False


@dataclass(frozen=True)
class View:
    """A tab. ``lead`` says in a sentence what it shows, or why it shows nothing."""

    anchor: str
    title: str
    lead: str
    parts: Sequence[ViewPart] = field(default_factory=tuple)
