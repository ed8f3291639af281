"""A table of scores as LaTeX with booktabs, as Markdown, as CSV and as JSON: the same bytes for the same records."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabulate import tabulate

from benchmark.reports.score_table import Cell, Column, ScoreRow, ScoreTable, interval_sentence
from benchmark.reports.table_look import Format, Look
from results.latex import beyond_latin, latex
from results.markdown import csv_cell, escaped

SCHEMA_VERSION: Final = 1  # of the JSON
_SUPERSCRIPT: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class _Markup:
    """How one language writes the parts of a cell."""

    text: Callable[[str], str]
    bold: Callable[[str], str]
    note: Callable[[int], str]
    minus: str
    dash: str
    plus_minus: str


_MARKDOWN: Final = _Markup(
    escaped, "**{}**".format, lambda number: str(number).translate(_SUPERSCRIPT), "-", "–", " ± "
)
_LATEX: Final = _Markup(
    latex, r"\textbf{{{}}}".format, lambda number: rf"\textsuperscript{{{number}}}", "$-$", "--", r" $\pm$ "
)


def render(table: ScoreTable, form: Format, look: Look) -> str:
    """Return a table in one of the formats; CSV and JSON have all numbers in full, and ask ``look`` for nothing."""
    if form == "csv":
        return _csv(table)
    if form == "json":
        return json.dumps(as_json(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _latex(table, look) if form == "latex" else _markdown(table, look)


def as_json(table: ScoreTable) -> dict[str, Any]:
    """Return a table as JSON has it: its columns, its rows with their cells, and what must be said."""
    return {
        "schema_version": SCHEMA_VERSION,
        "split": "test",
        "bold": table.bold,
        "columns": [{"task": task, "metric": metric} for task, metric in table.columns],
        "rows": [
            {
                "encoder": row.encoder,
                "kind": row.kind,
                "part": row.part,
                "notes": list(row.notes),
                "cells": [
                    _cell(table, row, column, row.cells[column]) for column in table.columns if column in row.cells
                ],
            }
            for row in table.rows
        ],
        "notes": [*table.said, interval_sentence(table, "range")],
    }


def _cell(table: ScoreTable, row: ScoreRow, column: Column, cell: Cell) -> dict[str, Any]:
    score = None if cell.record is None else cell.record.scores.test[column[1]]
    return {
        "task": column[0],
        "metric": column[1],
        "value": cell.value,
        "low": cell.low,
        "high": cell.high,
        "std": None if score is None else score.std,
        "seeds": None if score is None else score.seeds,
        "question": None if score is None else score.question,
        "items": None if cell.record is None else cell.record.data.counts.get("test"),
        "bold": table.is_bold(row, column),
        "reference": cell.reference,
        "notes": list(cell.notes),
        "run_key": None if cell.record is None else cell.record.run_key,
    }


def _csv(table: ScoreTable) -> str:
    """Return one line a cell of the table; texts are such that no spreadsheet takes them for a formula."""
    written = io.StringIO(newline="")
    rows = csv.writer(written, lineterminator="\n")
    names = ["task", "metric", "encoder", "kind", "part", "value", "low", "high", "std", "probes", "items", "bold"]
    rows.writerow([*names, "reference", "notes", "run_key"])
    for row in table.rows:
        for column in table.columns:
            if column not in row.cells:
                continue
            found = _cell(table, row, column, row.cells[column])
            numbers = ["" if found[name] is None else repr(found[name]) for name in ("value", "low", "high", "std")]
            texts = [csv_cell(" ".join(text.split())) for text in (*column, row.encoder, row.kind, row.part)]
            probes = "" if found["seeds"] is None else str(len(found["seeds"]))
            items, bold = "" if found["items"] is None else str(found["items"]), str(found["bold"]).lower()
            notes = csv_cell("; ".join([*row.notes, *row.cells[column].notes]))
            rows.writerow([*texts, *numbers, probes, items, bold, found["reference"], notes, found["run_key"] or ""])
    return written.getvalue()


def _cells(table: ScoreTable, look: Look, markup: _Markup) -> tuple[list[list[str]], list[str]]:
    """Return the texts of all cells, the names of rows first, and the notes that numbers in them point to."""
    numbers: dict[str, int] = {}

    def signs(notes: Sequence[str]) -> str:
        if not notes:
            return ""
        return markup.note(numbers.setdefault("; ".join(notes), len(numbers) + 1))

    lines = []
    for row in table.rows:
        line = [markup.text(row.label) + signs(row.notes)]
        for column in table.columns:
            cell = row.cells.get(column)
            if cell is None:
                line.append("-" if markup is _MARKDOWN else "--")
                continue
            value = _number(cell.value, look.digits, markup)
            value = markup.bold(value) if table.is_bold(row, column, look.digits) else value
            reference = f" {markup.text(f'[{cell.reference}]')}" if cell.reference else ""
            line.append(value + _interval(cell, look, markup) + reference + signs(cell.notes))
        lines.append(line)
    return lines, list(numbers)


def _interval(cell: Cell, look: Look, markup: _Markup) -> str:
    if cell.low is None or cell.high is None or look.intervals == "none":
        return ""
    if look.intervals == "plus-minus":
        return f"{markup.plus_minus}{(cell.high - cell.low) / 2:.{look.digits}f}"
    low, high = (_number(end, look.digits, markup) for end in (cell.low, cell.high))
    return f" ({low}{markup.dash}{high})"


def _number(value: float, digits: int, markup: _Markup) -> str:
    text = f"{value:z.{digits}f}"
    return markup.minus + text[1:] if text.startswith("-") else text


def _sentences(table: ScoreTable, look: Look) -> list[str]:
    return [*table.said, interval_sentence(table, look.intervals)]


def _markdown(table: ScoreTable, look: Look) -> str:
    lines, notes = _cells(table, look, _MARKDOWN)
    if look.transpose:
        headers = ["task", "metric", *(line[0] for line in lines)]
        lines = [
            [escaped(task), escaped(metric), *(line[i] for line in lines)]
            for i, (task, metric) in enumerate(table.columns, start=1)
        ]
    else:
        headers = ["encoder", *(escaped(f"{task} {metric}") for task, metric in table.columns)]
    parts = [tabulate(lines, headers, tablefmt="github", disable_numparse=True)]
    if notes:
        parts.append("\n".join(f"- {_MARKDOWN.note(i)} {escaped(note)}" for i, note in enumerate(notes, start=1)))
    parts.append(escaped(" ".join(_sentences(table, look))))
    return "\n\n".join(parts) + "\n"


def _latex(table: ScoreTable, look: Look) -> str:
    """Return a table environment that needs booktabs, with what must be said in its caption and below it."""
    lines, notes = _cells(table, look, _LATEX)
    kinds = [row.kind for row in table.rows]
    if look.transpose:
        head = [["task", "metric", *(line[0] for line in lines)]]
        body = [
            [latex(task), latex(metric), *(line[i] for line in lines)]
            for i, (task, metric) in enumerate(table.columns, start=1)
        ]
        rules, alignment = [], "ll" + "c" * len(lines)
    else:
        spans = [(task, len(list(group))) for task, group in itertools.groupby(table.columns, key=lambda each: each[0])]
        head = [
            ["", *(latex(task) if n == 1 else rf"\multicolumn{{{n}}}{{c}}{{{latex(task)}}}" for task, n in spans)],
            ["encoder", *(latex(metric) for _, metric in table.columns)],
        ]
        body, alignment = lines, "l" + "c" * len(table.columns)
        # A rule between kinds of rows; the line before which it stands.
        rules = [i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]]
    written = [_row(line) for line in body]
    for i in reversed(rules):
        written.insert(i, r"\midrule")
    others = beyond_latin("".join([*(row.label for row in table.rows), *itertools.chain(*table.columns), *notes]))
    below = [rf"\textsuperscript{{{i}}} {latex(note)}." for i, note in enumerate(notes, start=1)]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}"
            + (", and XeLaTeX or LuaLaTeX with a font that has: " + others if others else ""),
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex(' '.join(_sentences(table, look)))}}}",
            r"  \label{tab:scores}",
            rf"  \begin{{tabular}}{{{alignment}}}",
            *(f"    {line}" for line in (r"\toprule", *map(_row, head), r"\midrule", *written, r"\bottomrule")),
            r"  \end{tabular}",
            *(
                [r"  \par\smallskip\footnotesize", *(f"  {line}\\\\" for line in below[:-1]), f"  {below[-1]}"]
                if below
                else []
            ),
            r"\end{table}",
            "",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
