import numpy as np
import pytest

from probes.statistics.calibration import (
    calibration_error,
    class_ece,
    class_logits,
    class_nll,
    fit_platt,
    fit_temperature,
    label_ece,
    label_nll,
    logits_of,
    sigmoid,
    softmax,
)


def classes(n, temperature, seed=0):
    """Logits that are `temperature` times those that the targets were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 2
    targets = np.array([rng.choice(4, p=row) for row in softmax(logits)])
    return logits * temperature, targets


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found_and_the_error_falls(temperature):
    logits, targets = classes(4000, temperature)
    found, why = fit_temperature(logits, targets)
    assert why == ""
    assert found == pytest.approx(temperature, rel=0.08)
    assert class_nll(softmax(logits / found), targets) <= class_nll(softmax(logits), targets) + 1e-12
    if temperature != 1:
        assert class_ece(softmax(logits / found), targets) < class_ece(softmax(logits), targets) / 3


def test_the_temperature_is_that_of_the_softmax_outputs_too():
    logits, targets = classes(500, 2.0)
    one, _ = fit_temperature(logits, targets)
    other, _ = fit_temperature(class_logits(softmax(logits).astype(np.float32), one_by_one=False), targets)
    assert one == pytest.approx(other, rel=1e-4)


def test_what_no_temperature_can_be_told_of_stays_as_it_is():
    logits, targets = classes(19, 1.0)
    assert fit_temperature(logits, targets) == (1.0, "valid has 19 items, and a temperature needs 20")
    right = np.eye(3)[np.arange(30) % 3]
    value, why = fit_temperature(right, np.arange(30) % 3)
    assert (value, "named rightly" in why) == (1.0, True)
    value, why = fit_temperature(right, (np.arange(30) + 1) % 3)
    assert (value, "no better than by chance" in why) == (1.0, True)


def test_platt_finds_slope_and_offset_and_agrees_with_scikit_learn():
    from sklearn.calibration import _sigmoid_calibration

    rng = np.random.default_rng(1)
    z = rng.normal(size=5000) * 2 - 1
    targets = (rng.random(5000) < sigmoid(0.5 * z - 0.7)).astype(np.float32)
    slope, offset, why = fit_platt(z, targets)
    assert why == ""
    assert (slope, offset) == pytest.approx((0.5, -0.7), abs=0.1)
    a, b = _sigmoid_calibration(z, targets)  # of the same paper, with the other sign
    assert (slope, offset) == pytest.approx((-a, -b), abs=1e-3)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([1] * 9 + [0] * 30, "valid has 9 items with it and 30 without, and 10 of both"),
        ([1] * 30 + [0] * 9, "valid has 30 items with it and 9 without"),
        ([0] * 30, "valid has 0 items with it"),
        ([1] * 20 + [0] * 20, "no higher outputs"),
    ],
)
def test_a_label_of_few_items_or_turned_around_stays_as_it_is(targets, words):
    slope, offset, why = fit_platt(np.arange(len(targets), dtype=float), np.array(targets))
    assert (slope, offset) == (1.0, 0.0)
    assert words in why


def test_a_label_that_is_told_apart_without_error_keeps_finite_numbers():
    slope, offset, why = fit_platt(np.repeat([-3.0, 3.0], 15), np.repeat([0, 1], 15))
    assert why == ""
    assert np.isfinite([slope, offset]).all()
    assert 0.9 < sigmoid(np.array([3.0]) * slope + offset)[0] < 1 - 1e-3


def test_errors_by_hand():
    assert calibration_error(np.array([0.9, 0.9, 0.1, 1.0]), np.array([1, 0, 0, 1])) == pytest.approx((0.8 + 0.1) / 4)
    p, targets = np.array([[0.8, 0.2], [0.6, 0.4]]), np.array([0, 1])
    assert class_nll(p, targets) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert class_ece(p, targets) == pytest.approx((0.2 + 0.6) / 2)
    one_hot = np.eye(2)[targets]
    assert label_nll(p, one_hot) == pytest.approx(-np.log([0.8, 0.8, 0.4, 0.4]).mean())
    assert label_ece(p, one_hot) == pytest.approx((0.2 + 0.6 + 0.2 + 0.6) / 4)


def test_the_extremes_of_float32_have_finite_logits():
    assert np.isfinite(logits_of(np.float32([[0, 1, 1e-45]]))).all()
    assert np.isfinite(class_logits(np.float32([[0, 1]]), one_by_one=False)).all()
    assert np.isfinite(class_nll(np.array([[0.0, 1.0]]), np.array([0])))
