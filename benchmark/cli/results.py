"""``bench results verify``: whether records, predictions and exported probes are as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.parameters import Results
from benchmark.cli.printing import show

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
    results: Results = Path("results"),
) -> None:
    """Check digests, and scores against saved predictions; exit 1 if anything differs."""
    from benchmark.reports import records

    show(records.verify(paths or [], results, sign=sign))
