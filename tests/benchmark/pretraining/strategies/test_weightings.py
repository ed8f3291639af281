"""Weights of losses: known values in float64, what resumed runs remember, and that they reach the encoder."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.pretraining.strategies.weightings import (
    WEIGHTINGS,
    Dwa,
    Gradnorm,
    Weighting,
    dwa_weights,
    gradnorm_targets,
    gradnorm_update,
    hypervolume_weights,
    initial_weights,
    uncertainty_total,
)

KEYS = SimpleNamespace(dwa_steps=2, dwa_temperature=2.0, gradnorm_alpha=1.0, gradnorm_rate=0.025, hypervolume_delta=1.1)


def exact(*values: float, **given: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, **given)


def no_norms() -> Tensor:
    raise AssertionError("norms of gradients cost time")


class TestKnownValues:
    def test_initial_weights_make_every_loss_one(self):
        first = exact(0.5, 4.0, 1e3)
        torch.testing.assert_close(initial_weights(first) * first, exact(1, 1, 1), rtol=0, atol=1e-12)

    def test_uncertainty_at_zero_is_half_the_loss(self):
        assert float(uncertainty_total(exact(4.0), exact(0.0))) == pytest.approx(2.0, abs=1e-12)
        assert float(uncertainty_total(exact(4.0, 6.0), exact(0.0, 0.0))) == pytest.approx(5.0, abs=1e-12)

    def test_uncertainty_is_least_at_the_logarithm_of_the_loss(self):
        at = exact(math.log(4.0), requires_grad=True)
        total = uncertainty_total(exact(4.0), at)
        assert float(total.detach()) == pytest.approx(0.5 + 0.5 * math.log(4.0), abs=1e-8)
        assert float(total.detach()) == pytest.approx(1.193147, abs=1e-6)
        (slope,) = torch.autograd.grad(total, at)
        assert float(slope) == pytest.approx(0, abs=1e-12)
        assert float(uncertainty_total(exact(4.0), at.detach() + 0.1)) > float(total.detach())

    def test_uncertainty_may_be_negative(self):
        assert float(uncertainty_total(exact(0.01), exact(math.log(0.01)))) < 0

    def test_dwa_of_equal_ratios_is_one(self):
        found = dwa_weights(exact(1.0, 30.0, 0.2), exact(2.0, 60.0, 0.4))
        torch.testing.assert_close(found, exact(1, 1, 1), rtol=0, atol=1e-8)

    def test_dwa_sums_to_the_number_of_losses_and_favours_the_slow(self):
        found = dwa_weights(exact(1.0, 1.0), exact(2.0, 1.0))
        slow, fast = math.exp(0.5), math.exp(0.25)
        torch.testing.assert_close(found, 2 * exact(fast, slow) / (fast + slow), rtol=0, atol=1e-8)
        assert float(dwa_weights(torch.rand(5).double(), torch.rand(5).double()).sum()) == pytest.approx(5, abs=1e-8)

    def test_gradnorm_of_equal_rates_wants_equal_norms(self):
        found = gradnorm_targets(exact(1.0, 3.0), exact(0.5, 5.0), exact(1.0, 10.0), 1.5)
        torch.testing.assert_close(found, exact(2, 2), rtol=0, atol=1e-8)

    def test_gradnorm_wants_more_of_what_is_slow(self):
        found = gradnorm_targets(exact(2.0, 2.0), exact(0.5, 1.0), exact(1.0, 1.0), 1.0)
        torch.testing.assert_close(found, exact(2 * 0.5 / 0.75, 2 / 0.75), rtol=0, atol=1e-8)

    def test_gradnorm_leaves_weights_whose_norms_are_as_wanted(self):
        weights, norms = exact(1.5, 0.5), exact(1.0, 3.0)
        found = gradnorm_update(weights, norms, exact(1, 1), exact(2, 2), 1.0, 0.1)
        torch.testing.assert_close(found, weights, rtol=0, atol=1e-8)

    def test_gradnorm_leads_to_equal_norms_at_equal_rates(self):
        weights, norms = exact(1, 1, 1), exact(1.0, 4.0, 2.0)
        for step in range(4000):
            weights = gradnorm_update(weights, norms, exact(1, 1, 1), exact(1, 1, 1), 1.0, 0.02 * 0.997**step)
            assert float(weights.sum()) == pytest.approx(3, abs=1e-8)
        weighted = weights * norms
        torch.testing.assert_close(weighted, weighted.mean().expand(3), rtol=1e-3, atol=0)

    def test_no_weight_of_gradnorm_is_negative(self):
        found = gradnorm_update(exact(1, 1), exact(100.0, 1e-3), exact(1, 1), exact(1, 1), 1.0, 10.0)
        assert (found > 0).all()
        assert float(found.sum()) == pytest.approx(2, abs=1e-8)

    def test_hypervolume_is_one_over_the_room_above(self):
        room = exact(1.1 * 2 - 1, 1.1 * 2 - 2)
        expected = 2 * (1 / room) / (1 / room).sum()
        torch.testing.assert_close(hypervolume_weights(exact(1.0, 2.0), 1.1), expected, rtol=0, atol=1e-8)
        torch.testing.assert_close(hypervolume_weights(exact(3.0, 3.0, 3.0)), exact(1, 1, 1), rtol=0, atol=1e-8)

    def test_hypervolume_weights_are_its_gradient(self):
        losses = exact(1.0, 2.0, 0.4, requires_grad=True)
        reference = 1.5 * float(losses.detach().max())
        (gradient,) = torch.autograd.grad(-torch.log(reference - losses).sum(), losses)
        expected = 3 * gradient / gradient.sum()
        torch.testing.assert_close(hypervolume_weights(losses.detach(), 1.5), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("losses", [exact(0, 0, 0), exact(0, 1, 1e6), exact(1e-30, 1, 1)])
@pytest.mark.parametrize("name", list(WEIGHTINGS))
def test_a_loss_of_nothing_divides_nothing_by_zero(name: str, losses: Tensor) -> None:
    weighting = WEIGHTINGS[name].of(3, KEYS)
    for _ in range(5):
        weights = weighting.weights(losses, lambda: exact(0, 1, 1e-30))
        assert torch.isfinite(weights).all()
        assert (weights >= 0).all()
        weighting.after_update()


def made(name: str) -> Weighting:
    weighting = WEIGHTINGS[name].of(2, KEYS)
    if weighting.learned is not None:
        weighting.learned.double()
    return weighting


def encoder_gradient(name: str, steps: int = 1) -> Tensor:
    """Return the gradient of a shared layer after ``steps`` steps in which losses are unlike and fall unlike."""
    weighting = made(name)
    torch.manual_seed(0)
    encoder, heads = nn.Linear(3, 4).double(), [nn.Linear(4, 1).double() for _ in range(2)]
    inputs = torch.randn(16, 3, dtype=torch.float64)
    for step in range(steps):
        encoder.zero_grad()
        frames = encoder(inputs)
        losses = torch.stack(
            [
                scale * (head(frames) - step / (10 + 5 * scale)).square().mean()
                for head, scale in zip(heads, (1, 5), strict=True)
            ]
        )

        def norms(losses: Tensor = losses) -> Tensor:
            return torch.stack(
                [torch.autograd.grad(loss, encoder.weight, retain_graph=True)[0].norm() for loss in losses]
            )

        weighting.total(losses, weighting.weights(losses.detach(), norms)).backward()
        if weighting.learned is not None:
            with torch.no_grad():
                weighting.learned.values -= 0.3 * weighting.learned.values.grad
        weighting.after_update()
    assert encoder.weight.grad is not None
    return encoder.weight.grad.flatten()


@pytest.mark.parametrize("name", [name for name in WEIGHTINGS if name != "equal"])
def test_other_weights_turn_the_gradient_of_the_encoder(name: str) -> None:
    """Not only its length: mechanisms that weigh nothing are known from published code."""
    found, plain = encoder_gradient(name, 7), encoder_gradient("equal", 7)
    assert float(torch.cosine_similarity(found, plain, dim=0)) < 0.99999


def test_the_total_has_the_gradient_of_its_weights() -> None:
    for name in WEIGHTINGS:
        weighting, losses = made(name), exact(2.0, 0.5, requires_grad=True)
        weights = weighting.weights(losses.detach(), lambda: exact(1.0, 2.0))
        (gradient,) = torch.autograd.grad(weighting.total(losses, weights), losses)
        torch.testing.assert_close(gradient, weights, rtol=0, atol=1e-12, msg=name)


def losses_of(step: int) -> Tensor:
    return torch.tensor([1.0, 2.0]) * torch.tensor([0.9, 0.97]) ** step


@pytest.mark.parametrize("name", [name for name in WEIGHTINGS if name != "uncertainty"])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_run_weighs_with_equal_bits(name: str, stop: int) -> None:
    def go(weighting: Weighting, start: int, end: int) -> list[Tensor]:
        found = []
        for step in range(start, end):
            found.append(weighting.weights(losses_of(step), lambda step=step: losses_of(step) ** 2))
            weighting.after_update()
        return found

    unbroken = go(WEIGHTINGS[name].of(2, KEYS), 0, 9)
    before, after = WEIGHTINGS[name].of(2, KEYS), WEIGHTINGS[name].of(2, KEYS)
    go(before, 0, stop)
    after.restore(before.state())
    for expected, found in zip(unbroken[stop:], go(after, stop, 9), strict=True):
        assert torch.equal(expected, found)


def test_dwa_has_ones_for_two_intervals() -> None:
    weighting, found = Dwa(3, 2.0), []
    for step in range(9):
        found.append(weighting.weights(losses_of(step), no_norms))
        weighting.after_update()
    assert all(torch.equal(weights, torch.ones(2)) for weights in found[:6])
    means = [torch.stack([losses_of(step) for step in steps]).mean(0) for steps in ((0, 1, 2), (3, 4, 5))]
    torch.testing.assert_close(found[6], dwa_weights(means[1], means[0]))
    assert torch.equal(found[6], found[8])


def test_gradnorm_learns_behind_the_step() -> None:
    weighting = Gradnorm(1.0, 0.1)
    assert torch.equal(weighting.weights(exact(1, 1), lambda: exact(1.0, 3.0)), exact(1, 1))
    weighting.after_update()
    found = weighting.weights(exact(1, 1), lambda: exact(1.0, 3.0))
    assert found[0] > 1 > found[1]


@pytest.mark.parametrize("name", [name for name in WEIGHTINGS if name != "gradnorm"])
def test_only_gradnorm_asks_for_gradients(name: str) -> None:
    made(name).weights(exact(1.0, 2.0), no_norms)
