"""``bench results``: whether records and probes are as they were written, and what the keys of a record mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.cli.parameters import AsJson, Results, SeveralResults
from benchmark.cli.printing import generated, refuse_no_markdown, refuse_stray, show
from benchmark.cli.records import Curves, RecordedEncoders, RecordedTasks, refuse_missing, together_of
from benchmark.errors import UserError
from benchmark.system.terminal import display

NONE_YET = "There are no records yet: bench run -e logmel -t demo_key makes one."

results_app = typer.Typer(help="Print the scores of all records (results), or look after records and exported probes.")


@results_app.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    encoder: RecordedEncoders = None,
    task: RecordedTasks = None,
    metric: Annotated[str | None, typer.Option(help="This metric alone.")] = None,
    split: Annotated[Literal["test", "valid", "all"], typer.Option(help="Of which split.")] = "test",
    curves: Curves = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    results: SeveralResults = None,
) -> None:
    """Print the scores of all records, a row a record and metric, or look after records and exported probes."""
    refuse_stray(context)
    if context.invoked_subcommand is not None:
        return
    if as_json and as_csv:
        raise UserError("--json and --csv are two formats", "give one of them")
    from benchmark.reports import frame
    from benchmark.reports.seen import seen_of

    refuse_missing(results)
    together = together_of(results, curves=curves)
    found, absent = frame.select(together, encoders=encoder or (), tasks=task or (), metric=metric, split=split)
    if absent:
        display(f"tasks without a record: {', '.join(absent)}", error=True)
    if as_json:
        display(frame.as_json(found), whole=True)
    elif as_csv:
        display(frame.as_csv(found), end="", whole=True)
    elif found.empty:
        display(NONE_YET)
    else:
        display(frame.format_frame(found, seen_of([*together.records, *together.curves])))


@results_app.command()
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Records, journals of searches, folders of exported probes (default: all of --results)."),
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Say what differs, and sign it as it is now: for changes made on purpose.")
    ] = False,
    as_json: AsJson = False,
    results: Results = None,
) -> None:
    """Check digests, and scores against saved predictions; exit 1 if anything differs."""
    from benchmark.reports import records
    from benchmark.system.home import results_folder

    show(records.verify(paths or [], results_folder(results), sign=sign), as_json=as_json)


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
