"""Recipes: the published numbers, overrides, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.pretraining.training.recipes import as_toml, differences, load, names, recipe_of, summaries

PAPER = {
    "musicset-sup": {"objective": "supervised", "batch": 512, "labels": 500},
    "audioset-sup": {"objective": "supervised", "batch": 512, "labels": 527},
    "musicset-ularge": {"objective": "simclr", "batch": 1920, "pairs": "within", "pair_seconds": 5.0},
    "musicset-usmall": {"objective": "simclr", "batch": 256, "pairs": "clip", "pair_seconds": 10.0},
    "audioset-ularge": {"objective": "simclr", "batch": 1920, "pairs": "clip", "pair_seconds": 10.0},
    "audioset-usmall": {"objective": "simclr", "batch": 256, "pairs": "clip", "pair_seconds": 10.0},
}
SHARED = {
    "network": "sf-nfnet-f0", "frames": 300, "steps": 200_000, "warmup_steps": 5_000, "peak_learning_rate": 2e-4,
    "projector_width": 4096, "projector_layers": 3, "mixup": True,
    "mixup_alpha": 5.0, "mixup_beta": 2.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_eps": 1e-7, "clip_norm": None,
}  # fmt: skip

SIMCLR = {"projection": 1024, "temperature": 0.1, "same_track": "negatives"}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_have_its_numbers(name: str) -> None:
    found = load(name).model_dump()
    expected = {**SHARED, **PAPER[name], **({} if "pairs" not in PAPER[name] else SIMCLR)}
    for key, value in expected.items():
        assert found[key] == value, key


def test_the_papers_recipes_and_the_small_ones_are_there() -> None:
    assert {*PAPER, "tiny-simclr", "tiny-sup"} <= set(names())
    assert {load(name).network for name in ("tiny-simclr", "tiny-sup")} == {"sf-nfnet-tiny"}


def test_overrides_are_typed() -> None:
    found = load("tiny-simclr", ["steps=600", "peak_learning_rate=1e-3", "mixup=on", "chunk=8", "pairs=clip"])
    assert (found.steps, found.peak_learning_rate, found.mixup, found.chunk) == (600, 1e-3, True, 8)
    assert load("tiny-simclr", ["clip_norm=none"]).clip_norm is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("setps=5", "no key 'setps': did you mean 'steps'"),
        ("steps", "not KEY=VALUE"),
        ("steps=4.5", "steps of the recipe is '4.5': give a whole number"),
        ("mixup=perhaps", "give true or false"),
        ("objective=byoll", "there is no objective 'byoll'"),
        ("batch=1", "batch: Input should be greater"),
        ("steps=10", "warmup_steps is 75: it must be less than steps, 10"),
        ("adam_beta1=1.5", "adam_beta1"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load("tiny-simclr", [text])


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(UserError, match="did you mean 'tiny-simclr'"):
        load("tiny-simlcr")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('objective = "simclr"\nbatch = 8\nsteps = 10\nwarmup_steps = 1\n', encoding="utf-8")
    assert load(str(file)).batch == 8
    file.write_text('objective = "simclr"\nbatch = 8\nsteps = 10\nwarm_up = 1\n', encoding="utf-8")
    with pytest.raises(UserError, match="no key 'warm_up': did you mean 'warmup_steps'"):
        load(str(file))
    file.write_text("objective = \n", encoding="utf-8")
    with pytest.raises(UserError, match="no TOML"):
        load(str(file))
    file.write_text("batch = 8\n", encoding="utf-8")
    with pytest.raises(UserError, match="objective: Field required"):
        load(str(file))


@pytest.mark.parametrize("name", ["tiny-simclr", "audioset-sup"])
def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path, name: str) -> None:
    recipe = load(name, ['licence=CC BY 4.0 "mine" 🎵\x7f', "seed=7"])
    (tmp_path / "recipe.toml").write_text(as_toml(recipe), encoding="utf-8")
    assert load(str(tmp_path / "recipe.toml")) == recipe


def test_keys_of_another_objective_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a recipe of the objective 'supervised' has no key 'temperature'"):
        load("tiny-sup", ["temperature=0.2"])
    older = as_toml(load("tiny-sup")) + 'temperature = 0.1\npairs = "within"\n'  # what older versions wrote
    (tmp_path / "older.toml").write_text(older, encoding="utf-8")
    assert load(str(tmp_path / "older.toml")) == load("tiny-sup")


def test_a_listing_says_what_a_recipe_says() -> None:
    for found in summaries():
        recipe = load(found.name)
        said = (found.title, found.objective, found.batch, found.steps)
        assert said == (recipe.title, recipe.objective, recipe.batch, recipe.steps)


def test_what_a_resumed_run_may_change() -> None:
    before = recipe_of({"objective": "simclr", "batch": 8, "steps": 10, "warmup_steps": 1})
    assert differences(before, before.model_copy(update={"log_every": 1, "licence": "CC0"})) == []
    assert differences(before, before.model_copy(update={"steps": 9, "seed": 1})) == [
        "steps: 10 -> 9",
        "seed: 0 -> 1",
    ]
    assert differences(before, before.model_copy(update={"steps": 20})) == []  # a run may become longer
