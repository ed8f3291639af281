"""The views of a page, made of records, statuses, rank groups and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.reports.page import provenance, scores
from benchmark.reports.page.charts import Charts
from benchmark.reports.page.findings import Findings
from benchmark.reports.page.reading import Sound
from benchmark.reports.page.render import Page
from benchmark.reports.page.strategies import strategies_view
from benchmark.reports.page.tables import Table, of_frame
from benchmark.reports.page.views import View, ViewPart
from benchmark.system.version import format_version
from results.intervals import meaning
from results.record import Record
from results.store import slug

if TYPE_CHECKING:
    from benchmark.reports.figures.figure import Drawn, Figure

ROWS = 200
"""Rows of the table below a chart."""

TABLES_ALONE = ("hardest",)
"""Kinds of figures whose table says all that there is."""

CHARTED: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "layers": ("Layers", "The validation score of each layer of an encoder that has layers.", ("layers",)),
    "curves": ("Learning curves", "Scores of probes that were trained on a part of train.", ("curve",)),
    "robustness": ("Robustness", "What deformed test audio does to the scores.", ("robustness",)),
    "search": (
        "Search",
        "Every trial's score on valid against its settings, and when it was ended. Test was not looked at.",
        ("search",),
    ),
    "errors": (
        "Errors",
        "What the probes get wrong on test: the most frequent confusions, calibration, and the hardest tracks.",
        ("confusion", "calibration", "hardest"),
    ),
    "cost": ("Cost", "What an encoder costs against what it scores: which one shall be deployed?", ("cost",)),
}
"""Views that consist of charts and their tables: title, sentence, and the kinds of figures in them."""


RULES = (
    "reproduced: the published value is inside our interval or within 0.01 of ours, and the interval is at most 0.03 "
    "to either side. undecided: inside, but the interval is wider. off: outside. not comparable: not measured alike.",
)


def page_of(sound: Sound, findings: Findings, charts: Charts) -> Page:
    """Return the page of some records; ``charts`` takes what is drawn in it."""
    records = sound.together.records
    everything = [*records, *sound.together.curves]
    tasks = scores.by_task(records)
    anchors = {task: f"task-{slug(task)}" for task in tasks}
    views = [
        _overview(sound, findings),
        _tasks(sound, findings, charts, tasks, anchors),
        _labels(sound, findings, charts, tasks),
        *(_charted(name, findings, charts, tasks) for name in CHARTED),
        *_strategies(findings, charts),
        _provenance(sound, tasks),
    ]
    return Page("Probe evaluation", _lead(everything, sound), sound.problems, tuple(views), _footer())


def _lead(records: Sequence[Record], sound: Sound) -> str:
    if not records:
        return f"No record is on this page: {_nothing(sound)}"
    encoders, tasks = {record.name for record in records}, {record.task.id for record in records}
    days = sorted(record.created[:10] for record in records)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    counts = [_count(len(records), "record"), _count(len(encoders), "encoder"), _count(len(tasks), "task")]
    return f"{counts[0]}: {counts[1]} on {counts[2]}, made {when}."


def _nothing(sound: Sound) -> str:
    if sound.problems:
        return "none of those that were found could be read."
    return f"there is none in {sound.together.where}. Make one: bench run -e logmel -t demo_key"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _footer() -> str:
    return (
        f"Made by bench report, version {format_version()}. Every number is that of a record, which the page holds "
        "whole; nothing is loaded from elsewhere."
    )


def _overview(sound: Sound, findings: Findings) -> View:
    records = sound.together.records
    if not records:
        return View("overview", "Overview", _sentence(_nothing(sound)))
    parts = [
        ViewPart(
            "", "board", tables=(scores.board(sound.together, findings.rankings),), notes=_reading(sound, findings)
        )
    ]
    if findings.statuses:
        parts.append(
            ViewPart(
                "Beside published scores",
                "published",
                words=RULES,
                tables=(scores.beside_published(findings.statuses),),
            )
        )
    lead = "What a small probe reads from frozen embeddings: higher is better."
    return View("overview", "Overview", lead, parts)


def _reading(sound: Sound, findings: Findings) -> tuple[str, ...]:
    """Return how the table of all scores is to be read."""
    records = sound.together.records
    notes = ["The mean over the retrained probes; bold is within 0.01 of the best of its column."]
    notes.append(meaning(score for record in records for score in record.scores.test.values()))
    if any(ranking.separations for ranking in findings.rankings):
        notes.append("Raised: the rank group. Encoders that the paired test (Holm) does not separate share one.")
    if len({record.name for record in records}) == 1:
        notes.append("There is one encoder, so nothing is ranked: run another on the same tasks to compare them.")
    if sound.together.examples:
        notes.append("◇ marks an example that came with the package, no run of yours.")
    if not findings.statuses:
        notes.append("Nothing is published for these encoders on these tasks, so no score stands beside another.")
    return tuple(notes)


def _tasks(
    sound: Sound,
    findings: Findings,
    charts: Charts,
    tasks: Mapping[str, Sequence[Record]],
    anchors: Mapping[str, str],
) -> View:
    ranked = {ranking.task: ranking for ranking in findings.rankings}
    forests, pairs = (_by_task(findings.drawn.get(kind), kind, tasks) for kind in ("forest", "significance"))
    parts = []
    for task, records in tasks.items():
        ranking = ranked.get(task)
        tables = [scores.task_table(task, records, sound.together, ranking)]
        if ranking is not None and ranking.separations:
            tables.append(scores.pairs_table(ranking))
        figures = [*forests.get(task, ()), *pairs.get(task, ())]
        drawn = tuple((charts.add(figure), None) for figure in figures)
        alone = ranking.notes if ranking is not None and not ranking.separations else ()
        title = _title(records[0])
        parts.append(ViewPart(title, anchors[task], task, _of_task(records), drawn, tuple(tables), notes=alone))
    notes = [note for kind in ("forest", "significance") for note in _notes(findings, kind)]
    return View("tasks", "Tasks", "Each task: every encoder's score with its interval, and who is separated from whom.",
                [*parts, *_told(notes, "tasks-notes")])  # fmt: skip


def _title(record: Record) -> str:
    return f"{record.task.title} ({record.task.id})" if record.task.title != record.task.id else record.task.id


def _of_task(records: Sequence[Record]) -> tuple[str, ...]:
    record = records[0]
    counts = ", ".join(f"{count:,} {split}" for split, count in record.data.counts.items())
    labels = "" if record.task.kind == "regression" else f", {len(record.data.labels):,} labels"
    return (f"{record.task.kind}{labels}; items: {counts}.",)


def _labels(sound: Sound, findings: Findings, charts: Charts, tasks: Mapping[str, Sequence[Record]]) -> View:
    figures = _by_task(findings.drawn.get("labels"), "labels", tasks)
    parts = []
    for task, records in tasks.items():
        metrics = dict.fromkeys(metric for record in records for metric in record.task.metrics)
        found = [scores.label_table(task, metric, records, sound.together) for metric in metrics]
        tables = tuple(table for table in found if table is not None)
        drawn = tuple((charts.add(figure), None) for figure in figures.get(task, ()))
        if tables or drawn:
            parts.append(
                ViewPart(_title(records[0]), f"labels-{slug(task)}", task, (), drawn, tables, tables_first=True)
            )
    lead = "The score of each label on test." if parts else "No record has scores of single labels."
    return View("labels", "Labels", lead, [*parts, *_told(_notes(findings, "labels"), "labels-notes")])


def _charted(name: str, findings: Findings, charts: Charts, tasks: Mapping[str, Sequence[Record]]) -> View:
    """Return a view of charts: a part a task, in it the charts of a record one after another."""
    title, lead, kinds = CHARTED[name]
    by_task: dict[str, list[tuple[str, int, Figure]]] = {}
    for order, kind in enumerate(kinds):
        for task, figures in _by_task(findings.drawn.get(kind), kind, tasks).items():
            by_task.setdefault(task, []).extend((each.name.partition("-")[2], order, each) for each in figures)
    parts = []
    for task in (task for task in (*tasks, "") if task in by_task):
        figures = [each for _, _, each in sorted(by_task[task], key=lambda each: each[:2])]
        heading = _title(tasks[task][0]) if task else ""
        drawn, tables = [], []
        for figure in figures:
            rows = _rows(figure, findings.most)
            if figure.spec and figure.kind not in TABLES_ALONE:
                drawn.append((charts.add(figure), rows))
            else:
                tables.append(rows)
        parts.append(
            ViewPart(heading, f"{name}-{slug(task) if task else 'others'}", task, (), tuple(drawn), tuple(tables))
        )
    notes = [note for kind in kinds for note in _notes(findings, kind)]
    return View(name, title, lead, [*parts, *_told(notes, f"{name}-notes")])


def _rows(figure: Figure, most: int) -> Table:
    """Return the table of what a figure draws; of a matrix of confusions the ``most`` frequent ones."""
    frame = figure.rows
    if figure.kind != "confusion" or not {"target", "output", "items"} <= set(frame.columns):
        return of_frame(frame, figure.title, ROWS)
    wrong = [place for place, (a, b) in enumerate(zip(frame["target"], frame["output"], strict=True)) if a != b]
    items = frame["items"].tolist()
    wrong.sort(key=lambda place: -items[place])
    return of_frame(frame.iloc[wrong], figure.title, most)


def _strategies(findings: Findings, charts: Charts) -> Iterator[View]:
    """Yield the view of comparisons of pre-training strategies, where there is one."""
    drawn = [findings.drawn[kind] for kind in ("strategies", "limited") if kind in findings.drawn]
    figures = [figure for each in drawn for figure in each.figures]
    view = strategies_view(findings.comparisons, figures, charts, findings.unread)
    if view is not None:
        yield view


def _provenance(sound: Sound, tasks: Mapping[str, Sequence[Record]]) -> View:
    if not sound.together.records:
        return View("provenance", "Provenance", _sentence(_nothing(sound)))
    parts = [ViewPart("", "records-table", tables=(provenance.overview_of(sound.together, sound.without),))]
    for task, records in tasks.items():
        folded = tuple(provenance.facts_of(record, sound.together, sound.without) for record in records)
        parts.append(ViewPart(_title(records[0]), f"records-{slug(task)}", task, folded=folded))
    lead = "What made each record, of what, on which machine, and whether it is as it was written."
    return View("provenance", "Provenance", lead, parts)


def _by_task(drawn: Drawn | None, kind: str, tasks: Iterable[str]) -> dict[str, list[Figure]]:
    """Return figures by the task that their names begin with, behind their kind; the longest name that fits counts."""
    slugs = sorted(((slug(task), task) for task in tasks), key=lambda each: -len(each[0]))
    found: dict[str, list[Figure]] = {}
    for figure in drawn.figures if drawn else ():
        rest = figure.name.removeprefix(f"{kind}-")
        task = next((task for name, task in slugs if rest == name or rest.startswith(f"{name}.")), "")
        found.setdefault(task, []).append(figure)
    return found


def _notes(findings: Findings, kind: str) -> tuple[str, ...]:
    """Return what is said beside figures, but for how one draws other ones on the command line."""
    drawn = findings.drawn.get(kind)
    return tuple(note for note in (drawn.notes if drawn else ()) if "--metric" not in note)


def _told(notes: Sequence[str], anchor: str) -> list[ViewPart]:
    return [ViewPart("", anchor, notes=tuple(notes))] if notes else []
