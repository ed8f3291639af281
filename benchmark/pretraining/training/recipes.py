"""Recipes: every number of a pre-training, from a TOML file and ``key=value`` texts, checked before anything is run.

The paper's six and two for small machines lie in ``recipes/``; a user's own is named by its path. What a run used is
written to ``RUN/recipe.toml``, which is a recipe again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmark.encoders.options import convert
from benchmark.errors import UserError
from tasks.errors import TaskError
from tasks.files import SETTINGS, expanded, parse_toml, read_text, toml_value
from tasks.spelling import did_you_mean

#: What may be changed when a run is resumed: nothing that decides the weights.
FREE_TO_CHANGE = frozenset({"title", "log_every", "checkpoint_every", "keep_every", "licence"})
#: Options of the command line that are no keys of a recipe.
OPTIONS = ("data", "device", "home", "init", "log", "out", "probe_every", "probe_task", "probe_trials", "data_root")


class Recipe(BaseModel):
    """One pre-training. The comments in ``recipes/*.toml`` say which numbers are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: In a line, what it is.
    title: str = ""
    objective: Literal["supervised", "simclr"]
    network: Literal["sf-nfnet-f0", "sf-nfnet-tiny"] = "sf-nfnet-f0"
    #: Frames of a crop, of 10 ms.
    frames: int = Field(300, ge=16)
    #: Examples (supervised) or pairs (simclr) of a step, over all processes.
    batch: int = Field(ge=2)
    #: Optimiser steps, warm-up included.
    steps: int = Field(ge=1)
    warmup_steps: int = Field(5_000, ge=0)
    peak_learning_rate: float = Field(2e-4, gt=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_eps: float = Field(1e-7, gt=0)
    #: Largest norm of the gradient; none leaves it as it is.
    clip_norm: float | None = Field(None, gt=0)
    #: Stochastic depth: what the last block approaches.
    drop_rate: float = Field(0.1, ge=0, lt=1)
    projector_width: int = Field(4096, ge=1)
    projector_layers: int = Field(3, ge=0)
    #: Width of SimCLR's output; a supervised one has a logit a label.
    projection: int = Field(1024, ge=2)
    #: Labels that the store must have; none takes as many as it has.
    labels: int | None = Field(None, ge=1)
    temperature: float = Field(0.1, gt=0)
    #: within: two crops whose centres are less than pair_seconds apart; clip: any two of one clip of pair_seconds.
    pairs: Literal["within", "clip"] = "within"
    pair_seconds: float = Field(5.0, gt=0)
    #: Other pairs of an anchor's own track, which a batch may hold: negatives, as in the paper, or masked.
    same_track: Literal["negatives", "masked"] = "negatives"
    mixup: bool = True
    mixup_alpha: float = Field(5.0, gt=0)
    mixup_beta: float = Field(2.0, gt=0)
    seed: int = Field(0, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    #: Crops of a process that go through the network at once: accumulated gradients (supervised), cached ones (simclr).
    chunk: int | None = Field(None, ge=1)
    checkpoint_activations: bool = False
    compile: bool = False
    #: Steps between checkpoints, between those that are kept for good, and between lines of the log.
    checkpoint_every: int = Field(1_000, ge=1)
    keep_every: int = Field(20_000, ge=1)
    log_every: int = Field(50, ge=1)
    #: Licence of the weights, as their card states it: yours to decide, the audio's terms in mind.
    licence: str = "not stated"

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps is {self.warmup_steps}: it must be less than steps, {self.steps}")
        return self


def names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("benchmark.pretraining") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name or path, with ``key=value`` texts in place of what it says.

    Raises:
        UserError: No such recipe, a file that is none, an unknown key, or a value that does not fit.
    """
    given = _read(recipe)
    known = Recipe.model_fields
    _refuse_unknown(given, recipe)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{text!r} is not KEY=VALUE", "write it such as steps=500")
        _refuse_unknown([key], "the command line")
        given[key] = convert(value, known[key].annotation, f"{key} of the recipe")
    try:
        return Recipe(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"the recipe {recipe!r}: {f'{where}: ' if where else ''}{problem}",
            f"mend it there, or give {where or 'another value'} on the command line",
        ) from None


def _read(recipe: str) -> dict[str, Any]:
    path = expanded(recipe)
    if recipe in names():
        text = (resources.files("benchmark.pretraining") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    elif path.exists() and not path.is_dir():
        try:
            text = read_text(path, SETTINGS)
        except (OSError, TaskError) as error:
            raise UserError(
                f"the recipe {recipe} cannot be read: {error.what if isinstance(error, TaskError) else error}",
                error.do if isinstance(error, TaskError) else "let it be read, or name another",
            ) from None
    else:
        hint = did_you_mean(recipe, names(), "name one of these, or the path of a TOML file.", cutoff=0.4)
        raise UserError(f"there is no recipe {recipe!r}", f"{hint} There are {', '.join(names())}")
    try:
        return parse_toml(text, path)
    except TaskError as error:
        raise UserError(f"the recipe {recipe} is no TOML: {error.what}", error.do) from None


def _refuse_unknown(keys: Iterable[str], where: str) -> None:
    for key in keys:
        if key in OPTIONS:
            raise UserError(
                f"{where}: {key} is no key of a recipe but an option", f"write --{key.replace('_', '-')} VALUE"
            )
        if key not in Recipe.model_fields:
            hint = did_you_mean(key, Recipe.model_fields, "choose another.")
            raise UserError(
                f"{where}: a recipe has no key {key!r}",
                f"{hint} Its keys are {', '.join(Recipe.model_fields)}",
            )


def as_toml(recipe: Recipe) -> str:
    """Return a recipe as a TOML file that :func:`load` reads back; what is ``None`` is left out."""
    values = recipe.model_dump()
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items() if value is not None)


def differences(before: Recipe, now: Recipe) -> list[str]:
    """Return what a resumed run may not change and does, as ``key: before -> now``; it may be longer than before."""
    old, new = before.model_dump(), now.model_dump()
    free = FREE_TO_CHANGE | ({"steps"} if now.steps > before.steps else frozenset())
    return [f"{key}: {old[key]} -> {new[key]}" for key in old if key not in free and old[key] != new[key]]
