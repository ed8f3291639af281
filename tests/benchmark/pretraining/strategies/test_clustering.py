"""Clustering by prototypes: known values of its loss, its centre and its temperatures."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark.pretraining.strategies.clustering import (
    Prototypes,
    assignments,
    clustering_loss,
    entropy,
    moved,
    temperature_at,
)


def logits(seed: int, count: int = 10) -> torch.Tensor:
    return torch.randn(8, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("prototypes", "expected"), [(10, 2.302585), (4096, 8.317766)])
def test_of_zeros_it_is_the_logarithm_of_the_prototypes(prototypes: int, expected: float) -> None:
    zeros = torch.zeros(8, prototypes, dtype=torch.float64)
    shares = assignments(zeros, torch.zeros(prototypes, dtype=torch.float64), 0.04)
    found = float(clustering_loss((zeros, zeros), (shares, shares), 0.1))
    assert found == pytest.approx(math.log(prototypes), abs=1e-8)
    assert found == pytest.approx(expected, abs=1e-6)
    assert float(entropy(shares)) == pytest.approx(math.log(prototypes), abs=1e-8)


def test_it_is_at_least_the_teachers_entropy_and_equal_where_both_agree() -> None:
    one, other = logits(0), logits(1)
    centre = logits(2)[0]
    shares = assignments(one, centre, 0.04), assignments(other, centre, 0.04)
    least = (float(entropy(shares[0])) + float(entropy(shares[1]))) / 2
    assert float(clustering_loss((one, other), shares, 0.1)) > least
    agreeing = (shares[1].log() * 0.1 + 3, shares[0].log() * 0.1)
    assert float(clustering_loss(agreeing, shares, 0.1)) == pytest.approx(least, abs=1e-8)


def test_each_view_guesses_the_shares_of_the_other() -> None:
    one, other = logits(0), logits(1)
    shares = assignments(one, torch.zeros(10), 0.04), assignments(other, torch.zeros(10), 0.04)
    expected = 0.0
    for guess, share in ((one, shares[1]), (other, shares[0])):
        expected += float(torch.nn.functional.cross_entropy(guess / 0.1, share)) / 2
    assert float(clustering_loss((one, other), shares, 0.1)) == pytest.approx(expected, abs=1e-10)


def test_a_constant_on_all_logits_of_a_row_changes_nothing() -> None:
    one, other, shift = logits(0), logits(1), logits(3)[:, :1]
    centre = torch.zeros(10, dtype=torch.float64)
    shares = assignments(one, centre, 0.04), assignments(other, centre, 0.04)
    torch.testing.assert_close(assignments(one + shift, centre, 0.04), shares[0])
    assert float(clustering_loss((one + shift, other), shares, 0.1)) == pytest.approx(
        float(clustering_loss((one, other), shares, 0.1)), abs=1e-10
    )


def test_the_teacher_has_no_gradient() -> None:
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    shares = assignments(teacher, torch.zeros(10), 0.04)
    clustering_loss((student, student), (shares, shares), 0.1).backward()
    assert teacher.grad is None
    torch.testing.assert_close(student.grad.sum(1), torch.zeros(8, dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_centre_moves_towards_the_mean_logits() -> None:
    mean = logits(0).mean(0)
    first = moved(torch.zeros(10, dtype=torch.float64), mean, 0.9)
    torch.testing.assert_close(first, 0.1 * mean)
    torch.testing.assert_close(moved(first, mean, 0.9), 0.19 * mean)
    assert torch.equal(moved(first, mean, 1.0), first)
    assert torch.equal(moved(first, mean, 0.0), mean)


def test_collapses_have_the_entropies_by_which_they_are_seen() -> None:
    single = torch.zeros(8, 10, dtype=torch.float64)
    single[:, 3] = 100
    assert float(entropy(assignments(single, torch.zeros(10), 0.04))) == pytest.approx(0, abs=1e-8)
    centred = assignments(single, single[0], 0.04)  # what the centre is for
    assert float(entropy(centred)) == pytest.approx(math.log(10), abs=1e-8)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.02), (5, 0.03), (10, 0.04), (11, 0.04)])
def test_the_published_temperatures(step: int, expected: float) -> None:
    assert temperature_at(step, 10, 0.02, 0.04) == pytest.approx(expected, abs=1e-12)


def test_without_steps_the_temperature_is_the_last() -> None:
    assert temperature_at(0, 0, 0.02, 0.04) == 0.04


def test_prototypes_give_cosines() -> None:
    torch.manual_seed(0)
    layer = Prototypes(6, 4).double()
    rows = torch.randn(5, 6, dtype=torch.float64)
    found = layer(rows)
    expected = torch.nn.functional.cosine_similarity(rows[:, None], layer.weight[None], dim=2)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        layer.weight *= 3
    torch.testing.assert_close(layer(rows * 7), found)


def test_half_precision_is_computed_in_float32() -> None:
    one = logits(0).bfloat16()
    shares = assignments(one, torch.zeros(10), 0.04)
    assert shares.dtype == torch.float32
    assert clustering_loss((one, one), (shares, shares), 0.1).dtype == torch.float32
