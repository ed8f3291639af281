"""``bench plot``: pictures of records for papers and talks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import completion
from benchmark.cli.parameters import Home, SeveralResults
from benchmark.cli.printing import refuse_results
from benchmark.cli.reading import together_of
from benchmark.system.progress import Terminal
from benchmark.system.terminal import display

plot_app = typer.Typer()


@plot_app.command()
def plot(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="forest, significance, labels, layers, curve, robustness, search, confusion, calibration, hardest, "
            "cost, strategies or limited.",
            autocompletion=completion.pictures,
        ),
    ],
    records: Annotated[
        list[Path] | None,
        typer.Argument(help="JSON files of records (default: all of --results).", autocompletion=completion.records),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="FILE.pdf, .svg, .png, .json (Vega-Lite) or .csv (its numbers); of several pictures "
            "each has its name behind FILE.",
        ),
    ] = ...,  # type: ignore[assignment]  # typer's word for an option that must be given
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "-e", "--encoder", help="These alone: names in records, globs; X,Y too.", autocompletion=completion.recorded
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("-t", "--task", help="These alone: ids, groups, globs; T,U too.", autocompletion=completion.tasks),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="A metric, or 'all' (default: each task's primary one).")] = None,
    items: Annotated[int, typer.Option(min=1, help="How many of the hardest tracks.")] = 20,
    width: Annotated[str, typer.Option(help="Such as 85mm (a column of a paper), 6.5in, 14cm, 400px.")] = "85mm",
    dpi: Annotated[int, typer.Option(min=36, max=1200, help="Dots an inch of a .png.")] = 300,
    dark: Annotated[bool, typer.Option("--dark", help="For a dark page.")] = False,
    title: Annotated[bool, typer.Option("--title", help="Write its title above each picture.")] = False,
    results: SeveralResults = None,
    home: Home = None,
) -> None:
    """Draw records for a paper: PNG, SVG or PDF, without a browser; says in words what each picture shows."""
    from benchmark.reports.figures import figures_of, refuse_unknown_kind
    from benchmark.reports.figures.files import Look, named_records, paths_of, pixels, refuse_format, write_figure

    refuse_unknown_kind(what)
    refuse_format(output)
    refuse_results(output, results)
    look = Look(pixels(width), dpi, dark, title)
    together = named_records(records) if records else together_of(results, curves=what == "curve")
    drawn = figures_of(
        what, together, tasks=task or (), encoders=encoder or (), metric=metric, home=home, items=items,
        report=Terminal(),
    )  # fmt: skip
    files = paths_of(drawn, what, output)
    for note in drawn.notes:
        display(note, error=True)
    for figure, path in files:
        write_figure(figure, path, look)
        display(f"{path}: {figure.description}")
