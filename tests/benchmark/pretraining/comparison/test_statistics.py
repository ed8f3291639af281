"""Statistics over pre-training seeds and test items, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.pretraining.comparison.statistics import (
    over_probes,
    resample_weights,
    resampled,
    spread,
    with_seeds,
)
from probes.statistics.intervals import blocks_of

TARGETS = np.array([1.0, 0.0, 1.0, 1.0])


def accuracy(outputs: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The share of rows whose only output is the target."""
    right = (outputs[:, 0] == TARGETS).astype(float)
    return np.asarray(right.mean()) if weights is None else weights @ right / weights.sum(axis=1)


def outputs(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


#: Two networks of two probes: 3 and 1 of 4 right, mean .5; 4 and 2 of 4 right, mean .75.
FIRST = (outputs(1, 0, 1, 0), outputs(0, 1, 1, 0))
SECOND = (outputs(1, 0, 1, 1), outputs(1, 0, 0, 0))


def test_a_network_scores_the_mean_of_its_probes() -> None:
    found = over_probes(accuracy, [FIRST, SECOND], blocks_of(4, None, seed=0))
    assert found.values.tolist() == [0.5, 0.75]
    # Without the first item: 2/3 and 1/3; 3/3 and 1/3.
    assert found.without[:, 0] == pytest.approx([0.5, 2 / 3])
    # Without the last: 3/3 and 1/3; 3/3 and 2/3.
    assert found.without[:, 3] == pytest.approx([2 / 3, 5 / 6])
    assert found.without.shape == (2, 4)


def test_resamples_draw_as_many_items_as_there_are_and_groups_whole() -> None:
    alone = resample_weights(50, None, 300, seed=3)
    assert alone.shape == (300, 50)
    assert (alone.sum(axis=1) == 50).all()
    assert abs(float((alone == 0).mean()) - (1 - 1 / 50) ** 50) < 0.01  # the share that is not drawn
    groups = ["a", "a", "b", "c", "c", "c"]
    grouped = resample_weights(6, groups, 200, seed=3)
    assert (grouped[:, 0] == grouped[:, 1]).all()
    assert (grouped[:, 3] == grouped[:, 5]).all()
    assert (grouped[:, [0, 2, 3]].sum(axis=1) == 3).all(), "as many groups as there are"
    assert (resample_weights(50, None, 300, seed=3) == alone).all()
    assert (resample_weights(50, None, 300, seed=4) != alone).any()


def test_resampled_scores_are_of_each_network_on_the_same_items() -> None:
    weights = np.array([[1, 1, 1, 1], [4, 0, 0, 0], [0, 0, 2, 2]], np.uint16)
    found = resampled(accuracy, [FIRST, SECOND], weights)
    assert found.tolist() == [[0.5, 0.75], [0.5, 1.0], [0.5, 0.5]]


def test_resamples_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = resample_weights(4, None, 20, seed=0)
    whole = resampled(accuracy, [FIRST, SECOND], weights)
    monkeypatch.setattr("benchmark.pretraining.comparison.statistics.TOGETHER", 12)
    assert (resampled(accuracy, [FIRST, SECOND], weights) == whole).all()


def test_seeds_are_drawn_outside_of_items() -> None:
    """Of networks that differ in nothing but their level, the spread is that of a mean of two draws of two."""
    scores = np.tile([0.0, 1.0], (4000, 1))
    drawn = with_seeds(scores, seed=0)
    assert set(drawn.tolist()) == {0.0, 0.5, 1.0}
    assert abs(float((drawn == 0.5).mean()) - 0.5) < 0.03
    assert with_seeds(np.array([[0.3], [0.4]]), seed=1).tolist() == [0.3, 0.4], "one network is always drawn"


def test_all_networks_of_a_resample_are_scored_on_its_items() -> None:
    """What items do to all networks alike stays: drawing items anew for each would halve its variance."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=4000)
    drawn = with_seeds(np.stack([common, common], axis=1), seed=0)
    assert drawn == pytest.approx(common)


def test_undefined_resamples_are_left_out_and_counted() -> None:
    found = spread(np.array([0.25, np.nan, 0.75]))
    assert found is not None
    assert (found.mean, found.defined) == (0.5, 2)
    assert (found.low, found.high) == pytest.approx((0.2625, 0.7375))
    assert spread(np.array([np.nan, np.nan])) is None


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        resample_weights(0, None, 10, seed=0)
