"""The training of one run: steps, schedule, and the loop with its checkpoints, log, watch and probes.

Nothing random is kept between steps: crops, mixup and stochastic depth are drawn from the seed, the step, the process
and the chunk. So a checkpoint holds weights, the optimiser and the step, and on a CPU a resumed run is, bit for bit, an
unbroken one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.heads import checkpoint_activations
from benchmark.pretraining.strategies.contract import Context, Data, make_strategy
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.table import strategy_class
from benchmark.pretraining.training import checkpoint
from benchmark.pretraining.training.collapse import Watch, spread
from benchmark.pretraining.training.interrupt import Interrupt
from benchmark.pretraining.training.logs import Log
from benchmark.pretraining.training.progress import Progress
from benchmark.pretraining.training.schedule import learning_rate
from benchmark.system.progress import Reporter

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Evaluates the network of a step: numbers by name for the log.
Probe = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Outcome:
    """A step's loss over all processes, the norm of its gradient, this process's embeddings [N, dim], more numbers."""

    loss: float
    gradient: float
    embeddings: Tensor
    values: Mapping[str, float] = field(default_factory=dict)


class Trainer:
    """A strategy, its optimiser, and what one step does to them.

    Attributes:
        strategy: What is trained, and how.
        model: The strategy's, on the device.
        recipe: The recipe.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, data: Data | None = None) -> None:
        self.recipe, self.fabric = recipe, fabric
        self.strategy = make_strategy(strategy_class(recipe.objective), recipe, data or Data())
        self.model = self.strategy.model
        # Convolutions of all devices are faster on it: 1.5 to 2 times on a CPU.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.checkpoint_activations and not checkpoint_activations(self.network):
            raise UserError(
                f"the network {recipe.network} has no blocks whose activations could be computed again",
                "leave checkpoint_activations out",
            )
        kind = torch.optim.AdamW if recipe.weight_decay else torch.optim.Adam
        self.optimizer = kind(
            self.model.parameters(), lr=0.0, betas=(recipe.adam_beta1, recipe.adam_beta2), eps=recipe.adam_eps,
            weight_decay=recipe.weight_decay,
        )  # fmt: skip
        module: Any = torch.compile(self.model) if recipe.compile else self.model
        self._module, self._optimizer = fabric.setup(module, self.optimizer)
        self.model.train()
        self.strategy.to(fabric.device)
        self.context = Context(
            self._module, fabric.device, recipe.seed, fabric.global_rank, fabric.world_size, fabric.backward,
            self._mean, self._unsynchronised, fabric.autocast,
        )  # fmt: skip

    @property
    def network(self) -> nn.Module:
        """The network that is exported."""
        found: nn.Module = self.model.network  # type: ignore[assignment]
        return found

    def begin_with(self, network: nn.Module) -> None:
        """Take the weights of another network; heads stay as they were drawn.

        Raises:
            UserError: It is of another kind.
        """
        try:
            self.network.load_state_dict(network.state_dict())
        except RuntimeError as error:
            raise UserError(
                f"--init is of another network than {self.recipe.network}: {str(error).splitlines()[-1].strip()}",
                "give a run of the same network, or leave --init out",
            ) from None
        self.strategy.begun()

    def gradients(self, batch: Batch) -> Outcome:
        """Compute a step's gradients, clipped where the recipe says so, and change no weights."""
        found = self.strategy.backward(batch, self.context)
        limit = self.recipe.clip_norm or math.inf
        gradient = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        values = {name: float(value) for name, value in found.values.items()}
        return Outcome(float(self._mean(found.loss)), float(gradient), found.embeddings, values)

    def _unsynchronised(self) -> AbstractContextManager[Any]:
        if self.fabric.world_size == 1:
            return nullcontext()
        found: AbstractContextManager[Any] = self.fabric.no_backward_sync(self._module)
        return found

    def _mean(self, value: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return value
        mean: Tensor = self.fabric.all_reduce(value.detach().clone(), reduce_op="mean")  # type: ignore[assignment]
        return mean

    def update(self, step: int) -> float:
        """Use the gradients of a step, and forget them; return its learning rate."""
        rate = learning_rate(step, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.strategy.after_update(step)
        return rate

    def any_of(self, flag: bool) -> bool:
        """Say whether any process's flag is set."""
        return bool(self._mean(torch.tensor(float(flag), device=self.fabric.device)) > 0)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of model, optimiser and strategy."""
        more = self.strategy.state()
        found: dict[str, Any] = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**found, "strategy": more} if more else found

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.strategy.restore(state.get("strategy", {}))

    def bytes(self) -> int:
        """Return the size of a checkpoint: weights, the two moments of Adam, and what the strategy keeps."""
        weights = sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())
        return 3 * weights + _bytes(self.strategy.state())


def _bytes(state: Any) -> int:
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    return sum(map(_bytes, state.values())) if isinstance(state, dict) else 0


def train(
    trainer: Trainer,
    batches: Iterable[Batch],
    run: Path,
    progress: Progress,
    *,
    about: Mapping[str, Any],
    report: Reporter,
    logs: Sequence[Log] = (),
    watch: Watch | None = None,
    probe: Probe | None = None,
    probe_every: int | None = None,
) -> Progress:
    """Train to the recipe's last step, or until somebody interrupts.

    Args:
        trainer: Restored to ``progress``.
        batches: From step ``progress.step`` on.
        run: The run's folder.
        progress: How far the run is; it is changed.
        about: What checkpoints say of themselves beside that: plain values.
        report: Told on the first process.
        logs: The same.
        watch: Stops the run when it collapses or diverges.
        probe: Called on the first process every ``probe_every`` steps; the others wait.
        probe_every: See ``probe``.

    Raises:
        KeyboardInterrupt: Somebody interrupted; the checkpoint of the last finished step is written.
        TrainingStopped: The run collapsed or diverged; no checkpoint is written from then on.
        UserError: A checkpoint cannot be written, or data cannot be read.
    """
    recipe, watch, first = trainer.recipe, watch or Watch(), trainer.fabric.is_global_zero
    began, begun_at, waited, asked = time.monotonic(), progress.step, 0.0, time.monotonic()
    with (
        Interrupt(several=trainer.fabric.world_size > 1).watched() as interrupt,
        report.stage("training", recipe.steps, "steps") as advance,
    ):
        for batch in batches:
            waited += time.monotonic() - asked
            outcome = trainer.gradients(batch)
            watch.see_step(batch.step, outcome.loss, outcome.gradient)
            rate = trainer.update(batch.step)
            progress.step, progress.loss = batch.step + 1, outcome.loss
            progress.total, progress.count = progress.total + outcome.loss, progress.count + 1
            seconds = (time.monotonic() - began) / (progress.step - begun_at)
            advance(progress.step, f"loss {outcome.loss:.4f} · {1 / seconds:.2f} steps/s")
            ends = progress.step >= recipe.steps
            if progress.step % recipe.log_every == 0 or ends:
                found = trainer.fabric.broadcast(spread(outcome.embeddings))
                values = {
                    "loss": outcome.loss, "learning_rate": rate, "gradient_norm": outcome.gradient,
                    "embedding/deviation": found.deviation, "embedding/effective_rank": found.rank,
                    "seconds_per_step": seconds, "data_wait_share": waited / max(time.monotonic() - began, 1e-9),
                    **outcome.values,
                }  # fmt: skip
                for log in logs:
                    log.write(progress.step, values)
                watch.see_spread(progress.step, found)
            stops = trainer.any_of(interrupt.asked)
            keep = progress.step % recipe.keep_every == 0
            if progress.step % recipe.checkpoint_every == 0 or keep or ends or stops:
                _write(trainer, run, progress, about, keep=keep)
                left = seconds * (recipe.steps - progress.step)
                report.say(
                    f"step {progress.step} of {recipe.steps}: loss {outcome.loss:.4f}, {1 / seconds:.2f} steps/s, "
                    f"{left / 60:.0f} min left; checkpoint written"
                )
            if stops and not ends:
                report.say(f"Stopped after step {progress.step}. The same command continues from there.")
                raise KeyboardInterrupt
            if probe is not None and probe_every and (progress.step % probe_every == 0 or ends):
                if first:
                    found_by_probe = probe(progress.step)
                    for log in logs:
                        log.write(progress.step, found_by_probe)
                trainer.fabric.barrier()
            if ends:
                break
            asked = time.monotonic()
    return progress


def _write(trainer: Trainer, run: Path, progress: Progress, about: Mapping[str, Any], *, keep: bool) -> None:
    """Write a checkpoint on the first process; a failure there is one everywhere."""
    progress.close_interval()
    problem: Exception | None = None
    if trainer.fabric.is_global_zero:
        state = {**trainer.state(), "step": progress.step, "best": progress.best, "loss": progress.loss, **about}
        try:
            checkpoint.save(run, state, best=progress.best_is_new, keep=keep)
        except Exception as error:
            problem = error
    if trainer.any_of(problem is not None):
        raise problem or SystemExit(2)  # the first process says why
