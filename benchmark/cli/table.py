"""``bench table``: the scores of records as a table for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.parameters import SeveralResults
from benchmark.cli.printing import refuse_results, write_or_print
from benchmark.cli.records import Curves, RecordedEncoders, RecordedTasks, refuse_missing, together_of
from benchmark.reports.table_look import Bold, Format, Intervals, format_of, look_of

table_app = typer.Typer()


@table_app.command()
def table(
    encoder: RecordedEncoders = None,
    task: RecordedTasks = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric of every column (default: the primary one of each task).")
    ] = None,
    all_metrics: Annotated[bool, typer.Option("--all-metrics", help="All metrics of each task.")] = False,
    form: Annotated[
        Format | None, typer.Option("--format", help="How it is written (default: by the name of -o, else markdown).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it to this file.")] = None,
    bold: Annotated[
        Bold, typer.Option(help="The best of each column; within 0.01 of it, as in the paper's tables; none.")
    ] = "paper",
    intervals: Annotated[
        Intervals | None, typer.Option(help="Show both ends of 95 % intervals (default), half their width, or none.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="The paper's scores too, in rows of their own.")
    ] = False,
    transpose: Annotated[bool, typer.Option("--transpose", help="A column an encoder, a row a task.")] = False,
    digits: Annotated[
        int | None, typer.Option(min=0, max=9, help="Decimals of latex and markdown (default: 3).")
    ] = None,
    curves: Curves = False,
    results: SeveralResults = None,
) -> None:
    """Print scores as a table for a paper: LaTeX (booktabs), Markdown, CSV or JSON."""
    form = format_of(form, output)
    look = look_of(form, intervals, digits, transpose=transpose)
    if output is not None:
        refuse_results(output, results)
    from benchmark.reports.score_table import score_table
    from benchmark.reports.table_formats import render

    refuse_missing(results)
    found = score_table(
        together_of(results, curves=curves),
        encoders=encoder or (),
        tasks=task or (),
        metric=metric,
        all_metrics=all_metrics,
        bold=bold,
        published=published,
    )
    write_or_print(render(found, form, look), output)
