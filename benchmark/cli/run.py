"""``bench run`` and ``bench embed``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from benchmark.cli.parameters import ConfigFile, EncoderNames, TaskNames, with_options
from benchmark.system.terminal import display, page_width

run_app = typer.Typer()


@run_app.command()
@with_options()
def run(
    encoder: EncoderNames,
    task: TaskNames,
    config: ConfigFile = None,  # noqa: ARG001 - its callback has read it
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    **chosen: Any,
) -> None:
    """Embed, probe and score encoders on tasks; write one record for each pair."""
    from benchmark.encoders.registry import resolve
    from benchmark.jobs.items import needs_audio, prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.jobs.runner import UnfinishedError, run_many
    from benchmark.reports.plan import format_plan
    from benchmark.reports.scores import format_next, format_outcomes
    from benchmark.system.progress import Terminal
    from tasks import registry

    options, report = Options(**chosen), Terminal()
    encoders = resolve(encoder, options.home_folder, options.precision, options.encoder_args)
    tasks = registry.find(task, options.home_folder, options.data_roots)
    if dry_run:
        items = prepare(tasks, options, report, audio=needs_audio(encoders))
        display(format_plan(plan_jobs(encoders, items, options, report), options.embedding))
        return
    try:
        display(format_outcomes(run_many(encoders, tasks, options, report)))
        if page_width() is not None:  # somebody looks on
            display(f"\n{format_next(options.results)}")
    except UnfinishedError as error:  # what was done is shown before it is said what was not
        if error.outcomes:
            display(format_outcomes(error.outcomes))
        raise


@run_app.command()
@with_options(
    "home", "data_roots", "limit", "allow_missing", "allow_damaged", "encoder_args", "precision", "own_windows", "seed",
    "device", "batch_size", "workers",
)  # fmt: skip
def embed(
    encoder: EncoderNames,
    task: TaskNames,
    config: ConfigFile = None,  # noqa: ARG001 - its callback has read it
    **chosen: Any,
) -> None:
    """Embed the audio of tasks into the cache, and stop there; of --config, what decides embeddings is used."""
    from benchmark.encoders.registry import resolve
    from benchmark.jobs.embed import embed as embed_jobs
    from benchmark.jobs.items import prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.reports.plan import format_embedded, refuse_precomputed
    from benchmark.system.progress import Terminal
    from tasks import registry

    options, report = Options(**chosen), Terminal()
    encoders = resolve(encoder, options.home_folder, options.precision, options.encoder_args)
    refuse_precomputed(encoders)
    items = prepare(registry.find(task, options.home_folder, options.data_roots), options, report)
    jobs = plan_jobs(encoders, items, options, report, records=False)
    display(format_embedded(jobs, embed_jobs(jobs, options.embedding, report)))
