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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmark.encoders.published.mule.network import SlowFastNFNet
from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.training import checkpoint
from benchmark.pretraining.training.collapse import Watch, spread
from benchmark.pretraining.training.distributed import accumulated_gradients, all_gather, cached_gradients
from benchmark.pretraining.training.heads import NETWORKS, Pretrainer, Projector, checkpoint_activations
from benchmark.pretraining.training.interrupt import Interrupt
from benchmark.pretraining.training.logs import Log
from benchmark.pretraining.training.objectives import draw_mixup, mixup, nt_xent, share_known, supervised_loss
from benchmark.pretraining.training.progress import Progress
from benchmark.pretraining.training.recipes import Recipe
from benchmark.system.progress import Reporter

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Evaluates the network of a step: numbers by name for the log.
Probe = Callable[[int], Mapping[str, float]]


def learning_rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate of a step, from 0: linear from 0 to the peak, then a cosine to 0.

    >>> recipe = Recipe(objective="simclr", batch=2, steps=200_000)
    >>> learning_rate(0, recipe), learning_rate(5_000, recipe), round(learning_rate(102_500, recipe), 10)
    (0.0, 0.0002, 0.0001)
    """
    if step < recipe.warmup_steps:
        return recipe.peak_learning_rate * step / recipe.warmup_steps
    passed = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    return recipe.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * min(passed, 1.0)))


def make_model(recipe: Recipe, labels: int | None) -> Pretrainer:
    """Return the network of a recipe with its head, initialised from the recipe's seed.

    Args:
        recipe: The recipe.
        labels: Labels of the data; only a supervised recipe takes them.
    """
    config = replace(NETWORKS[recipe.network], drop_rate=recipe.drop_rate)
    outputs = recipe.projection if recipe.objective == "simclr" else labels
    assert outputs is not None
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        head = Projector(config.dim, outputs, recipe.projector_width, recipe.projector_layers)
        return Pretrainer(SlowFastNFNet(config), head)


@dataclass(frozen=True)
class Outcome:
    """A step's loss over all processes, the norm of its gradient, and this process's embeddings [N, dim]."""

    loss: float
    gradient: float
    embeddings: Tensor


class Trainer:
    """A model, its optimiser, and what one step does to them.

    Attributes:
        model: Network and head, on the device.
        recipe: The recipe.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, labels: int | None = None) -> None:
        self.recipe, self.fabric = recipe, fabric
        self.model = make_model(recipe, labels)
        # Convolutions of all devices are faster on it: 1.5 to 2 times on a CPU.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.checkpoint_activations:
            checkpoint_activations(self.model)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=0.0, betas=(recipe.adam_beta1, recipe.adam_beta2), eps=recipe.adam_eps
        )
        module: Any = torch.compile(self.model) if recipe.compile else self.model
        self._module, self._optimizer = fabric.setup(module, self.optimizer)
        self.model.train()

    def begin_with(self, network: SlowFastNFNet) -> None:
        """Take the weights of another network; the head stays as it was drawn.

        Raises:
            UserError: It is of another kind.
        """
        try:
            self.model.network.load_state_dict(network.state_dict())
        except RuntimeError as error:
            raise UserError(
                f"--init is of another network than {self.recipe.network}: {str(error).splitlines()[-1].strip()}",
                "give a run of the same network, or leave --init out",
            ) from None

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the mixed log-mels on the device, of pairs the first views and then the second, and mixed labels."""
        rng = np.random.default_rng([self.recipe.seed, batch.step, self.fabric.global_rank])
        views, labels = [], None
        if batch.labels is not None:
            labels = torch.from_numpy(batch.labels).to(self.fabric.device)
        for crops in (batch.first, batch.second):
            if crops is None:
                continue
            view = torch.from_numpy(crops).to(self.fabric.device).float()
            if self.recipe.mixup:
                gains, partners = draw_mixup(rng, len(view), self.recipe.mixup_alpha, self.recipe.mixup_beta)
                view = mixup(view, gains, partners)
                labels = None if labels is None else mixup(labels, gains, partners)
            views.append(view)
        return torch.cat(views), labels

    def gradients(self, batch: Batch) -> Outcome:
        """Compute a step's gradients, clipped where the recipe says so, and change no weights."""
        inputs, labels = self.inputs(batch)
        chunk = self.recipe.chunk or len(inputs)

        def forward(index: int, part: Tensor) -> Tensor:
            torch.manual_seed(_seed(self.recipe.seed, batch.step, self.fabric.global_rank, index))
            return self._module(part)

        if self.recipe.objective == "simclr":
            loss, rows = self._contrast(inputs, chunk, forward, self._tracks(batch))
        else:
            assert labels is not None
            scale = share_known(labels, self._mean) if batch.masked else None
            loss, rows = accumulated_gradients(
                inputs, labels, chunk, forward, partial(self._supervised, scale=scale), self.fabric.backward,
                self._unsynchronised,
            )  # fmt: skip
        limit = self.recipe.clip_norm or math.inf
        gradient = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        return Outcome(float(self._mean(loss)), float(gradient), self.model.parts(rows)[0])

    def _contrast(
        self, inputs: Tensor, chunk: int, forward: Callable[[int, Tensor], Tensor], tracks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        loss_of = partial(self._pairwise, tracks=tracks)
        if chunk < len(inputs):
            return cached_gradients(inputs, chunk, forward, loss_of, self.fabric.backward, self._unsynchronised)
        rows = forward(0, inputs)
        loss = loss_of(rows)
        self.fabric.backward(loss)
        return loss.detach(), rows.detach()

    def _tracks(self, batch: Batch) -> Tensor | None:
        """Return the numbers of the tracks of all processes, where those of one track are no negatives."""
        if self.recipe.same_track == "negatives":
            return None
        tracks = batch.rows if batch.tracks is None else batch.tracks
        return all_gather(torch.from_numpy(tracks).to(self.fabric.device))

    def _pairwise(self, rows: Tensor, tracks: Tensor | None) -> Tensor:
        first, second = self.model.parts(rows)[1].chunk(2)
        return nt_xent(first, second, self.recipe.temperature, all_gather, self.fabric.global_rank, tracks)

    def _supervised(self, rows: Tensor, labels: Tensor, scale: Tensor | None) -> Tensor:
        return supervised_loss(self.model.parts(rows)[1], labels, scale)

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
        return rate

    def any_of(self, flag: bool) -> bool:
        """Say whether any process's flag is set."""
        return bool(self._mean(torch.tensor(float(flag), device=self.fabric.device)) > 0)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of model and optimiser."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def bytes(self) -> int:
        """Return the size of a checkpoint: weights and the two moments of Adam."""
        return 3 * sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


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
    with Interrupt().watched() as interrupt, report.stage("training", recipe.steps, "steps") as advance:
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
        raise problem or RuntimeError("the first process could not write the checkpoint")
