"""What is compared, in ``comparison.json`` of the comparison's folder: a comparison goes on with its own plan only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from benchmark.errors import UserError
from benchmark.pretraining.comparison.folder import LOCK, PACE, PLAN, RANDOM
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import recipes
from benchmark.system.descriptions import read_description
from results.files import is_leftover, replace_file
from results.sections import Section
from tasks.files import expanded

#: Keys of a recipe that a comparison decides, and what does.
DECIDED = {"steps": "--budget", "seed": "--seeds"}


class Plan(Section):
    """A plan: what was asked for, and the steps that came of the budget.

    ``recipes`` has each recipe by its name with all its values; of ``steps`` and ``paces`` (steps in a second) a budget
    of minutes leaves those out that were not measured yet.
    """

    schema_version: Literal[1] = 1
    recipes: dict[str, dict[str, Any]]
    seeds: int
    budget: str
    fingerprint: str
    tasks: list[str]
    protocol: str
    trials: int | None
    probe_seeds: int | None
    curve_seeds: int
    steps: dict[str, int] = Field(default_factory=dict)
    paces: dict[str, float] = Field(default_factory=dict)


#: How the fields are given on the command line.
OPTIONS: Mapping[str, str] = {
    "seeds": "--seeds", "budget": "--budget", "fingerprint": "the store", "tasks": "--tasks", "protocol": "--protocol",
    "trials": "--trials", "probe_seeds": "--probe-seeds", "curve_seeds": "--curve-seeds",
}  # fmt: skip


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the recipes and the ``key=value`` texts among words; what is there as a file is a recipe.

    >>> split_words(["tiny-simclr", "batch=8", "tiny-sup"])
    (['tiny-simclr', 'tiny-sup'], ['batch=8'])
    """
    overrides = [word for word in words if "=" in word and not expanded(word).exists()]
    return [word for word in words if word not in overrides], overrides


def read_recipes(words: Sequence[str]) -> dict[str, Recipe]:
    """Return recipes by name, each with the ``key=value`` texts among the words.

    Raises:
        UserError: There is no such recipe, a text does not fit one of them, two have one name, or none is named.
    """
    named, overrides = split_words(words)
    if not named:
        raise UserError("no recipe is named", "name those to compare: 'bench pretrain' lists them")
    for text in overrides:
        key = text.partition("=")[0]
        if key in DECIDED:
            raise UserError(f"{text}: of a comparison {DECIDED[key]} decides it", f"give {DECIDED[key]}")
    found: dict[str, Recipe] = {}
    origins: dict[str, str] = {}
    for text in named:
        recipe = recipes.load(text, overrides)
        name = name_of(text)
        if name in found:
            same = "is named twice" if origins[name] == text else f"is also the name of {origins[name]}"
            raise UserError(
                f"{text}: the recipe {name} {same}", "name each once, a file of the same name under another"
            )
        if name == RANDOM or name.startswith(f"{RANDOM}-"):
            raise UserError(f"{text}: {RANDOM}-... are the networks of random weights", "give the file another name")
        found[name], origins[name] = recipe, text
    return found


def name_of(recipe: str) -> str:
    """Return the name of a recipe: its own, or its file's without the ending.

    >>> name_of("tiny-simclr"), name_of("my/barlow.v2.toml")
    ('tiny-simclr', 'barlow.v2')
    """
    return recipe if recipe in recipes.names() else expanded(recipe).name.removesuffix(".toml")


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of a folder; ``None`` where a comparison may begin.

    Raises:
        UserError: It is a file, holds something else, or its plan cannot be read.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError(f"--out {folder} is a file", "name a folder")
    path = folder / PLAN
    again = "restore it, or choose a new --out"
    if not path.is_file():
        others = [each.name for each in folder.iterdir() if each.name not in (LOCK, PACE) and not is_leftover(each)]
        if others:
            raise UserError(f"--out {folder} holds {sorted(others)[0]} and no comparison", "choose a new folder")
        return None
    try:
        return Plan.model_validate(read_description(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", again) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is no plan that this version reads: {where}: {first['msg']}", again) from None
    except ValueError as error:
        raise UserError(str(error), again) from None


def write_plan(folder: Path, plan: Plan) -> None:
    """Write the plan of a folder.

    Raises:
        UserError: It cannot be written.
    """
    try:
        replace_file(folder / PLAN, (plan.model_dump_json(indent=1) + "\n").encode())
    except OSError as error:
        raise UserError(
            f"--out {folder} cannot be written: {error.strerror or error}", "make room, or choose another --out"
        ) from error


def refuse_another(folder: Path, before: Plan, now: Plan) -> None:
    """See whether a folder's comparison is the one that is asked for.

    Raises:
        UserError: It is another; the message names what differs.
    """
    changed = differences(before, now)
    if changed:
        raise UserError(
            f"the comparison {folder} was begun with other arguments",
            "give what it was begun with, or a new --out",
            [f"  {line}" for line in changed],
        )


def differences(before: Plan, now: Plan) -> list[str]:
    """Return what differs between two plans, as ``what: before -> now``."""
    found = []
    for name, option in OPTIONS.items():
        old, new = getattr(before, name), getattr(now, name)
        if name == "tasks" and sorted(old) == sorted(new):
            continue
        if old != new:
            found.append(f"{option}: {_shown(old)} -> {_shown(new)}")
    gone = [name for name in before.recipes if name not in now.recipes]
    added = [name for name in now.recipes if name not in before.recipes]
    if gone or added:
        found.append(f"recipes: {_shown(list(before.recipes))} -> {_shown(list(now.recipes))}")
    for name in before.recipes:
        old, new = before.recipes[name], now.recipes.get(name)
        if new is not None:
            found += [f"{name}: {line}" for line in _changed(old, new)]
    return found


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    for key in dict.fromkeys([*old, *new]):
        if key not in recipes.FREE_TO_CHANGE and old.get(key) != new.get(key):
            yield f"{key}: {_shown(old.get(key))} -> {_shown(new.get(key))}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "the default" if value is None else str(value)
