"""What the watch sees in embeddings, losses and gradients, and when it stops a run."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark.pretraining.training.collapse import Spread, TrainingStopped, Watch, spread


def test_rows_in_all_directions_have_deviation_one_and_full_rank() -> None:
    torch.manual_seed(0)
    found = spread(torch.randn(512, 16))
    assert found.deviation == pytest.approx(1.0, abs=0.05)
    assert found.rank == pytest.approx(16, rel=0.02)


def test_rows_that_are_the_same_have_none() -> None:
    found = spread(torch.ones(20, 8))
    assert found.deviation < 1e-6


@pytest.mark.parametrize("rows", [10, 100])
def test_rows_on_a_line_have_rank_one(rows: int) -> None:
    torch.manual_seed(0)
    line = torch.ones(rows, 32) + torch.linspace(-1, 1, rows)[:, None] * torch.nn.functional.one_hot(
        torch.tensor(3), 32
    )
    assert spread(torch.nn.functional.normalize(torch.randn(rows, 1)) * torch.ones(1, 32)).rank == pytest.approx(
        1, 1e-3
    )
    assert spread(line).rank < 2


def test_length_does_not_count() -> None:
    torch.manual_seed(0)
    rows = torch.randn(40, 8)
    scaled = rows * torch.rand(40, 1).add(0.1)
    assert spread(scaled).deviation == pytest.approx(spread(rows).deviation, rel=1e-5)


def test_rows_that_are_not_finite() -> None:
    assert math.isnan(spread(torch.full((4, 3), math.nan)).deviation)


@pytest.mark.parametrize(
    ("loss", "gradient", "message"),
    [
        (math.nan, 1.0, "the loss of step 7 is nan"),
        (math.inf, 1.0, "the loss of step 7 is inf"),
        (1.0, math.nan, "gradient of step 7 is nan"),
        (1.0, 1e7, "gradient of step 7 is 1e"),
    ],
)
def test_what_is_not_finite_stops_at_once(loss: float, gradient: float, message: str) -> None:
    with pytest.raises(TrainingStopped, match=message):
        Watch().see_step(7, loss, gradient)


def test_a_loss_that_grows_stops_after_its_patience() -> None:
    watch = Watch(patience=3)
    watch.see_step(0, 1.0, 1.0)
    watch.see_step(1, 11.0, 1.0)
    watch.see_step(2, 11.0, 1.0)
    watch.see_step(3, 2.0, 1.0)  # it came back: the count begins again
    watch.see_step(4, 11.0, 1.0)
    watch.see_step(5, 11.0, 1.0)
    with pytest.raises(TrainingStopped, match="grown to 11, 3 looks in a row up to step 6"):
        watch.see_step(6, 11.0, 1.0)


@pytest.mark.parametrize(
    ("found", "message"), [(Spread(1e-5, 9.0), "all embeddings are the same"), (Spread(0.5, 1.0), "one direction only")]
)
def test_collapse_stops_after_its_patience(found: Spread, message: str) -> None:
    watch = Watch(patience=2)
    watch.see_spread(10, found)
    with pytest.raises(TrainingStopped, match=message):
        watch.see_spread(20, found)


def test_a_spread_that_is_sound_never_stops() -> None:
    watch = Watch(patience=1)
    for step in range(20):
        watch.see_spread(step, Spread(0.4, 12.0))
