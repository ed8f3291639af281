"""Scores that cannot be told apart are taken in a fixed order."""

import math

import numpy as np
import pytest

from probes.search.ties import first_within, rounded, tolerance


@pytest.mark.parametrize("items", [1, 3, 7, 60, 120, 236, 899])
def test_one_item_is_within_the_tolerance_and_two_are_not(items):
    for right in range(items):
        one, two = (right + 1) / items - right / items, (right + 2) / items - right / items
        assert one < tolerance(items) < two


@pytest.mark.parametrize("items", [20, 60, 120, 236])
def test_no_step_of_the_key_score_ends_at_the_tolerance(items):
    tenths = np.arange(40) / 10 / items
    assert np.abs(tenths - tolerance(items)).min() > 0.04 / items


def test_of_many_items_it_is_a_tenth_of_the_largest_standard_error():
    assert tolerance(10_000) == pytest.approx(0.1 * 0.5 / 100)
    assert tolerance(960) == 1.55 / 960


def test_without_items_there_is_no_tolerance():
    with pytest.raises(ValueError, match="at least one item"):
        tolerance(0)


@pytest.mark.parametrize(
    ("scores", "margin", "index"),
    [
        ([0.5, 0.51, 0.52], 0.02, 0),
        ([0.5, 0.51, 0.53], 0.02, 1),
        ([0.5, 0.53, 0.51], 0.0, 1),
        ([0.5, 0.5], 0.0, 0),
        ([-math.inf, 0.1], 5.0, 1),
        ([-3.0, -3.1], 0.2, 0),
    ],
)
def test_the_first_of_those_within_the_margin_is_taken(scores, margin, index):
    assert first_within(scores, margin) == index


def test_nothing_to_choose_from():
    with pytest.raises(ValueError, match="nothing to choose"):
        first_within([], 0.1)


def test_rounding_differences_fall_away_on_the_grid_and_infinities_stay():
    step = tolerance(120)
    rng = np.random.default_rng(0)
    scores = np.round(rng.uniform(0.3, 0.9, 200) / step) * step
    for score, noise in zip(scores, rng.uniform(-1e-6, 1e-6, 200), strict=True):
        assert rounded(score + noise, step) == rounded(score, step)
    assert rounded(-math.inf, step) == -math.inf
