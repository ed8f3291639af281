"""What every recipe of a pre-training has: the numbers that no strategy decides. Imports no torch.

A strategy's own keys are those of a subclass in its module.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.pretraining.networks.table import NETWORKS


class Recipe(BaseModel):
    """One pre-training. The comments in ``recipes/*.toml`` say which numbers are a paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Keys that recipes of this strategy had once, and that decided nothing.
    without_effect: ClassVar[frozenset[str]] = frozenset()

    #: In a line, what it is.
    title: str = ""
    #: The strategy: a name of :data:`benchmark.pretraining.strategies.table.STRATEGIES`.
    objective: str
    network: Literal[tuple(NETWORKS)] = "sf-nfnet-f0"  # type: ignore[valid-type]
    #: Frames of a crop, of 10 ms.
    frames: int = Field(300, ge=16)
    #: Tracks of a step, over all processes: examples, or pairs of views.
    batch: int = Field(ge=2)
    #: Optimiser steps, warm-up included.
    steps: int = Field(ge=1)
    warmup_steps: int = Field(5_000, ge=0)
    #: Behind the warm-up, to 0 at the last step.
    schedule: Literal["cosine", "linear"] = "cosine"
    peak_learning_rate: float = Field(2e-4, gt=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_eps: float = Field(1e-7, gt=0)
    #: Decoupled from the gradient (AdamW); 0 is Adam.
    weight_decay: float = Field(0.0, ge=0)
    #: Largest norm of the gradient; none leaves it as it is.
    clip_norm: float | None = Field(None, gt=0)
    #: Stochastic depth: what the last block approaches.
    drop_rate: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    #: Crops of a process that go through the network at once, where a strategy can do that exactly.
    chunk: int | None = Field(None, ge=1)
    checkpoint_activations: bool = False
    compile: bool = False
    #: Steps between checkpoints, between those that are kept for good, and between lines of the log.
    checkpoint_every: int = Field(1_000, ge=1)
    keep_every: int = Field(20_000, ge=1)
    log_every: int = Field(50, ge=1)
    #: Licence of the weights, as their card states it: yours to decide, the audio's terms in mind.
    licence: str = "not stated"

    @model_validator(mode="before")
    @classmethod
    def _without_former(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if key not in cls.without_effect}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps is {self.warmup_steps}: it must be less than steps, {self.steps}")
        return self


class MixupRecipe(Recipe):
    """A recipe whose log-mels may be mixed: McCallum et al. 2022."""

    mixup: bool = True
    mixup_alpha: float = Field(5.0, gt=0)
    mixup_beta: float = Field(2.0, gt=0)


class PairRecipe(Recipe):
    """A recipe of two views of each track, and a projector on the network."""

    #: How the two crops of a pair lie: see :class:`benchmark.pretraining.data.sampling.Pairs`.
    pairs: Literal["within", "clip", "apart"] = "within"
    pair_seconds: float = Field(5.0, gt=0)
    projector_width: int = Field(4096, ge=1)
    projector_layers: int = Field(3, ge=0)
    #: Width of the projector's output.
    projection: int = Field(1024, ge=2)
