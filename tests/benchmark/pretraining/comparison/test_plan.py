"""Plans: words, names, what differs between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.pretraining.comparison.plan import (
    Plan,
    differences,
    name_of,
    read_plan,
    read_recipes,
    split_words,
    write_plan,
)

MINE = 'objective = "simclr"\nbatch = 4\nsteps = 9\nwarmup_steps = 0\nnetwork = "sf-nfnet-tiny"\n'


def plan(**changes: Any) -> Plan:
    given = {
        "recipes": {"a": {"batch": 4, "log_every": 5}}, "seeds": 3, "budget": "steps=5", "fingerprint": "f",
        "tasks": ["x", "y"], "protocol": "paper", "trials": None, "probe_seeds": None, "curve_seeds": 1, **changes,
    }  # fmt: skip
    return Plan(**given)


def test_a_file_with_an_equals_sign_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "lr=1.toml"
    path.write_text(MINE, encoding="utf-8")
    assert split_words([str(path), "batch=8"]) == ([str(path)], ["batch=8"])
    assert list(read_recipes([str(path)])) == ["lr=1"]


def test_recipes_have_the_name_of_their_file_and_the_values_for_all(tmp_path: Path) -> None:
    path = tmp_path / "mine.v2.toml"
    path.write_text(MINE, encoding="utf-8")
    found = read_recipes(["tiny-sup", str(path), "batch=6"])
    assert {name: recipe.batch for name, recipe in found.items()} == {"tiny-sup": 6, "mine.v2": 6}
    assert name_of(str(path)) == "mine.v2"


@pytest.mark.parametrize("name", ["random", "random-sf-nfnet-tiny"])
def test_names_of_random_weights_are_taken(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(MINE, encoding="utf-8")
    with pytest.raises(UserError, match="are the networks of random weights: give the file another name"):
        read_recipes([str(path)])


def test_equal_plans_have_no_differences() -> None:
    assert differences(plan(), plan(steps={"a": 5})) == []
    assert differences(plan(), plan(tasks=["y", "x"])) == [], "the order of tasks decides nothing"
    assert differences(plan(), plan(recipes={"a": {"batch": 4, "log_every": 1}})) == [], "nor does a log"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seeds": 5}, "--seeds: 3 -> 5"),
        ({"budget": "minutes=1"}, "--budget: steps=5 -> minutes=1"),
        ({"fingerprint": "g"}, "the store: f -> g"),
        ({"tasks": ["x"]}, "--tasks: x,y -> x"),
        ({"protocol": "quick"}, "--protocol: paper -> quick"),
        ({"trials": 4}, "--trials: the default -> 4"),
        ({"probe_seeds": 2}, "--probe-seeds: the default -> 2"),
        ({"curve_seeds": 0}, "--curve-seeds: 1 -> 0"),
        ({"recipes": {"b": {"batch": 4}}}, "recipes: a -> b"),
        ({"recipes": {"a": {"batch": 8, "log_every": 5}}}, "a: batch: 4 -> 8"),
        ({"recipes": {"a": {"batch": 4, "log_every": 5, "frames": 3}}}, "a: frames: the default -> 3"),
    ],
)
def test_what_decides_a_number_differs(changes: dict[str, Any], line: str) -> None:
    assert differences(plan(), plan(**changes)) == [line]


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_plan(tmp_path / "none") is None
    assert read_plan(tmp_path) is None, "an empty folder is one to begin in"
    write_plan(tmp_path, plan(steps={"a": 4}))
    assert read_plan(tmp_path) == plan(steps={"a": 4})
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="is a file: name a folder"):
        read_plan(tmp_path / "file")
