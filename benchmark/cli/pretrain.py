"""``bench pretrain``: prepare a store of log-mels, train a recipe on it, list the recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from benchmark.cli import completion
from benchmark.cli.parameters import AsJson, DataRoots, Home, Workers, with_options
from benchmark.cli.printing import print_json, refuse_stray
from benchmark.system.terminal import display


class TrainByDefault(TyperGroup):
    """A group in which ``pretrain RECIPE`` is ``pretrain train RECIPE``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # Any: typer brings a click of its own, or not
        """Put ``train`` before what is no command."""
        if args and self.get_command(ctx, args[0]) is None:
            args = ["train", *args]
        return super().resolve_command(ctx, args)


pretrain_app = typer.Typer(
    cls=TrainByDefault,
    help="Train an encoder of your own: prepare a store of log-mels, then pretrain RECIPE --data STORE --out RUN.",
)


@pretrain_app.callback(invoke_without_command=True)
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """Train an encoder of your own: prepare a store of log-mels, then pretrain RECIPE --data STORE --out RUN."""
    refuse_stray(context)
    if context.invoked_subcommand is None:
        from benchmark.pretraining.training import recipes

        if as_json:
            every = {name: recipes.load(name) for name in recipes.names()}
            print_json([{"name": name, **recipe.model_dump(mode="json")} for name, recipe in every.items()])
            return
        found = recipes.summaries()
        width = max(len(recipe.name) for recipe in found)
        for recipe in found:
            display(f"{recipe.name:<{width}}  {recipe.title}: batch {recipe.batch}, {recipe.steps:,} steps")
        display(
            "\nbench pretrain prepare AUDIO --out STORE\nbench pretrain RECIPE --data STORE --out RUN [key=value ...]"
        )


@pretrain_app.command("prepare")
def prepare(
    source: Annotated[Path, typer.Argument(metavar="AUDIO", help="A folder of audio, or a manifest of it.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the store.")],
    labels: Annotated[Path | None, typer.Option("--labels", help="A label file, for supervised training.")] = None,
    workers: Workers = None,
    redo: Annotated[bool, typer.Option("--redo", help="Make again what is no longer what the store holds.")] = False,
    shortest: Annotated[float, typer.Option(metavar="SECONDS", help="Leave shorter tracks out.")] = 3.0,
    cut: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Cut tracks into pieces of about so long: for few long ones."),
    ] = None,
    allow_left_out: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="So many tracks may be left out (default: half of them).")
    ] = None,
    waveforms: Annotated[
        bool,
        typer.Option("--waveforms", help="Keep waveforms too, 115 MB an hour: for strategies that hear them."),
    ] = False,
    captions: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Captions of tracks: columns track_id or path, and caption."),
    ] = None,
) -> None:
    """Compute the log-mels of audio once, into a store; the same command continues where it was stopped.

    A finished store gets --waveforms and --captions later, and its log-mels stay.
    """
    from benchmark.pretraining.data.prepare import prepare as make
    from benchmark.system.progress import Terminal

    display(
        make(
            source, out, labels=labels, workers=workers, redo=redo, shortest=shortest, cut=cut,
            allow_left_out=allow_left_out, waveforms=waveforms, captions=captions, report=Terminal(),
        ).path
    )  # fmt: skip


@pretrain_app.command("train")
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe of 'bench pretrain', or the path of a TOML file.")],
    data: Annotated[str, typer.Option("--data", help="The store: a folder, or an address such as s3://bucket/store.")],
    out: Annotated[Path, typer.Option("--out", help="The run's folder; one that was stopped is continued.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="In place of what the recipe says: steps=500.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; several with torchrun.")] = "auto",
    probe_every: Annotated[int | None, typer.Option(help="Evaluate the encoder every N steps.")] = None,
    probe_task: Annotated[list[str] | None, typer.Option(help="The task to do it on; repeatable.")] = None,
    probe_trials: Annotated[int, typer.Option(min=1, help="Probe settings to try each time.")] = 4,
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track",
            "--log",
            metavar="KIND",
            autocompletion=completion.trackers,
            help="wandb, trackio or mlflow, beside CSV and TensorBoard; repeatable.",
        ),
    ] = None,
    track_project: Annotated[str, typer.Option(metavar="NAME", help="Project, or experiment, of the trackers.")] = (
        "pretraining"
    ),
    init: Annotated[
        str | None, typer.Option(metavar="RUN|FILE", help="Begin with the weights of a run, RUN@STEP, or a file.")
    ] = None,
    data_root: DataRoots = None,
    home: Home = None,
) -> None:
    """Train a recipe on a store, or continue with a run; at its end lies an encoder, pretrained:RUN."""
    from benchmark.pretraining.pretrain import Choices, pretrain
    from benchmark.pretraining.processes import rank
    from benchmark.system.progress import Terminal
    from benchmark.tracking.kinds import tracking_of

    choices = Choices(
        recipe,
        data,
        out,
        tuple(overrides or ()),
        device,
        home,
        tracking_of(track or (), track_project),
        probe_every,
        tuple(probe_task or ()),
        probe_trials,
        tuple(data_root or ()),
        init,
    )
    weights = pretrain(choices, Terminal())
    if rank() == 0:
        display(weights)


@pretrain_app.command("ablate")
def ablate(
    recipe: Annotated[str, typer.Argument(help="A recipe of 'bench pretrain', or the path of a TOML file.")],
    over: Annotated[
        str,
        typer.Option(metavar="KEY|KEY=A,B", help="A key with a list (workers) or choices (weighting), or its values."),
    ],
    data: Annotated[str, typer.Option("--data", help="The store, the same for all.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the runs; one that was stopped is continued.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="In place of what the recipe says: steps=500.")
    ] = None,
    drop_one: Annotated[bool, typer.Option("--drop-one/--no-drop-one", help="Of a list: without each entry.")] = True,
    only_one: Annotated[bool, typer.Option("--only-one", help="Of a list: each entry alone.")] = False,
    probe_task: Annotated[list[str] | None, typer.Option(help="What each network is probed on; repeatable.")] = None,
    probe_trials: Annotated[int, typer.Option(min=1, help="Probe settings to try.")] = 4,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    data_root: DataRoots = None,
    home: Home = None,
) -> None:
    """Train a recipe once for each value of a key, or without each entry of a list, and write one table of them."""
    from benchmark.pretraining.ablation import Asked
    from benchmark.pretraining.ablation import ablate as run
    from benchmark.pretraining.pretrain import trains_on
    from benchmark.system.progress import Terminal

    found = run(
        Asked(
            recipe, over, data, out, tuple(overrides or ()), drop_one, only_one, tuple(probe_task or ()), probe_trials,
            device, home, tuple(data_root or ()),
        ),
        trains_on(data, device, home),
        Terminal(),
    )  # fmt: skip
    display(found.text, end="")
    display(found.path, error=True)
    for problem in found.problems:
        display(problem, error=True)
    if found.problems:
        raise typer.Exit(1)


@pretrain_app.command("compare")
@with_options(
    "home", "data_roots", "allow_missing", "allow_damaged", "protocol", "trials", "batch_size", "workers"
)  # of the probes
def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE... [KEY=VALUE]...", help="Recipes, and values that all of them take."),
    ],
    data: Annotated[str, typer.Option("--data", help="The store, the same for all.")],
    tasks: Annotated[
        list[str],
        typer.Option("--tasks", "-t", "--task", help="What is probed; T,U too.", autocompletion=completion.tasks),
    ],
    out: Annotated[Path, typer.Option("--out", help="The comparison's folder; one that was stopped is continued.")],
    budget: Annotated[str, typer.Option(metavar="steps=N|minutes=M", help="What each run may take.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe, with seeds from 0 upwards.")] = 3,
    curve_seeds: Annotated[
        int, typer.Option(min=0, help="Of how many of them limited-data curves are measured; 0: none.")
    ] = 1,
    probe_seeds: Annotated[
        int | None, typer.Option(min=1, help="How often each probe is retrained (default: the protocol's).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    **chosen: Any,
) -> None:
    """Train recipes under an equal budget, probe each beside random weights, and write one table of them."""
    from benchmark.pretraining.comparison.compare import Choices, compare
    from benchmark.pretraining.pretrain import trains_on
    from benchmark.system.progress import Terminal

    found = compare(
        Choices(
            words=recipes, data=data, tasks=tasks, out=out, budget=budget, seeds=seeds, curve_seeds=curve_seeds,
            probe_seeds=probe_seeds, device=device, run=chosen,
        ),
        trains_on(data, device, chosen.get("home")),
        Terminal(),
    )  # fmt: skip
    display(found.text, end="", whole=True)
    display(f"{found.path}; as a page: bench report {out}", error=True)
    for problem in found.problems:
        display(problem, error=True)
    if found.problems:
        raise typer.Exit(1)
