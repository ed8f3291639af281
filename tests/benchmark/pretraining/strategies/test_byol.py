"""BYOL's loss: its known values."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from benchmark.pretraining.strategies.byol import byol_loss, distance


def rows(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_known_values_of_one_direction() -> None:
    z = rows()
    assert float(distance(z, z)) == pytest.approx(0, abs=1e-8)
    assert float(distance(z, -z)) == pytest.approx(4, abs=1e-8)
    basis = torch.eye(4, dtype=torch.float64)
    assert float(distance(basis, basis.roll(1, 0))) == pytest.approx(2, abs=1e-8)
    assert float(distance(z, torch.full_like(z, 3)[:1].expand(8, 16))) < 4


def test_it_is_the_squared_distance_of_unit_rows() -> None:
    """Summed over features and not over the batch: that form has 2 - 2 N / D of identical rows."""
    p, t = rows(1), rows(2)
    unit = functional.normalize(p, dim=1) - functional.normalize(t, dim=1)
    assert float(distance(p, t)) == pytest.approx(float(unit.square().sum(1).mean()), abs=1e-12)


def test_it_ignores_lengths() -> None:
    p, t, scale = rows(1), rows(2), torch.rand(8, 1, dtype=torch.float64) + 0.1
    assert float(distance(p * scale, t * 7)) == pytest.approx(float(distance(p, t)), abs=1e-12)


def test_both_directions_are_added() -> None:
    p, q, t, u = (rows(seed) for seed in range(4))
    expected = distance(p, u) + distance(q, t)
    assert float(byol_loss((p, q), (t, u))) == pytest.approx(float(expected), abs=1e-12)
    assert float(byol_loss((p, -p), (p, -p))) == pytest.approx(8, abs=1e-8)
    assert float(byol_loss((p, -p), (-p, p))) == pytest.approx(0, abs=1e-8)


def test_targets_have_no_gradient() -> None:
    p, t = rows(1).requires_grad_(), rows(2).requires_grad_()
    byol_loss((p, p), (t, t)).backward()
    assert t.grad is None
    assert p.grad.abs().max() > 0
    torch.testing.assert_close((p.grad * p.detach()).sum(1), torch.zeros(8, dtype=torch.float64), atol=1e-12, rtol=0)


def test_a_collapsed_batch_has_a_loss_of_0_which_says_nothing() -> None:
    """Why the watch looks at the embeddings."""
    same = torch.ones(8, 16, dtype=torch.float64)
    assert float(byol_loss((same, same), (same, same))) == pytest.approx(0, abs=1e-8)


def test_half_precision_is_computed_in_float32() -> None:
    p, t = rows(1).bfloat16(), rows(2).bfloat16()
    found = distance(p, t)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(distance(p.float(), t.float())), abs=1e-6)
