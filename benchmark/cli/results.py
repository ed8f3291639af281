"""``bench results``: whether records and probes are as they were written, and what the keys of a record mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.parameters import Results
from benchmark.cli.printing import generated, refuse_no_markdown, show
from benchmark.system.terminal import display

results_app = typer.Typer(help="Look after records and exported probes.")


@results_app.callback()
def results_group() -> None:
    """Look after records and exported probes."""


@results_app.command()
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Records, journals of searches, folders of exported probes (default: all of --results)."),
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Say what differs, and sign it as it is now: for changes made on purpose.")
    ] = False,
    results: Results = None,
) -> None:
    """Check digests, and scores against saved predictions; exit 1 if anything differs."""
    from benchmark.reports import records
    from benchmark.system.home import results_folder

    show(records.verify(paths or [], results_folder(results), sign=sign))


@results_app.command()
def keys(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the page to this Markdown file; else it is printed.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the file is out of date.")] = False,
) -> None:
    """Print what each key of a record means."""
    from results.reference import render

    if output is None:
        display(render(), end="", whole=True)
        return
    refuse_no_markdown(output)
    generated({output: render()}, f"bench results keys -o {output}", "the types of records give", check=check)
