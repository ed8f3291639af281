"""A comparison as a page of Markdown."""

from __future__ import annotations

from statistics import median

from benchmark.pretraining.comparison.grids import Entry, Grid, grids_of
from benchmark.pretraining.comparison.summary import Summary
from results.markdown import escaped

#: Tracks that the paper trained on.
PAPER_TRACKS = "about 4 million tracks"


def page(summary: Summary) -> str:
    """Return the page of a comparison."""
    parts = ["# Pre-training strategies compared", escaped(about(summary))]
    for grid in grids_of(summary):
        parts.append(f"## {grid.caption}")
        parts.append(table(grid))
        parts += [escaped(note) for note in grid.notes]
    parts.append("## What this can and cannot say")
    parts.append("\n".join(f"- {escaped(line)}" for line in limits(summary)))
    if summary.notes:
        parts.append("## Notes")
        parts.append("\n".join(f"- {escaped(note)}" for note in summary.notes))
    return "\n\n".join(parts) + "\n"


def about(summary: Summary) -> str:
    """Return in a sentence what was compared, on what, and how."""
    trained = [strategy.name for strategy in summary.strategies if not strategy.random]
    return (
        f"{', '.join(trained)}: {summary.seeds} seed{'s' * (summary.seeds != 1)} each, {summary.budget} a run, on the "
        f"store {summary.store} ({summary.tracks:,} tracks, {summary.hours:.1f} h). Probes: protocol "
        f"{summary.protocol}, retrained with {summary.probe_seeds} seeds, chosen on valid."
    )


def table(grid: Grid) -> str:
    """Return a table of Markdown."""
    lines = [
        " | ".join(escaped(name) for name in grid.columns),
        " | ".join("---:" if numeric else "---" for numeric in grid.numeric),
        *(" | ".join(_cell(entry) for entry in row) for row in grid.rows),
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(entry: Entry) -> str:
    return escaped(entry.text) + (f" <sup>{entry.rank}</sup>" if entry.rank else "")


def limits(summary: Summary) -> list[str]:
    """Return what a comparison of this size can say, and what it cannot, a sentence or two each."""
    trained = [strategy for strategy in summary.strategies if not strategy.random]
    largest = max((strategy.parameters for strategy in trained), default=0)
    steps = max((strategy.steps for strategy in trained), default=0)
    lines = [
        f"It says how these recipes do on these tasks after at most {steps:,} steps on {summary.tracks:,} tracks "
        f"({summary.hours:.1f} h), in networks of at most {largest:,} parameters. Meseguer-Brocal et al. 2024 trained "
        f"on {PAPER_TRACKS}: which strategy is better at that size it cannot say."
    ]
    lines.append(
        "The budget is equal, the tuning is not: a recipe whose learning rate suits the budget less well stands lower, "
        "and that is no property of its strategy."
    )
    examples = {strategy.examples for strategy in trained}
    if len(examples) > 1:
        lines.append(
            f"Equal {summary.budget.partition('=')[0]} are not equal data: strategies saw {min(examples):,} to "
            f"{max(examples):,} examples."
        )
    for task in summary.tasks:
        halves = [
            (each.high - each.low) / 2
            for each in summary.differences
            if each.task == task.id and not each.baseline and each.low is not None and each.high is not None
        ]
        if halves:
            lines.append(
                f"On {task.id} ({task.test:,} test items{f' in {task.clusters:,} groups' if task.grouped else ''}) "
                f"half of the paired intervals reach more than {median(halves):.3f} to either side: smaller "
                "differences are not to be seen here, and no difference seen is not none."
            )
    if summary.seeds == 1:
        lines.append(
            "One seed each: what another seed would give is in no interval, and no order of strategies follows."
        )
    elif summary.seeds < 5:
        lines.append(
            f"{summary.seeds} seeds are few: what they change is known to {summary.seeds - 1} degree(s) of freedom."
        )
    if any(run.status == "stopped" for strategy in trained for run in strategy.runs):
        lines.append(
            "Means are over the runs that were finished: a strategy that collapses now and then looks better than it "
            "is."
        )
    return lines
