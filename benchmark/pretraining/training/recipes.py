"""Recipes: every number of a pre-training, from a TOML file and ``key=value`` texts, checked before anything is run.

Those of the papers, and others for small machines, lie in ``recipes/``; a user's own is named by its path. Its
``objective`` names the strategy, which says what other keys there are. What a run used is written to
``RUN/recipe.toml``, which is a recipe again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pydantic import ValidationError

from benchmark.encoders.options import convert
from benchmark.errors import UserError
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.table import STRATEGIES, strategy_class
from tasks.errors import TaskError
from tasks.files import SETTINGS, expanded, parse_toml, read_text, toml_value
from tasks.spelling import did_you_mean

#: What may be changed when a run is resumed: nothing that decides the weights.
FREE_TO_CHANGE = frozenset({"title", "log_every", "checkpoint_every", "keep_every", "licence"})
#: Options of the command line that are no keys of a recipe.
OPTIONS = ("data", "device", "home", "init", "log", "out", "probe_every", "probe_task", "probe_trials", "data_root")


def names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("benchmark.pretraining") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


@dataclass(frozen=True)
class Summary:
    """What a listing says of a recipe, without its strategy being imported."""

    name: str
    title: str
    objective: str
    batch: int
    steps: int


def summaries() -> list[Summary]:
    """Return what the recipes that come with the package are."""
    found = []
    for name in names():
        given = _read(name)
        found.append(Summary(name, given["title"], given["objective"], given["batch"], given["steps"]))
    return found


def load(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name or path, with ``key=value`` texts in place of what it says.

    Raises:
        UserError: No such recipe, a file that is none, an unknown key or objective, or a value that does not fit.
    """
    given = _read(recipe)
    texts = dict(_split(text) for text in overrides)
    objective = texts.pop("objective", given.get("objective"))
    if not isinstance(objective, str):
        raise UserError(f"the recipe {recipe!r}: objective: Field required", f"name one of {', '.join(STRATEGIES)}")
    kind = strategy_class(objective).recipe_class
    _refuse_unknown((key for key in given if key not in kind.without_effect), recipe, kind)
    _refuse_unknown(texts, "the command line", kind)
    given["objective"] = objective
    for key, value in texts.items():
        given[key] = convert(value, kind.model_fields[key].annotation, f"{key} of the recipe")
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"the recipe {recipe!r}: {f'{where}: ' if where else ''}{problem}",
            f"mend it there, or give {where or 'another value'} on the command line",
        ) from None


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of its strategy's class that ``values`` say, a TOML file's or a checkpoint's.

    Raises:
        UserError: There is no such objective.
        pydantic.ValidationError: A key or value does not fit.
    """
    return strategy_class(str(values.get("objective"))).recipe_class(**values)


def from_json(text: str) -> Recipe:
    """Return the recipe that a checkpoint or a card holds as JSON."""
    return recipe_of(json.loads(text))


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r} is not KEY=VALUE", "write it such as steps=500")
    return key, value


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


def _refuse_unknown(keys: Iterable[str], where: str, kind: type[Recipe]) -> None:
    for key in keys:
        if key in OPTIONS:
            raise UserError(
                f"{where}: {key} is no key of a recipe but an option", f"write --{key.replace('_', '-')} VALUE"
            )
        if key not in kind.model_fields:
            hint = did_you_mean(key, kind.model_fields, "choose another.")
            objective = kind.model_fields["objective"].default
            raise UserError(
                f"{where}: a recipe of the objective {objective!r} has no key {key!r}",
                f"{hint} Its keys are {', '.join(kind.model_fields)}",
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
