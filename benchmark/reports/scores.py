"""The scores of a run as text, with what a reader must know of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmark.jobs.remarks import remarks
from benchmark.jobs.runner import Outcome
from benchmark.reports.robustness import format_robustness
from benchmark.system.tables import table
from results.intervals import meaning, span
from results.status import sentence, statuses

#: Columns of scores, and of learning curves, that a narrow terminal does without, the least needed first.
SPARE = ("record", "std", "valid", "ridge", "items")
SPARE_OF_CURVES = ("records", "ridge", "repeats", "items", "min–max")


def format_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Return the scores of the test split as a table, learning curves as another, and where the records are."""
    whole = [outcome for outcome in outcomes if outcome.record.curve is None]
    curves = [outcome for outcome in outcomes if outcome.record.curve is not None]
    parts = ([_scores(whole)] if whole else []) + ([_curves(curves)] if curves else [])
    parts += dict.fromkeys(line for outcome in outcomes for line in remarks(outcome.record))
    parts += [sentence(status) for outcome in whole for status in statuses(outcome.record)]
    for outcome in outcomes:
        if outcome.displaced is not None:
            what = f"{outcome.record.name} on {outcome.record.task.id}"
            parts.append(f"{what}: the record of another run lay there; it is now {outcome.displaced}")
    return "\n".join(parts)


def format_next(results: str | Path | None) -> str:
    """Return the command that shows what a run has written as a page.

    Args:
        results: The results folder that the run was given; ``None`` for the usual one.
    """
    folder = [] if results is None else ["--results", str(results)]
    page, board = (shlex.join(["bench", *words, *folder]) for words in (["report"], ["leaderboard", "--print"]))
    return f"Next: {page}   # a page of all records; as a table: {board}"


def _scores(outcomes: Sequence[Outcome]) -> str:
    rows, lost = [], False
    for outcome in outcomes:
        record, ridge = outcome.record, outcome.record.floors.ridge
        for metric, score in record.scores.test.items():
            loses = metric in record.floors.loses_to_ridge
            lost = lost or loses
            rows.append(
                [
                    record.task.id,
                    record.name,
                    metric,
                    f"{score.value:.3f}",
                    span(score.low, score.high),
                    "-" if score.std is None or len(score.seeds) == 1 else f"{score.std:.3f}",
                    f"{record.scores.valid[metric].value:.3f}",
                    "-" if ridge is None else f"{ridge[metric].value:.3f}{' !' * loses}",
                    record.data.counts["test"],
                    "kept" if outcome.kept else "new" if outcome.displaced is None else "displaces",
                ]
            )
    headers = ["task", "encoder", "metric", "test", "95 % int.", "std", "valid", "ridge", "items", "record"]
    explained = meaning(score for outcome in outcomes for score in outcome.record.scores.test.values())
    parts = [table(rows, headers, spare=SPARE, json=False), explained]
    if lost:
        parts.append("! a ridge regression on the same embeddings does better, by more than the interval")
    parts += filter(None, [format_robustness([outcome.record for outcome in outcomes])])
    folders = sorted({str(outcome.path.parent.parent) for outcome in outcomes})
    return "\n\n".join([*parts, f"Records in {', '.join(folders)}/<task>/<encoder>.json"])


def _curves(outcomes: Sequence[Outcome]) -> str:
    """Return a line for each fraction of train: the mean over its repeats and how far these lie apart."""
    lines: dict[tuple[str, str, str, float], list[Outcome]] = {}
    for outcome in outcomes:
        record = outcome.record
        assert record.curve is not None
        for metric in record.task.metrics:
            lines.setdefault((record.task.id, record.name, metric, record.curve.fraction), []).append(outcome)
    rows = []
    for (task, encoder, metric, fraction), repeats in sorted(lines.items(), key=lambda line: line[0]):
        values = [outcome.record.scores.test[metric].value for outcome in repeats]
        floors = [outcome.record.floors.ridge for outcome in repeats]
        ridges = [floor[metric].value for floor in floors if floor is not None]
        items = sorted({outcome.record.curve.items for outcome in repeats if outcome.record.curve})
        kept = sum(outcome.kept for outcome in repeats)
        rows.append(
            [
                task,
                encoder,
                metric,
                f"{fraction:g}",
                f"{items[0]:,}" if len(items) == 1 else f"{items[0]:,}–{items[-1]:,}",
                len(repeats),
                f"{fmean(values):.3f}",
                f"{min(values):.3f}–{max(values):.3f}" if len(values) > 1 else "-",
                f"{fmean(ridges):.3f}" if len(ridges) == len(repeats) else "-",
                "kept" if kept == len(repeats) else f"{kept} kept" if kept else "new",
            ]
        )
    headers = ["task", "encoder", "metric", "train", "items", "repeats", "test", "min–max", "ridge", "records"]
    folders = sorted({str(outcome.path.parents[2]) for outcome in outcomes})
    where = f"Records in {', '.join(folders)}/<task>/<encoder>/fraction-<train>.repeat-<number>.json"
    return f"{table(rows, headers, spare=SPARE_OF_CURVES, json=False)}\n\n{where}"
