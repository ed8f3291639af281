"""``bench compare``, ``labels``, ``reproduce``, ``predict``, ``doctor``, ``leaderboard``: what reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import completion
from benchmark.cli.parameters import AsJson, BatchSize, DataRoots, Device, Home, SeveralResults, Workers
from benchmark.cli.printing import generated, print_json, refuse_no_markdown
from benchmark.cli.records import refuse_missing
from benchmark.cli.records import together_of as together_of  # commands of other modules take it from here too
from benchmark.errors import UserError
from benchmark.system.home import examples_folder, results_folder
from benchmark.system.progress import Terminal
from benchmark.system.terminal import display

reading_app = typer.Typer()


@reading_app.command()
def compare(
    named: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B ...",
            help="Encoders with records, by their ids there, or JSON files of records: two or more.",
            autocompletion=completion.recorded,
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "-t", "--task", help="Tasks (default: all that two of them have).", autocompletion=completion.tasks
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="This metric alone (default: all of two encoders, else the primary ones).")
    ] = None,
    permutations: Annotated[
        int | None, typer.Option(help="How many, for the test of two encoders' very probes (default: 2000).")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of two encoders: seed of permutations, and of how many items are dealt into blocks.")
    ] = 0,
    published: Annotated[
        bool, typer.Option("--published", help="Hold records (default: of all encoders) against published scores.")
    ] = False,
    as_json: AsJson = False,
    results: SeveralResults = None,
    home: Home = None,
) -> None:
    """Compare encoders on saved predictions: two in detail, more by who is separated from whom; Holm's correction.

    Two: difference, interval and p over items and seeds of each metric. More, or records: rank groups of each task.
    """
    names = named or []
    if published:
        from benchmark.reports.published import beside_published

        shown = beside_published(names, task or [], together=together_of(results), metric=metric, as_json=as_json)
        display(shown, whole=as_json)
        return
    if len(names) < 2:
        raise UserError(
            f"compare takes two encoders or more, {len(names)} given",
            "For example: bench compare logmel chroma. Or hold one against published scores: bench compare logmel "
            "--published",
        )
    if len(names) == 2 and not any(name.endswith(".json") for name in names):
        from benchmark.reports import compare as comparisons

        display(
            comparisons.compare(
                names[0], names[1], task or [], results=together_of(results), metric=metric, permutations=permutations,
                seed=seed, as_json=as_json,
            ),
            whole=as_json,
        )  # fmt: skip
        return
    if permutations is not None or seed:
        raise UserError("--permutations and --seed are of a comparison of two encoders", "leave them out, or name two")
    from benchmark.reports.rank_groups import compare_all

    shown = compare_all(
        names, task or [], together=together_of(results), report=Terminal(), metric=metric, home=home, as_json=as_json
    )
    display(shown, whole=as_json)


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
    as_json: AsJson = False,
    results: SeveralResults = None,
    home: Home = None,
) -> None:
    """Print per-label scores with intervals, beside the paper's where these are here."""
    from benchmark.reports import labels as label_scores

    display(
        label_scores.labels(
            named,
            encoder,
            results=together_of(results),
            home=home,
            metric=metric,
            published=published,
            fetch=fetch,
            as_json=as_json,
        ),
        whole=as_json,
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
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print its choices as a file for bench run --config, and stop.")
    ] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Retrain a recorded probe: same, same within seeds, or other (exit 1), and what differs beside it."""
    if print_config and as_json:
        raise UserError("--print-config prints a file, --json the scores", "give one of them")
    if print_config:
        from benchmark.jobs.resolved import configuration_text

        display(configuration_text(record), end="")
        return
    from benchmark.jobs import reproduce as work
    from benchmark.reports.reproduction import as_facts, format_reproduction

    reproduction = work.reproduce(
        record, home=home, encoder=encoder, task=task, data_roots=tuple(data_root or ()), device=device,
        workers=workers, search=search, report=Terminal(),
    )  # fmt: skip
    if as_json:
        print_json(as_facts(reproduction))
    else:
        display(format_reproduction(reproduction))
    if reproduction.verdict == "other":
        raise typer.Exit(1)


@reading_app.command()
def predict(
    files: Annotated[
        list[Path],
        typer.Argument(help="Audio files, folders, CSVs with a column 'path', @FILE with a path a line."),
    ],
    probe: Annotated[Path, typer.Option(help="Folder that 'bench run --export' wrote.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write .csv or .parquet as rows come; a second call continues it."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("-e", "--encoder", help="What names the encoder, if it has moved.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Labels to print.")] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="RULE", help="Give the labels above it: f1, 'precision>=0.9' (both chosen on valid), 0.5."
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The probe's own outputs, not calibrated on valid.")] = False,
    uncertain: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="List the N files that a person should look at first.")
    ] = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Print the labels that an exported probe gives your own files, or write them to a file."""
    from benchmark.jobs.audio_files import audio_files
    from benchmark.jobs.label_files import refuse_output
    from benchmark.jobs.labelled import decision_of, label
    from benchmark.jobs.predict import open_predictor
    from benchmark.reports.predictions import Printed

    report = Terminal()
    if output is not None:
        refuse_output(output)
    named = audio_files(files, report)
    predictor = open_predictor(
        probe, encoder=encoder, home=home, device=device, batch_size=batch_size, workers=workers, report=report
    )
    decision = decision_of(
        predictor.card, predictor.probe, threshold=threshold, raw=raw, uncertain=uncertain is not None
    )
    if threshold is not None and (explained := decision.explained(threshold.replace(" ", ""))):
        report.say(explained)
    printed = Printed(
        predictor.card,
        top_k,
        as_json=as_json,
        rows=output is not None,
        above=threshold is not None,
        uncertain=uncertain,
    )
    for told in label(predictor, decision, named, output, report):
        out, error = printed.of(told)
        display(out, end="", whole=as_json)
        if error:
            display(error, error=True)
    out, error = printed.end(output, len(named))
    display(out, end="", whole=as_json)
    if error:
        display(error, error=True)
    if printed.problems:
        raise typer.Exit(2)


@reading_app.command()
def doctor(as_json: AsJson = False, home: Home = None) -> None:
    """Say what this machine has, and what is slow here and why: a page that fits a bug report."""
    from benchmark.reports.doctor import examine, format_doctor
    from benchmark.system.home import home_folder

    if as_json:
        print_json(examine(home_folder(home)))
        return
    display(format_doctor(home_folder(home)))


@reading_app.command()
def leaderboard(
    results: SeveralResults = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The Markdown file (default: leaderboard.md); NAME-full.md beside it has all metrics.",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print our runs too, as wide as the terminal is.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print runs, ranks and who is separated as JSON; write no file.")
    ] = False,
    home: Home = None,
) -> None:
    """Write the leaderboard from the records, with ranks of runs that a test separates, beside published scores."""
    from benchmark.reports.leaderboard import facts_of, pages_of, printed
    from benchmark.system.home import IN_CHECKOUT

    if as_json and (check or show or output is not None):
        raise UserError("--json prints and writes no file", "leave --check, --print and -o out")
    if as_json:
        refuse_missing(results)
        print_json(facts_of(together_of(results), home, Terminal()))
        return
    own = results is None and examples_folder() is not None
    target = output or (IN_CHECKOUT if own else Path()) / "leaderboard.md"
    refuse_no_markdown(target)
    for folder in results or ([] if own else [results_folder()]):
        if not folder.is_dir():
            raise UserError(
                f"there is no results folder {folder}",
                "give --results, or run something first: bench run -e logmel -t demo_key",
            )
    together = together_of(results)
    pages = pages_of(together, home, target, Terminal())
    if show and not check:
        display(printed(pages), end="", whole=True)
    words = "".join(f" --results {folder}" for folder in results or ())
    command = f"bench leaderboard{words}" + ("" if output is None else f" -o {output}")
    generated(pages.files, command, f"the records in {together.where} give", check=check)
