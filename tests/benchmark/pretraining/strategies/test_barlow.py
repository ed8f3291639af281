"""The loss of Barlow Twins: its known values."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import hadamard
from torch import Tensor

from benchmark.pretraining.strategies.barlow import barlow_loss, cross_correlation

#: Seven features of eight rows, of mean 0 and variance 1, uncorrelated.
HADAMARD = torch.from_numpy(hadamard(8)[:, 1:]).double()


def loss(first: Tensor, second: Tensor, off_diagonal: float = 5e-3) -> float:
    return float(barlow_loss(first, second, off_diagonal)[0])


def test_known_values() -> None:
    assert loss(HADAMARD, HADAMARD) == pytest.approx(0, abs=1e-8)
    assert loss(HADAMARD, -HADAMARD) == pytest.approx(28, abs=1e-8)
    same = HADAMARD[:, :1].expand(8, 7)
    assert loss(same, same) == pytest.approx(0.21, abs=1e-8)
    assert loss(HADAMARD, HADAMARD.roll(1, 1)) == pytest.approx(7.035, abs=1e-8)


def test_the_sums_are_no_means() -> None:
    """The public form of the paper has means, which is a weight of 1 / (D - 1) in this one."""
    first, second = torch.randn(2, 16, 5, dtype=torch.float64)
    correlations = cross_correlation(first, second)
    on = ((1 - correlations.diagonal()) ** 2).mean()
    off = correlations[~torch.eye(5, dtype=torch.bool)].square().mean()
    assert loss(first, second, 1 / 4) == pytest.approx(float(5 * (on + off)), abs=1e-12)


def test_correlations_are_those_of_numpy() -> None:
    first, second = torch.randn(2, 16, 5, dtype=torch.float64)
    expected = torch.from_numpy(__import__("numpy").corrcoef(first.T, second.T)[:5, 5:])
    torch.testing.assert_close(cross_correlation(first, second), expected, rtol=0, atol=1e-12)


def test_positive_scales_and_shifts_of_features_change_nothing() -> None:
    first, second = torch.randn(2, 16, 5, dtype=torch.float64)
    scale, shift = torch.rand(2, 5, dtype=torch.float64) + 0.1
    assert loss(first * scale + shift, second * 3 - shift) == pytest.approx(loss(first, second), abs=1e-10)


def test_of_constant_features_nothing_is_nan() -> None:
    rows = torch.ones(8, 7, dtype=torch.float64, requires_grad=True)
    found = barlow_loss(rows, rows)[0]
    found.backward()
    assert float(found.detach()) == pytest.approx(7, abs=1e-8)
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="two pairs at least: give a larger batch"):
        barlow_loss(torch.randn(1, 4), torch.randn(1, 4))


def test_half_precision_is_computed_in_float32() -> None:
    first, second = torch.randn(2, 16, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found, correlations = barlow_loss(first, second)
    assert (found.dtype, correlations.dtype) == (torch.float32, torch.float32)
    assert float(found) == pytest.approx(loss(first.double(), second.double()), rel=1e-5)
