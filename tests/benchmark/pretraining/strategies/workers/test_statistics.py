"""Running statistics: those of all batches, of all processes, and what becomes of a constant."""

from __future__ import annotations

import pytest
import torch

from benchmark.pretraining.strategies.workers.statistics import RunningStatistics


def batches(count: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(4, 3, 20, generator=generator) * torch.tensor([1.0, 50.0, 1e-3])[:, None] + 7 for _ in range(count)
    ]


def test_statistics_are_those_of_all_that_was_counted() -> None:
    running, given = RunningStatistics(), batches()
    for batch in given:
        found = running.standardise("mfcc", batch)
    everything = torch.cat(given).double().transpose(0, 1).flatten(1)
    expected = (given[-1].double() - everything.mean(1)[:, None]) / everything.std(1, correction=0)[:, None]
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=2e-3)
    centre, scale = running.centre_and_scale("mfcc")
    torch.testing.assert_close(centre, everything.mean(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(scale, 1 / everything.std(1, correction=0), rtol=1e-6, atol=0)


def test_a_standardised_target_has_an_error_of_one_for_no_prediction() -> None:
    """MSE 1, and an absolute error of sqrt(2 / pi) where it is Gaussian."""
    running = RunningStatistics()
    found = running.standardise("x", torch.randn(40, 2, 500, generator=torch.Generator().manual_seed(0)) * 30 - 5)
    assert float(found.square().mean()) == pytest.approx(1, abs=1e-5)
    assert float(found.abs().mean()) == pytest.approx(0.798, abs=0.01)


@pytest.mark.parametrize("value", [0.0, -10.0, 0.1, 1e-20, 3e7])
def test_a_constant_target_is_zero(value: float) -> None:
    running = RunningStatistics()
    for _ in range(3):
        found = running.standardise("x", torch.full((8, 2, 100), value))
        assert (found == 0).all()


def test_what_ends_to_be_constant_stays_within_bounds() -> None:
    """The batch is counted in before it is standardised, so the mean square over all that was seen is 1 at most."""
    running = RunningStatistics()
    for _ in range(4):
        running.standardise("x", torch.zeros(8, 1, 100))
    click = torch.zeros(8, 1, 100)
    click[0, 0, 0] = 1e-3
    found = running.standardise("x", click)
    assert float(found.square().sum()) <= 5 * 800 * 1.001
    assert float(found.abs().max()) < 64


def test_a_resumed_run_goes_on_with_equal_bits() -> None:
    unbroken, given = RunningStatistics(), batches()
    for batch in given:
        expected = unbroken.standardise("x", batch)
    before, after = RunningStatistics(), RunningStatistics()
    for batch in given[:3]:
        before.standardise("x", batch)
    after.restore(before.state())
    for batch in given[3:]:
        found = after.standardise("x", batch)
    assert torch.equal(found, expected)
    assert after.state()["x"].dtype == torch.float64


def test_processes_have_the_statistics_of_the_joint_batch() -> None:
    """The mean over processes of count and sums has the same ratios as their sums."""
    (batch,) = batches(1)
    joint, parts = RunningStatistics(), [RunningStatistics(), RunningStatistics()]
    expected = joint.standardise("x", batch)
    sums: list[torch.Tensor] = []
    for part, running in zip(batch.chunk(2), parts, strict=True):
        running.standardise("x", part, lambda value: sums.append(value) or value)
    for i, (part, rows) in enumerate(zip(batch.chunk(2), expected.chunk(2), strict=True)):
        found = RunningStatistics().standardise("x", part, lambda _: (sums[0] + sums[1]) / 2)
        torch.testing.assert_close(found, rows, rtol=1e-6, atol=1e-6, msg=f"part {i}")
