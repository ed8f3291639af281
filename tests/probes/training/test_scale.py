"""The unit of embeddings does not matter where they are standardised: not to the inputs, the ridge, nor the probe."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.data import SplitArrays, TrainValid, standardisation
from probes.protocol import ProbeSpec, Settings
from probes.statistics.baselines import fit_ridge
from probes.training.trainer import train

SCALES = [1e-20, 1e-12, 1e-7, 1e-3, 1e3, 1e8, 1e20]
SPEC = ProbeSpec("multiclass", 3, "cross_entropy")


def embeddings(rows: int = 60, seed: int = 0) -> np.ndarray:
    """Dimensions of several means and deviations, among them a constant, a zero and nearly constant ones."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8)) * [1, 5, 0.01, 1, 1, 1, 1, 1] + [0, 3, 0, 100, 0, 0, 0, 0]
    x[:, 4], x[:, 5] = 0.0, 2.5
    x[:, 6] = 2.5 + 1e-8 * x[:, 6]
    return x.astype(np.float32)


def times(data: TrainValid, factor: float) -> TrainValid:
    def split(arrays: SplitArrays) -> SplitArrays:
        return SplitArrays(arrays.ids, (arrays.embeddings * np.float64(factor)).astype(np.float32), arrays.targets)

    return TrainValid(split(data.train), split(data.valid), data.sealed)


def margin(targets: np.ndarray, outputs: np.ndarray) -> float:
    """A score without steps: how much more the right class has than the mean."""
    return float((outputs[np.arange(len(targets)), targets] - outputs.mean(1)).mean())


@settings(max_examples=60, deadline=None)
@given(st.floats(-20, 20), st.integers(0, 5))
def test_standardised_inputs_do_not_depend_on_the_unit(power: float, seed: int) -> None:
    x, factor = embeddings(seed=seed), 10.0**power
    scaled = (x * np.float64(factor)).astype(np.float32)
    (mean, scale), (other_mean, other_scale) = standardisation(x, on=True), standardisation(scaled, on=True)
    assert (scale == 0).tolist() == (other_scale == 0).tolist() == [i in (4, 5, 6) for i in range(8)]
    np.testing.assert_allclose((scaled - other_mean) * other_scale, (x - mean) * scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("power", [-66, -20, 20, 66])
def test_a_unit_that_is_a_power_of_two_changes_no_bit(power: int) -> None:
    x = embeddings()
    scaled = x * np.float32(2.0**power)
    (mean, scale), (other_mean, other_scale) = standardisation(x, on=True), standardisation(scaled, on=True)
    np.testing.assert_array_equal((scaled - other_mean) * other_scale, (x - mean) * scale)


@pytest.mark.parametrize("factor", SCALES)
def test_a_ridge_has_the_same_score(classes, factor: float) -> None:
    data = classes(90)
    assert fit_ridge("multiclass", 3, times(data, factor), margin).valid_score == pytest.approx(
        fit_ridge("multiclass", 3, data, margin).valid_score, rel=1e-5
    )


@pytest.mark.parametrize("factor", SCALES)
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_probe_has_the_same_score(classes, factor: float, hidden: tuple[int, ...]) -> None:
    data = classes(90)
    wanted = Settings(1e-2, 1e-4, 60, True, hidden, 0.0, 32)
    first, second = (train(SPEC, wanted, each, margin, seed=0) for each in (data, times(data, factor)))
    assert second.valid_score == pytest.approx(first.valid_score, rel=1e-3)
    assert first.valid_score > 0.1


def test_a_dimension_that_only_test_moves_says_nothing(classes) -> None:
    data = classes(90)
    wanted = Settings(1e-2, 0.0, 60, True, (), 0.0, 32)
    x = np.concatenate([data.train.embeddings, np.full((90, 1), 7, np.float32)], axis=1)
    valid = np.concatenate([data.valid.embeddings, np.full((30, 1), 7, np.float32)], axis=1)
    held = TrainValid(
        SplitArrays(data.train.ids, x, data.train.targets), SplitArrays(data.valid.ids, valid, data.valid.targets),
        data.sealed,
    )  # fmt: skip
    probe = train(SPEC, wanted, held, margin, seed=0)
    moved = valid.copy()
    moved[:, -1] = 1e6
    np.testing.assert_array_equal(probe.predict(moved), probe.predict(valid))
