"""The table of strategies, and what every strategy keeps to: names, views, chunks, seeds."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.errors import UserError
from benchmark.pretraining.networks.files import weights_digest
from benchmark.pretraining.strategies.contract import Data, make_strategy
from benchmark.pretraining.strategies.table import STRATEGIES, strategy_class
from benchmark.pretraining.training import recipes

#: A recipe of each, which is small.
TINY = {recipes.load(name).objective: name for name in recipes.names() if name.startswith("tiny-")}
DATA = Data(labels=3, captions=tuple(f"song number {i} of many words that differ w{i}" for i in range(40)))


def test_every_strategy_has_a_tiny_recipe() -> None:
    assert TINY.keys() == STRATEGIES.keys()


@pytest.mark.parametrize("name", STRATEGIES)
def test_its_recipe_names_it(name: str) -> None:
    kind = strategy_class(name).recipe_class
    assert kind.model_fields["objective"].default == name
    assert type(recipes.load(TINY[name])) is kind


@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_are_drawn_from_the_recipes_seed_alone(name: str) -> None:
    def drawn(seed: int) -> tuple[str, Any]:
        recipe = recipes.load(TINY[name], [f"seed={seed}"])
        before = torch.get_rng_state()
        strategy = make_strategy(strategy_class(name), recipe, DATA)
        assert torch.equal(torch.get_rng_state(), before)
        return weights_digest(strategy.model, "model"), strategy

    first, strategy = drawn(0)
    torch.rand(5)
    assert drawn(0)[0] == first
    assert drawn(1)[0] != first
    assert strategy.model.network is not None


@pytest.mark.parametrize("name", STRATEGIES)
def test_chunks_are_taken_or_refused(name: str) -> None:
    recipe = recipes.load(TINY[name], ["chunk=3"])
    if strategy_class(name).chunkable:
        make_strategy(strategy_class(name), recipe, DATA)
    else:
        with pytest.raises(UserError, match="cannot take a step in chunks"):
            make_strategy(strategy_class(name), recipe, DATA)


def test_a_strategy_that_is_not_there() -> None:
    with pytest.raises(UserError, match="no objective 'simcrl': did you mean 'simclr'"):
        strategy_class("simcrl")
