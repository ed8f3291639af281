"""The command line: parse, call, print. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130

app = typer.Typer(
    name="bench",
    help="Probe evaluation of frozen music audio encoders, after McCallum et al. 2022.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="Look after cached embeddings.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
data_app = typer.Typer(help="Find, fetch and check the audio and annotations of tasks.", no_args_is_help=True)
app.add_typer(data_app, name="data")


class Overwrite(StrEnum):
    """What happens to a record that is already there."""

    always = "always"
    never = "never"
    missing = "missing"


class PrecisionChoice(StrEnum):
    """What an encoder computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


EncoderNames = Annotated[
    list[str], typer.Option("-e", "--encoder", help="Encoder: id, file.py[:Class] or module:Class; X,Y for several.")
]
TaskNames = Annotated[
    list[str], typer.Option("-t", "--task", help="Task: id, alias, group, glob ('demo_*') or path of a card; T,U too.")
]
Home = Annotated[Path | None, typer.Option(help="Data home (default: $BENCH_HOME, else the platform's cache folder).")]
Results = Annotated[Path, typer.Option(help="Folder of the records.")]
Limit = Annotated[int | None, typer.Option(help="Use a seeded sample of about N items; never in a leaderboard.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
BatchSize = Annotated[int, typer.Option(help="Windows in a batch of the encoder.")]
Workers = Annotated[int | None, typer.Option(help="Decoding processes; 0 decodes in this one. Default: one a core.")]
AllowMissing = Annotated[int, typer.Option(help="Go on without up to N tracks of a dataset; the record names them.")]
Precision = Annotated[PrecisionChoice | None, typer.Option(help="What the encoder computes in, if it has a choice.")]
OwnWindows = Annotated[
    bool, typer.Option("--own-windows", help="Where an encoder cannot take a task's windows, use its own; recorded.")
]
DataRoots = Annotated[
    list[str] | None, typer.Option("--data-root", help="COLLECTION=DIR: a copy you have; it is never written.")
]
AllowDamaged = Annotated[int, typer.Option(help="Leave out up to N damaged tracks of a task; the record names them.")]


@app.command()
def run(
    encoder: EncoderNames,
    task: TaskNames,
    trials: Annotated[int | None, typer.Option(help="Probe settings to try (default: the protocol's).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of search, probes and bootstrap.")] = 0,
    seeds: Annotated[int | None, typer.Option(help="How often the selected probe is retrained.")] = None,
    limit: Limit = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    home: Home = None,
    results: Results = Path("results"),
    overwrite: Annotated[
        Overwrite, typer.Option(help="missing: keep a record of the same run; always: run again; never: replace none.")
    ] = Overwrite.missing,
    allow_damaged: AllowDamaged = 0,
    allow_missing: AllowMissing = 0,
    data_root: DataRoots = None,
    precision: Precision = None,
    own_windows: OwnWindows = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Embed, probe and score encoders on tasks; write one record for each pair."""
    from benchmark import commands

    commands.run(
        encoder,
        task,
        dry_run=dry_run,
        home=home,
        results=results,
        trials=trials,
        seed=seed,
        seeds=seeds,
        limit=limit,
        device=device,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite.value,
        allow_damaged=allow_damaged,
        allow_missing=allow_missing,
        data_roots=tuple(data_root or ()),
        precision=precision.value if precision else None,
        own_windows=own_windows,
    )


@app.command()
def embed(
    encoder: EncoderNames,
    task: TaskNames,
    seed: Annotated[int, typer.Option(help="Seed of the sample that --limit takes.")] = 0,
    limit: Limit = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    home: Home = None,
    allow_damaged: AllowDamaged = 0,
    allow_missing: AllowMissing = 0,
    data_root: DataRoots = None,
    precision: Precision = None,
    own_windows: OwnWindows = False,
) -> None:
    """Embed the audio of tasks into the cache, and stop there."""
    from benchmark import commands

    commands.embed(
        encoder,
        task,
        home=home,
        seed=seed,
        limit=limit,
        device=device,
        batch_size=batch_size,
        workers=workers,
        allow_damaged=allow_damaged,
        allow_missing=allow_missing,
        data_roots=tuple(data_root or ()),
        precision=precision.value if precision else None,
        own_windows=own_windows,
    )


@app.command()
def tasks(
    name: Annotated[str | None, typer.Argument(help="A task id, alias, group, glob or path of a card.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write the page of all tasks.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="With --markdown: the file.")] = Path("docs/tasks.md"),
    check: Annotated[
        bool, typer.Option("--check", help="With --markdown: write nothing; exit 1 if the file is out of date.")
    ] = False,
    home: Home = None,
) -> None:
    """List the tasks, or print one card with what is missing on this machine."""
    from benchmark import listings

    if markdown:
        listings.task_page(output, check=check)
    else:
        listings.tasks(name, home)


@app.command()
def encoders(
    name: Annotated[
        str | None, typer.Argument(help="An encoder: id, file.py[:Class] or module:Class; or the word fetch.")
    ] = None,
    target: Annotated[str | None, typer.Argument(help="After fetch: the encoder whose weights to bring.")] = None,
    remove_original: Annotated[
        bool, typer.Option("--remove-original", help="With fetch: keep only the converted weights.")
    ] = False,
    home: Home = None,
) -> None:
    """List the encoders, print what one declares, or fetch published weights (encoders fetch NAME)."""
    from benchmark import listings

    if name == "fetch":
        listings.fetch_encoder(target, home, remove_original=remove_original)
    elif target is not None:
        raise typer.BadParameter(f"{target!r} is one argument too many: only 'encoders fetch NAME' takes two")
    else:
        listings.encoders(name, home)


@app.command()
def leaderboard(
    results: Results = Path("results"),
    output: Annotated[Path, typer.Option("-o", "--output", help="The Markdown file.")] = Path("leaderboard.md"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the file is out of date.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print it too.")] = False,
) -> None:
    """Write the leaderboard from the records and the paper's tables."""
    from benchmark import listings

    listings.leaderboard(results, output, check=check, show=show)


DataTask = Annotated[
    str, typer.Argument(metavar="TASK", help="Task: id, alias, group, glob or path of a card; T,U too.")
]


@data_app.command("list")
def data_list(data_root: DataRoots = None, home: Home = None) -> None:
    """List the collections: tasks, annotations and audio that are here, size, licence."""
    from benchmark import data

    data.ls(home, data_root or ())


@data_app.command("fetch")
def data_fetch(
    task: DataTask,
    annotations: Annotated[bool, typer.Option("--annotations", help="Only annotations, no audio.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch audio of more than 1 GB too.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Unpack (and, where needed, fetch) once more.")] = False,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep archives of unpacked audio.")] = False,
    data_root: DataRoots = None,
    home: Home = None,
) -> None:
    """Fetch annotations, and audio where it can be downloaded; a second call goes on where the first stopped."""
    from benchmark import data

    data.fetch(
        task, home, data_root or (), annotations_only=annotations, yes=yes, again=again, keep_archives=keep_archives
    )


@data_app.command("verify")
def data_verify(
    task: DataTask,
    annotations: Annotated[bool, typer.Option("--annotations", help="Only annotations: look at no audio.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Decode all audio, and hash archives of audio.")] = False,
    data_root: DataRoots = None,
    home: Home = None,
) -> None:
    """Check sources, counts and audio, and decode a sample of 20 files; exit 1 if something is wrong."""
    from benchmark import data

    data.verify(task, home, data_root or (), everything=everything, annotations_only=annotations)


@data_app.command("where")
def data_where(task: DataTask, data_root: DataRoots = None, home: Home = None) -> None:
    """Print which files belong where, how to get them, and how to use audio that you own."""
    from benchmark import data

    data.where(task, home, data_root or ())


@data_app.command("audit")
def data_audit(
    task: DataTask,
    content: Annotated[
        bool, typer.Option("--content", help="Read all audio to find the same bytes under different names.")
    ] = False,
    data_root: DataRoots = None,
    home: Home = None,
) -> None:
    """Print what splits share and how labels are spread; exit 1 on a leak that the card does not document."""
    from benchmark import data

    data.audit(task, home, data_root or (), content=content)


@cache_app.command("ls")
def cache_ls(home: Home = None) -> None:
    """List cached embeddings: encoder, version, tracks, size, last use."""
    from benchmark import caches

    caches.ls(home)


@cache_app.command("verify")
def cache_verify(home: Home = None) -> None:
    """Read every shard, checksums included; set torn ones aside, so that they are made again."""
    from benchmark import caches

    caches.verify(home)


@cache_app.command("prune")
def cache_prune(
    encoder: Annotated[str | None, typer.Option("-e", "--encoder", help="Only spaces of this encoder.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Only spaces to which nothing was added for so many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All spaces.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would go.")] = False,
    home: Home = None,
) -> None:
    """Delete cached embeddings by encoder or age, and what killed runs left behind."""
    from benchmark import caches

    caches.prune(home, encoder=encoder, older_than=older_than, everything=everything, yes=yes)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a mistake that the user can mend is one message and exit code 2, Ctrl-C is 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 must not cost a result
    command: Any = typer.main.get_command(app)
    try:
        status = command.main(args=arguments, prog_name="bench", standalone_mode=False)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:
        message = _message_for_user(error)
        if message is None:
            raise
        _complain(message)
        sys.exit(2)
    if status == INTERRUPTED:  # typer itself turns Ctrl-C into this status
        _complain("interrupted. What was finished is kept: the same command goes on from there.")
    sys.exit(status or 0)


def _message_for_user(error: Exception) -> str | None:
    """Return the message of an error that a user can mend, else nothing: that one is ours, and keeps its traceback."""
    if hasattr(error, "format_message"):
        return f"{error.format_message()}\nSee 'bench --help'."
    # By name, so that a mistyped option costs no import of the packages that define these errors.
    mendable = {"UserError", "TaskError", "RecordError", "LeakError"}
    return str(error) if mendable & {cls.__name__ for cls in type(error).__mro__} else None


def _complain(message: str) -> None:
    print(f"bench: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
