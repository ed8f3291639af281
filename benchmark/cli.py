"""The command line: parse, call, print. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.encoder_commands import encoders_app
from benchmark.pretrain_cli import pretrain_app

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
app.add_typer(pretrain_app, name="pretrain")
app.add_typer(encoders_app, name="encoders")


class Overwrite(StrEnum):
    """What happens to a record that is already there."""

    always = "always"
    never = "never"
    missing = "missing"


class PrecisionChoice(StrEnum):
    """What an encoder computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


class SamplerChoice(StrEnum):
    """What chooses the settings of a trial."""

    tpe = "tpe"
    random = "random"
    grid = "grid"


class PrunerChoice(StrEnum):
    """What ends a trial before its steps do."""

    halving = "halving"
    none = "none"


EncoderNames = Annotated[
    list[str],
    typer.Option(
        "-e", "--encoder",
        help="Encoder: id, file.py[:Class], module:Class, hf:ID, hear:MODULE, onnx:FILE, torchscript:FILE, emb:FILE; "
        "options as ?k=v&k2=v2; X,Y for several. 'bench encoders' tells more.",
    ),
]  # fmt: skip
EncoderArgs = Annotated[
    list[str] | None, typer.Option("--encoder-arg", metavar="K=V", help="An option for the encoders named; repeatable.")
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
    encoder_arg: EncoderArgs = None,
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
    protocol: Annotated[
        str, typer.Option(help="What a probe may be: paper, quick, open, jukemir, or published:MODEL.")
    ] = "paper",
    sampler: Annotated[SamplerChoice, typer.Option(help="What chooses settings.")] = SamplerChoice.tpe,
    pruner: Annotated[
        PrunerChoice | None,
        typer.Option(help="halving ends hopeless trials early (default, but for quick); none trains all to their end."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="URL of an Optuna storage to share a search (default: a journal in --results).")
    ] = None,
    probe_precision: Annotated[
        PrecisionChoice, typer.Option(help="What the probe's products are computed in.")
    ] = PrecisionChoice.fp32,
    layer: Annotated[
        str | None, typer.Option(help="For encoders with layers: auto (chosen on valid), a name or number, mix or all.")
    ] = None,
    train_fraction: Annotated[
        str | None, typer.Option(help="Learning curve: fractions of train, such as 0.01,0.1,1.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Samples of each --train-fraction.")] = 1,
    export: Annotated[
        Path | None, typer.Option(help="Write the trained probe (safetensors, ONNX) below this folder.")
    ] = None,
    deform: Annotated[
        str | None,
        typer.Option(help="Score test under deformations too, such as gain=-20,noise=20dB,shift=50ms,mp3=64k."),
    ] = None,
) -> None:
    """Embed, probe and score encoders on tasks; write one record for each pair."""
    from benchmark import commands
    from benchmark.deformations import parse

    commands.run(
        encoder,
        task,
        dry_run=dry_run,
        protocol=protocol,
        sampler=sampler.value,
        pruner=pruner.value if pruner else None,
        storage=storage,
        probe_precision=probe_precision.value,
        layer=layer,
        train_fraction=_fractions(train_fraction),
        repeats=repeats,
        export=export,
        deform=() if deform is None else parse(deform),
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
        encoder_args=tuple(encoder_arg or ()),
    )


@app.command()
def embed(
    encoder: EncoderNames,
    task: TaskNames,
    encoder_arg: EncoderArgs = None,
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
        encoder_args=tuple(encoder_arg or ()),
    )


def _fractions(text: str | None) -> tuple[float, ...]:
    try:
        return () if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers such as 0.01,0.1,1", param_hint="--train-fraction"
        ) from None


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="An encoder with records, by its id there.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    task: Annotated[list[str] | None, typer.Option("-t", "--task", help="Tasks (default: all that both have).")] = None,
    metric: Annotated[str | None, typer.Option(help="This metric alone (default: all).")] = None,
    permutations: Annotated[
        int | None, typer.Option(help="Default 2000; fewer on very large tasks, and then said.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of resamples and permutations.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    results: Results = Path("results"),
) -> None:
    """Compare two encoders on saved predictions: difference, interval, permutation p, Holm over tasks."""
    from benchmark import comparisons

    comparisons.compare(
        first, second, task or [], results=results, metric=metric, permutations=permutations, seed=seed, as_json=as_json
    )


@app.command()
def labels(
    asked: Annotated[str, typer.Argument(metavar="RECORD_OR_TASK", help="A record's JSON file, or a task.")],
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
    from benchmark import label_scores

    label_scores.labels(
        asked, encoder, results=results, home=home, metric=metric, published=published, fetch=fetch, as_json=as_json
    )


@app.command()
def reproduce(
    record: Annotated[Path, typer.Argument(help="The JSON file of a record.")],
    encoder: Annotated[
        str | None, typer.Option("-e", "--encoder", help="What names the encoder, if its id does not.")
    ] = None,
    task: Annotated[str | None, typer.Option("-t", "--task", help="What names the task, if its id does not.")] = None,
    data_root: DataRoots = None,
    device: Device = "auto",
    home: Home = None,
) -> None:
    """Retrain a recorded probe from the cache and report the difference; exit 1 if there is one."""
    from benchmark import reproduce as work

    if not work.reproduce(
        record, home=home, encoder=encoder, task=task, data_roots=tuple(data_root or ()), device=device
    ):
        raise typer.Exit(1)


@app.command()
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
    from benchmark import predict as work

    work.command(
        probe, files, encoder=encoder, home=home, device=device, batch_size=batch_size, workers=workers, top_k=top_k,
        as_json=as_json,
    )  # fmt: skip


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
