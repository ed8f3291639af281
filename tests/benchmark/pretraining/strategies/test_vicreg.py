"""The loss of VICReg: its known values."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import hadamard
from torch import Tensor

from benchmark.pretraining.strategies.vicreg import vicreg_terms

HADAMARD = torch.from_numpy(hadamard(8)[:, 1:]).double()


def terms(first: Tensor, second: Tensor) -> tuple[float, float, float]:
    found = vicreg_terms(first, second)
    return float(found.invariance), float(found.variance), float(found.covariance)


def test_known_values() -> None:
    assert terms(HADAMARD, HADAMARD) == pytest.approx((0, 0, 0), abs=1e-8)
    assert terms(HADAMARD, -HADAMARD) == pytest.approx((4, 0, 0), abs=1e-8)
    assert float(vicreg_terms(HADAMARD, -HADAMARD).weighted()) == pytest.approx(100, abs=1e-8)
    constant = torch.full((8, 7), 2.0, dtype=torch.float64)
    assert terms(constant, constant) == pytest.approx((0, 0.99, 0), abs=1e-8)
    assert float(vicreg_terms(constant, constant).weighted()) == pytest.approx(24.75, abs=1e-8)
    same = HADAMARD[:, :1].expand(8, 7)
    assert terms(same, same) == pytest.approx((0, 0, 2 * 6 * (8 / 7) ** 2), abs=1e-8)
    assert terms(same, same)[2] == pytest.approx(15.673469, abs=1e-6)


def test_the_weights() -> None:
    first, second = torch.randn(2, 16, 5, dtype=torch.float64) * 0.3
    found = vicreg_terms(first, second)
    assert float(found.weighted(2, 3, 5)) == pytest.approx(
        2 * float(found.invariance) + 3 * float(found.variance) + 5 * float(found.covariance), abs=1e-12
    )


def test_the_variance_is_the_mean_of_both_views() -> None:
    still, moving = torch.zeros(8, 7, dtype=torch.float64), HADAMARD * 3
    assert terms(still, moving)[1] == pytest.approx(0.99 / 2, abs=1e-8)


def test_it_takes_covariances_and_not_correlations() -> None:
    first = torch.randn(16, 5, dtype=torch.float64)
    assert terms(first * 2, first * 2)[2] == pytest.approx(16 * terms(first, first)[2], rel=1e-12)
    expected = torch.cov(first.T)
    expected = expected - torch.diag(expected.diagonal())
    assert terms(first, first)[2] == pytest.approx(2 * float(expected.square().sum()) / 5, rel=1e-12)


def test_shifts_of_the_whole_batch_change_nothing() -> None:
    first, second = torch.randn(2, 16, 5, dtype=torch.float64)
    assert terms(first + 3, second + 3) == pytest.approx(terms(first, second), abs=1e-10)


def test_of_a_constant_batch_nothing_is_nan() -> None:
    rows = torch.ones(8, 7, requires_grad=True)
    vicreg_terms(rows, rows).weighted().backward()
    assert torch.isfinite(rows.grad).all()


def test_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="two pairs at least: give a larger batch"):
        vicreg_terms(torch.randn(1, 4), torch.randn(1, 4))


def test_half_precision_is_computed_in_float32() -> None:
    first, second = torch.randn(2, 16, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = vicreg_terms(first, second)
    assert {term.dtype for term in found} == {torch.float32}
    assert [float(term) for term in found] == pytest.approx(terms(first.double(), second.double()), rel=1e-4)
