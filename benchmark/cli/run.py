"""``bench run`` and ``bench embed``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.parameters import (
    AllowDamaged,
    AllowMissing,
    BatchSize,
    DataRoots,
    Device,
    EncoderArgs,
    EncoderNames,
    Home,
    Limit,
    OwnWindows,
    Precision,
    PrecisionChoice,
    Results,
    TaskNames,
    Workers,
)

run_app = typer.Typer()


class Overwrite(StrEnum):
    """What happens to a record that is already there."""

    always = "always"
    never = "never"
    missing = "missing"


class SamplerChoice(StrEnum):
    """What chooses the settings of a trial."""

    tpe = "tpe"
    random = "random"
    grid = "grid"


class PrunerChoice(StrEnum):
    """What ends a trial before its steps do."""

    halving = "halving"
    none = "none"


@run_app.command()
def run(
    encoder: EncoderNames,
    task: TaskNames,
    encoder_arg: EncoderArgs = None,
    trials: Annotated[int | None, typer.Option(help="Probe settings to try (default: the protocol's).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of search and probes.")] = 0,
    seeds: Annotated[int | None, typer.Option(help="How often the selected probe is retrained.")] = None,
    limit: Limit = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    home: Home = None,
    results: Results = Path("results"),
    overwrite: Annotated[
        Overwrite,
        typer.Option(
            help="missing: keep a record of the same run, refuse to displace one of more trials or seeds; always: run "
            "again and displace whatever is there (into history/); never: displace none."
        ),
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
        typer.Option(
            help="halving ends hopeless trials early (default, but for a grid); none trains all to their end."
        ),
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
    from benchmark.audio.deformations import parse
    from benchmark.encoders.registry import resolve
    from benchmark.jobs.items import needs_audio, prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.jobs.runner import UnfinishedError, run_many
    from benchmark.reports.plan import print_plan
    from benchmark.reports.scores import print_outcomes
    from benchmark.system.home import home_folder
    from benchmark.system.progress import Terminal
    from tasks import registry

    options = Options(
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
        home=home_folder(home),
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
    encoders = resolve(encoder, options.home, options.precision, tuple(encoder_arg or ()))
    tasks, report = registry.find(task, options.home, options.data_roots), Terminal()
    if dry_run:
        items = prepare(tasks, options, report, audio=needs_audio(encoders))
        print_plan(plan_jobs(encoders, items, options, report), options)
        return
    try:
        print_outcomes(run_many(encoders, tasks, options, report))
    except UnfinishedError as error:  # what was done is shown before it is said what was not
        if error.outcomes:
            print_outcomes(error.outcomes)
        raise


@run_app.command()
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
    from benchmark.encoders.registry import resolve
    from benchmark.jobs.embed import embed as embed_jobs
    from benchmark.jobs.items import prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.reports.plan import print_embedded, refuse_precomputed
    from benchmark.system.home import home_folder
    from benchmark.system.progress import Terminal
    from tasks import registry

    options = Options(
        home=home_folder(home),
        results=Path("results"),
        overwrite="always",
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
    encoders = resolve(encoder, options.home, options.precision, tuple(encoder_arg or ()))
    refuse_precomputed(encoders)
    report = Terminal()
    items = prepare(registry.find(task, options.home, options.data_roots), options, report)
    jobs = plan_jobs(encoders, items, options, report, records=False)
    print_embedded(jobs, embed_jobs(jobs, options.embedding, report))


def _fractions(text: str | None) -> tuple[float, ...]:
    try:
        return () if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers such as 0.01,0.1,1", param_hint="--train-fraction"
        ) from None
