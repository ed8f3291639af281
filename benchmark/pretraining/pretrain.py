"""``bench pretrain RECIPE``: all is checked first, then it is trained or resumed, and exported at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from benchmark.errors import UserError
from benchmark.pretraining.batches import sampler_of
from benchmark.pretraining.continuing import (
    begun_with,
    initial_weights,
    last_step,
    refuse_another_run,
    tell_resumed,
    times_longer,
)
from benchmark.pretraining.data.features import refuse_other_front_end
from benchmark.pretraining.data.sampling import stream
from benchmark.pretraining.data.store import Store, open_store, refuse_another
from benchmark.pretraining.fabric import make_fabric, refuse_different
from benchmark.pretraining.processes import adopt_slurm, ended_together, rank, said_once
from benchmark.pretraining.runs import CARD, DATA, LOCK, RECIPE, WEIGHTS
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.table import strategy_class
from benchmark.pretraining.training import checkpoint, recipes
from benchmark.pretraining.training.export import export
from benchmark.system.home import home_folder, refuse_unwritable
from benchmark.system.progress import Reporter, Silent
from benchmark.system.stdout import stdout_to_stderr
from benchmark.tracking.contract import Status
from benchmark.tracking.kinds import Tracking, refuse_missing
from results.files import replace_file

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from benchmark.pretraining.strategies.contract import Data
    from benchmark.pretraining.training.logs import Log
    from benchmark.pretraining.training.trainer import Trainer


@dataclass(frozen=True)
class Choices:
    """What a user chooses beside the recipe.

    Attributes:
        recipe: Name or path.
        data: Folder or address of the store.
        out: The run's folder; one with a checkpoint is continued.
        overrides: ``key=value`` texts.
        device: ``auto``, ``cpu``, ``cuda``.
        home: The data home.
        tracking: Trackers beside CSV and TensorBoard.
        probe_every: Steps between probes; ``None`` for no probes.
        probe_tasks: What is probed.
        probe_trials: Probe settings to try each time.
        data_roots: ``COLLECTION=DIR``, where the datasets of probes lie.
        init: A run, ``RUN@STEP`` or a file of weights that the network begins with; ``None`` draws its weights. A run
            that is continued has its own.
    """

    recipe: str
    data: str
    out: Path
    overrides: Sequence[str] = ()
    device: str = "auto"
    home: Path | None = None
    tracking: Tracking = field(default_factory=Tracking)
    probe_every: int | None = None
    probe_tasks: tuple[str, ...] = ()
    probe_trials: int = 4
    data_roots: tuple[str, ...] = ()
    init: str | None = None


Train = Callable[[Path, Path, tuple[str, ...], Reporter], Path]
"""Trains the recipe of a file into a folder, with ``key=value`` texts in place of what it says, or goes on with it."""


def trains_on(data: str, device: str = "auto", home: Path | None = None) -> Train:
    """Return what trains, or continues with, any run on one store; see :class:`Choices`."""

    def train(recipe: Path, out: Path, overrides: tuple[str, ...], report: Reporter) -> Path:
        return pretrain(Choices(str(recipe), data, out, overrides, device, home), report)

    return train


def pretrain(choices: Choices, report: Reporter | None = None) -> Path:
    """Train, or continue with, the run ``choices.out``; return the path of the exported weights.

    Raises:
        UserError: The recipe, the store, the folder or the machine does not do, or the run collapsed.
        KeyboardInterrupt: Somebody interrupted; a checkpoint is written.
    """
    adopt_slurm()
    report = (report or Silent()) if rank() == 0 else Silent()
    run, home = choices.out, home_folder(choices.home)
    with said_once():
        refuse_missing(choices.tracking.kinds)
        recipe = recipes.load(choices.recipe, choices.overrides)
        if (choices.probe_every is None) != (not choices.probe_tasks):
            raise UserError("--probe-every and --probe-task go together", "name both, or neither")
        if choices.probe_every is not None and choices.probe_every < 1:
            raise UserError(f"--probe-every is {choices.probe_every}", "give 1 at least")
        store = open_store(choices.data, home=home, report=report)
        again = f"make it again: bench pretrain prepare AUDIO --out {store.path} --redo"
        refuse_other_front_end(store.frontend, f"the store {store.path}", again, report)
        sampler_of(recipe, store)  # refuses what does not fit, before anything is written
        strategy_class(recipe.objective).check(recipe, store)
        refuse_another_run(run, recipe, store)
        begun = begun_with(run)
        initial = None if choices.init is None else initial_weights(choices.init, home, run, begun)
        refuse_unwritable(run, "--out")
        fabric = make_fabric(recipe, choices.device, report)
    refuse_different(fabric, recipe, store)
    from benchmark.pretraining.training.progress import Progress
    from benchmark.pretraining.training.trainer import Trainer, train

    with ended_together(), _alone(run, fabric):
        checkpoint.clean(run) if fabric.is_global_zero else None
        trainer = Trainer(recipe, fabric, _data_of(recipe, store))
        progress = Progress()
        if initial is not None:
            trainer.begin_with(initial[0])
            begun = initial[1]
        longer = times_longer(run, recipe)
        _describe(run, recipe, store, fabric, report, trainer, begun, longer)
        if checkpoint.exists(run):
            state = checkpoint.load(checkpoint.path_of(run, "last"))
            refuse_another(store, state["data"], f"the run {run}")
            trainer.restore(state)
            progress = Progress(state["step"], state["best"], loss=state["loss"])
            tell_resumed(run, progress.step, recipe, state, fabric, report)
        else:
            checkpoint.refuse_full(run, trainer.bytes())
        if progress.step < recipe.steps:
            with stdout_to_stderr() if choices.tracking.kinds else nullcontext():  # what the libraries print
                _train(train, trainer, progress, choices, store, home, report)
        fabric.barrier()
        if fabric.is_global_zero:
            weights = export(run)
            report.say(f"Trained {progress.step} steps: {weights}, {run / CARD}. Use it as --encoder pretrained:{run}")
        fabric.barrier()
    return run / WEIGHTS


def _train(
    train: Any, trainer: Trainer, progress: Any, choices: Choices, store: Store, home: Path, report: Reporter
) -> None:
    from benchmark.pretraining.training.collapse import TrainingStopped
    from benchmark.pretraining.training.logs import open_logs

    fabric, recipe, run = trainer.fabric, trainer.recipe, choices.out
    first, probe = fabric.is_global_zero, None
    if choices.probe_tasks and first:
        from benchmark.pretraining.probing import make_probe

        probe = make_probe(
            trainer, run, choices.probe_tasks, home=home, report=report, trials=choices.probe_trials,
            device=str(fabric.device), data_roots=choices.data_roots,
        )  # fmt: skip
    sampler = sampler_of(recipe, store, fabric)
    if sampler.too_short:
        report.say(
            f"{sampler.too_short} of {store.tracks} tracks are too short for crops {recipe.pair_seconds:g} s apart: "  # type: ignore[attr-defined]
            "theirs lie at the start and at the end"
        )
    about = {"recipe": recipe.model_dump_json(), "data": store.fingerprint, "world": fabric.world_size}
    logs: list[Log] = []
    status: Status = "failed"
    try:
        logs += open_logs(run, progress.step, choices.tracking, recipe.model_dump(), report) if first else []
        train(
            trainer, stream(sampler, progress.step, stop=recipe.steps), run, progress, about=about, report=report,
            logs=logs, probe=probe if first else _wait, probe_every=choices.probe_every,
        )  # fmt: skip
        status = "finished"
    except KeyboardInterrupt:
        status = "killed"
        raise
    except TrainingStopped as stop:
        kept = f"Checkpoints up to step {last_step(run)} are kept" if checkpoint.exists(run) else "There is none yet"
        raise TrainingStopped(
            f"the run {run} was stopped: {stop.what}. {kept} in {run / checkpoint.FOLDER}",
            f"Begin again in a new folder, for instance with peak_learning_rate={recipe.peak_learning_rate / 4:g} or "
            "clip_norm=1",
        ) from None
    except OSError as error:
        raise _unlogged(run, error) from error
    finally:
        for log in logs:
            with suppress(OSError):  # a disk that is full has been told of, or nothing is left to be written
                log.close(status)


def _unlogged(run: Path, error: OSError) -> UserError:
    kept = f"Checkpoints up to step {last_step(run)} are kept" if checkpoint.exists(run) else "There is none yet"
    return UserError(
        f"the logs of the run {run} cannot be written: {error.strerror or error}. {kept}",
        "make room and run the same command again, it continues from there",
    )


def _wait(_: int) -> dict[str, float]:
    return {}


def _data_of(recipe: Recipe, store: Store) -> Data:
    from benchmark.pretraining.strategies.contract import Data

    views = strategy_class(recipe.objective).views(recipe)
    return Data(len(store.labels or ()) if views.labels else None, store.distinct_captions() if views.captions else ())


@contextmanager
def _alone(run: Path, fabric: Fabric) -> Iterator[None]:
    if not fabric.is_global_zero:
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"another process trains the run {run}", "wait for it, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def _describe(
    run: Path, recipe: Recipe, store: Store, fabric: Fabric, report: Reporter, trainer: Trainer,
    begun: dict[str, str] | None, longer: list[dict[str, int]],
) -> None:  # fmt: skip
    """Write what the run is made of."""
    from benchmark.system.machine import hardware

    if not fabric.is_global_zero:
        return
    data = {
        "store": store.path,
        "fingerprint": store.fingerprint,
        "frontend": store.frontend,
        "tracks": store.tracks,
        "seconds": store.seconds_total,
        "left_out": store.left_out,
        "labels": None if store.labels is None else list(store.labels),
        **({} if begun is None else {"init": begun}),
        **({"longer": longer} if longer else {}),
    }
    hard = hardware(str(fabric.device))
    try:
        replace_file(run / RECIPE, recipes.as_toml(recipe).encode())
        replace_file(run / DATA, (json.dumps({**data, "hardware": hard}, indent=2) + "\n").encode())
    except OSError as error:
        raise UserError(
            f"--out {run} cannot be written: {error.strerror or error}",
            "make room or let it be written, or choose another --out",
        ) from error
    weights = sum(parameter.numel() for parameter in trainer.network.parameters())
    report.say(
        f"{recipe.title or recipe.objective}: {recipe.network} ({weights:,} parameters), {store.tracks} tracks, "
        f"{store.seconds_total / 3600:.1f} h, batch {recipe.batch}, {recipe.steps} steps, on {fabric.device} "
        f"({fabric.world_size} process{'es' if fabric.world_size > 1 else ''}, {recipe.precision})"
    )
