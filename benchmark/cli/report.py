"""``bench report``: the records as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import completion
from benchmark.cli.parameters import Home, SeveralResults
from benchmark.system.terminal import display

report_app = typer.Typer()


@report_app.command()
def report(
    records: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Records, or folders of them (default: all of --results).", autocompletion=completion.records
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file.")] = Path("report.html"),
    no_js: Annotated[
        bool, typer.Option("--no-js", help="No script in the page: its charts are pictures, its tables do not sort.")
    ] = False,
    results: SeveralResults = None,
    home: Home = None,
) -> None:
    """Write all records as one HTML page that needs no network: scores, status, charts, errors, provenance."""
    from benchmark.reports.page.make import write_report
    from benchmark.system.home import examples_folder, results_folder
    from benchmark.system.progress import Terminal

    written = write_report(
        records or [], results or [results_folder()], output, Terminal(),
        examples=None if results else examples_folder(), home=home, script=not no_js,
    )  # fmt: skip
    for problem in written.problems:
        display(f"left out: {problem}", error=True)
    what = "written" if written.changed else "is up to date"
    display(
        f"{output} {what}: {written.records:,} record{'s' * (written.records != 1)}, {written.size / 1e6:.1f} MB",
        error=True,
    )
