"""``bench compare``, ``labels``, ``reproduce``, ``predict``, ``tasks``, ``doctor``, ``leaderboard``: what reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import completion
from benchmark.cli.parameters import BatchSize, DataRoots, Device, Home, Results, Workers
from benchmark.cli.printing import generated, refuse_no_markdown
from benchmark.errors import UserError
from benchmark.system.progress import Terminal
from benchmark.system.terminal import display

reading_app = typer.Typer()


@reading_app.command()
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="An encoder with records, by its id there.", autocompletion=completion.recorded
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.", autocompletion=completion.recorded)],
    task: Annotated[
        list[str] | None,
        typer.Option("-t", "--task", help="Tasks (default: all that both have).", autocompletion=completion.tasks),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="This metric alone (default: all).")] = None,
    permutations: Annotated[
        int | None, typer.Option(help="How many, for the test of these very probes (default: 2000).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of permutations, and of how many items are dealt into blocks.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    results: Results = Path("results"),
) -> None:
    """Compare two encoders on saved predictions: difference, interval and p over items and seeds, Holm over tasks."""
    from benchmark.reports import compare as comparisons

    display(
        comparisons.compare(
            first,
            second,
            task or [],
            results=results,
            metric=metric,
            permutations=permutations,
            seed=seed,
            as_json=as_json,
        )
    )


@reading_app.command()
def labels(
    named: Annotated[
        str,
        typer.Argument(
            metavar="RECORD_OR_TASK", help="A record's JSON file, or a task.", autocompletion=completion.tasks
        ),
    ],
    encoder: Annotated[str | None, typer.Argument(help="With a task: the encoder.")] = None,
    metric: Annotated[str | None, typer.Option(help="One metric; 'precision' too for tasks of classes.")] = None,
    published: Annotated[
        Path | None, typer.Option(help="CSV of published scores: task,metric,model,tag,value,column.")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download the paper's per-label scores (CC BY-NC 4.0).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    results: Results = Path("results"),
    home: Home = None,
) -> None:
    """Print per-label scores with intervals, beside the paper's where these are here."""
    from benchmark.reports import labels as label_scores

    display(
        label_scores.labels(
            named, encoder, results=results, home=home, metric=metric, published=published, fetch=fetch, as_json=as_json
        )
    )


@reading_app.command()
def reproduce(
    record: Annotated[Path, typer.Argument(help="The JSON file of a record.", autocompletion=completion.records)],
    encoder: Annotated[
        str | None, typer.Option("-e", "--encoder", help="What names the encoder, if its id does not.")
    ] = None,
    task: Annotated[str | None, typer.Option("-t", "--task", help="What names the task, if its id does not.")] = None,
    data_root: DataRoots = None,
    device: Device = "auto",
    workers: Workers = None,
    search: Annotated[
        bool, typer.Option("--search", help="Search once more too: would another trial be chosen here?")
    ] = False,
    home: Home = None,
) -> None:
    """Retrain a recorded probe: same, same within seeds, or other (exit 1), and what differs beside it."""
    from benchmark.jobs import reproduce as work
    from benchmark.reports.reproduction import format_reproduction

    reproduction = work.reproduce(
        record, home=home, encoder=encoder, task=task, data_roots=tuple(data_root or ()), device=device,
        workers=workers, search=search, report=Terminal(),
    )  # fmt: skip
    display(format_reproduction(reproduction))
    if reproduction.verdict == "other":
        raise typer.Exit(1)


@reading_app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="Audio files.")],
    probe: Annotated[Path, typer.Option(help="Folder that 'bench run --export' wrote.")],
    encoder: Annotated[
        str | None, typer.Option("-e", "--encoder", help="What names the encoder, if it has moved.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Labels to print.")] = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    home: Home = None,
) -> None:
    """Print the labels that an exported probe gives your own files."""
    from benchmark.jobs import predict as work
    from benchmark.reports.predictions import format_predictions

    card, predictions = work.predict(
        probe, files, encoder=encoder, home=home, device=device, batch_size=batch_size, workers=workers,
        report=Terminal(),
    )  # fmt: skip
    display(format_predictions(card, predictions, top_k, as_json=as_json))
    damaged = [prediction for prediction in predictions if prediction.outputs is None]
    for prediction in damaged:
        recovered = f" ({prediction.seconds:.2f} s recovered)" if prediction.seconds else ""
        display(f"bench: {prediction.path}: {prediction.problem}{recovered}", error=True)
    if damaged:
        raise typer.Exit(2)


@reading_app.command()
def tasks(
    name: Annotated[
        str | None,
        typer.Argument(help="A task id, alias, group, glob or path of a card.", autocompletion=completion.tasks),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write the page of all tasks.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="With --markdown: the file.")] = Path("docs/tasks.md"),
    check: Annotated[
        bool, typer.Option("--check", help="With --markdown: write nothing; exit 1 if the file is out of date.")
    ] = False,
    home: Home = None,
) -> None:
    """List the tasks, or print one card with what is missing on this machine."""
    if markdown:
        refuse_no_markdown(output)
        from benchmark.reports.tasks_page import render

        generated(output, render(), "bench tasks --markdown", "the cards give", check=check)
        return
    from benchmark.reports.tasks import format_tasks
    from benchmark.system.home import home_folder

    display(format_tasks(name, home_folder(home)))


@reading_app.command()
def doctor(home: Home = None) -> None:
    """Say what this machine has, and what is slow here and why: a page that fits a bug report."""
    from benchmark.reports.doctor import format_doctor
    from benchmark.system.home import home_folder

    display(format_doctor(home_folder(home)))


@reading_app.command()
def leaderboard(
    results: Results = Path("results"),
    output: Annotated[Path, typer.Option("-o", "--output", help="The Markdown file.")] = Path("leaderboard.md"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the file is out of date.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print it too.")] = False,
) -> None:
    """Write the leaderboard from the records and the paper's tables."""
    from results import store
    from results.leaderboard import render

    refuse_no_markdown(output)
    if not results.is_dir():
        raise UserError(f"there is no results folder {results}: give --results, or run something first")
    content = render(store.read_all(results))
    if show and not check:
        display(content, end="")
    generated(output, content, "bench leaderboard", f"the records in {results} give", check=check)
