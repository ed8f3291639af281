"""Mixup: what gains do, their distribution, and labels that are not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.pretraining.strategies.mixup import draw_mixup, mixup


def test_mixup_of_gain_one_changes_nothing_and_of_zero_gives_the_partners() -> None:
    values, partners = torch.randn(5, 3, 4), torch.tensor([4, 2, 0, 1, 3])
    assert torch.equal(mixup(values, torch.ones(5), partners), values)
    assert torch.equal(mixup(values, torch.zeros(5), partners), values[partners])


def test_features_and_labels_are_mixed_alike() -> None:
    gains, partners = draw_mixup(np.random.default_rng(0), 6)
    values = torch.randn(6, 4)
    mixed = mixup(values, gains, partners)
    for i in range(6):
        expected = gains[i] * values[i] + (1 - gains[i]) * values[partners[i]]
        torch.testing.assert_close(mixed[i], expected)
    weights = mixup(torch.eye(6), gains, partners)
    torch.testing.assert_close(weights @ values, mixed)
    torch.testing.assert_close(weights.sum(1), torch.ones(6))


def test_gains_are_of_the_published_distribution() -> None:
    gains, partners = draw_mixup(np.random.default_rng(0), 200_000)
    assert float(gains.mean()) == pytest.approx(5 / 7, abs=1e-3)
    assert float(gains.var()) == pytest.approx(0.02551, abs=3e-4)
    assert torch.equal(partners.sort().values, torch.arange(200_000))


def test_mixed_with_one_that_is_not_known_a_label_is_not_known() -> None:
    labels = torch.tensor([[1.0, float("nan"), 0.0], [float("nan"), float("nan"), 1.0]])
    mixed = mixup(labels, torch.tensor([0.5, 0.5]), torch.tensor([1, 0]))
    assert torch.isnan(mixed).tolist() == [[True, True, False], [True, True, False]]
