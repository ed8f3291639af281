"""Calibration of probabilities on valid: whether they are what is observed, and a map that brings them nearer.

Classes have one temperature T, softmax(z / T) (Guo et al. 2017, *On Calibration of Modern Neural Networks*); labels one
by one have a slope and an offset each, sigmoid(a z + b), fitted to softened targets (Platt 1999, *Probabilistic Outputs
for Support Vector Machines*). z are the logits of the probabilities that a probe gives, so that the map needs these
alone. Neither changes the order of a label's items, and the temperature not that of an item's classes.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar

BINS = 15
FEWEST = 10  # items with a label, and without it, below which its probabilities stay as they are
SMALLEST = 2.0**-24  # a probability is never nearer to 0 or 1: float32 does not tell them apart
LARGEST = 100.0  # temperature, and its inverse


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) in float64 [n, L] of probabilities [n, L]."""
    p = np.clip(np.asarray(probabilities, np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(p) - np.log1p(-p)


def class_logits(outputs: np.ndarray, *, one_by_one: bool) -> np.ndarray:
    """Return the logits of classes, float64 [n, L], up to a constant for each item.

    Args:
        outputs: Probabilities [n, L] of a probe.
        one_by_one: Whether each is that of a label by itself (sigmoid); else they are those of a softmax.
    """
    if one_by_one:
        return logits_of(outputs)
    return np.log(np.maximum(np.asarray(outputs, np.float64), np.finfo(np.float32).tiny))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities [n, L] that sum to 1 of logits [n, L]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> tuple[float, str]:
    """Return the temperature of least negative log-likelihood, and why it is 1 where it cannot be told.

    Args:
        logits: [n, L] on valid.
        targets: int64 [n].
    """
    if len(targets) < 2 * FEWEST:
        return 1.0, f"valid has {len(targets)} items, and a temperature needs {2 * FEWEST}"
    if (logits.argmax(axis=1) == targets).all():
        return 1.0, "every item of valid is named rightly, and no temperature is low enough for that"
    found = minimize_scalar(
        lambda x: class_nll(softmax(logits * np.exp(x)), targets),
        bounds=(-np.log(LARGEST), np.log(LARGEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    temperature = float(np.exp(-found.x))
    if not 1.01 / LARGEST < temperature < LARGEST / 1.01:
        return 1.0, "valid is named no better than by chance, and no temperature is high enough for that"
    return temperature, ""


def fit_platt(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float, str]:
    """Return slope and offset of a label's logits, and why they are 1 and 0 where they cannot be told.

    Args:
        logits: [n] on valid.
        targets: 0 or 1 [n].
    """
    positive = targets > 0
    n, m = int(positive.sum()), int((~positive).sum())
    if min(n, m) < FEWEST:
        return 1.0, 0.0, f"valid has {n} items with it and {m} without, and {FEWEST} of both are needed"
    wanted = np.where(positive, (n + 1) / (n + 2), 1 / (m + 2))  # Platt's softened targets

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = x[0] * logits + x[1]
        error = sigmoid(z) - wanted
        value = np.mean(np.logaddexp(0, z) - wanted * z)
        return float(value), np.array([np.mean(error * logits), np.mean(error)])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-8})
    slope, offset = (float(value) for value in found.x)
    if slope <= 0:
        return 1.0, 0.0, "on valid, items with it have no higher outputs than those without"
    return slope, offset, ""


def class_nll(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean negative log-likelihood of classes: probabilities [n, L], targets int64 [n]."""
    p = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(p, SMALLEST)).mean())


def label_nll(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the same of labels one by one, the mean over items and labels: both [n, L]."""
    p = np.where(targets > 0, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(p, SMALLEST, 1)).mean())


def calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean distance of probability and share, over bins of equal width.

    Args:
        probabilities: [n], from 0 to 1.
        right: [n] whether what was predicted with it is so.
        bins: How many; each counts by its items.
    """
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    sums = np.bincount(place, weights=probabilities - (right > 0), minlength=bins)
    return float(np.abs(sums).sum() / len(probabilities))


def class_ece(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the calibration error of the most probable class: probabilities [n, L], targets int64 [n]."""
    return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)


def label_ece(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean over labels of their calibration errors: both [n, L]."""
    columns = zip(probabilities.T, targets.T, strict=True)
    return float(np.mean([calibration_error(p, target) for p, target in columns]))
