"""A run that is continued: whether it may be, what it began with, whether it is longer now, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.pretraining.data.store import Store, refuse_another
from benchmark.pretraining.runs import DATA, LOCK, RECIPE, data_of
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import checkpoint, recipes
from benchmark.pretraining.training.schedule import learning_rate
from benchmark.system.progress import Reporter
from results.files import is_leftover

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn


def refuse_another_run(run: Path, recipe: Recipe, store: Store) -> None:
    """See whether a folder may be begun in, or continued.

    Raises:
        UserError: It holds something else, or a run of another recipe or of other data.
    """
    if not run.exists():
        return
    if not run.is_dir():
        raise UserError(f"--out {run} is a file", "name a folder")
    if not (run / RECIPE).is_file():
        others = [path.name for path in run.iterdir() if path.name != LOCK and not is_leftover(path)]
        if others:
            raise UserError(f"--out {run} holds {others[0]} and no run", "choose a new folder")
        return
    changed = recipes.differences(recipes.load(str(run / RECIPE)), recipe)
    if changed and checkpoint.exists(run):
        raise UserError(
            f"the run {run} was begun with another recipe ({'; '.join(changed)})",
            f"give what it was begun with, bench pretrain {run / RECIPE}, or a new --out",
        )
    if checkpoint.exists(run) and (run / DATA).is_file():
        refuse_another(store, data_of(run)["fingerprint"], f"the run {run}")


def begun_with(run: Path) -> dict[str, str] | None:
    """Return what a run that has a checkpoint began with: name and digest of weights; nothing where it drew them."""
    if not (checkpoint.exists(run) and (run / DATA).is_file()):
        return None
    begun = data_of(run).get("init")
    return begun if isinstance(begun, dict) else None


def initial_weights(
    given: str, home: Path, run: Path, begun: dict[str, str] | None
) -> tuple[nn.Module, dict[str, str]]:
    """Return the network that a run begins with, and what is said of it.

    Raises:
        UserError: There is no such network, or the run began with another.
    """
    from benchmark.pretraining.networks.files import weights_digest
    from benchmark.pretraining.training.export import initial_network

    network, name = initial_network(given, home)
    about = {"name": name, "weights_sha256": weights_digest(network)}
    if checkpoint.exists(run) and (begun or {}).get("weights_sha256") != about["weights_sha256"]:
        what = f"the weights of {begun['name']}" if begun else "weights that were drawn"
        raise UserError(
            f"the run {run} began with {what}, not with {given}",
            "leave --init out to continue it, or choose a new --out",
        )
    return network, about


def times_longer(run: Path, recipe: Recipe) -> list[dict[str, int]]:
    """Return how often, after which step and to which number of steps a run was made longer, this time included."""
    if not (checkpoint.exists(run) and (run / DATA).is_file() and (run / RECIPE).is_file()):
        return []
    before = data_of(run).get("longer")
    times = list(before) if isinstance(before, list) else []
    steps = recipes.load(str(run / RECIPE)).steps
    if recipe.steps > steps:
        times.append({"after_step": last_step(run), "steps_before": steps, "steps": recipe.steps})
    return times


def last_step(run: Path) -> int:
    """Return the step of the last checkpoint."""
    return int(checkpoint.load(checkpoint.path_of(run, "last"))["step"])


def tell_resumed(
    run: Path, step: int, recipe: Recipe, state: Mapping[str, Any], fabric: Fabric, report: Reporter
) -> None:
    """Say after which step a run continues, and in what it will not be an unbroken one."""
    report.say(f"{run} continues after step {step} of {recipe.steps}.")
    before, world = recipes.from_json(state["recipe"]), state["world"]
    if before.steps != recipe.steps:
        report.say(
            f"It was to have {before.steps} steps. The learning rate follows the schedule of {recipe.steps} from now "
            f"on: {learning_rate(step, recipe):.3g} at this step, where the schedule before had "
            f"{learning_rate(step, before):.3g}. A run of {recipe.steps} steps from the beginning would be another."
        )
    if world != fabric.world_size:
        report.say(
            f"It was trained by {world} process(es) and is now by {fabric.world_size}: partners of mixup and "
            "stochastic depth are drawn by each process, so it is not what an unbroken run would have been."
        )
