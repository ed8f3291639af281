"""Baselines of a probe: a constant, permuted labels, and a ridge regression on the same embeddings.

A constant output that knows how often each label occurs; a probe trained on permuted labels (this module permutes, the
caller trains); and a ridge regression in closed form, whose four penalties are compared on valid. The ridge needs a
second or two where a search needs minutes: a searched probe that loses to it was not searched well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from probes.data import BLOCK_ROWS, TrainValid, blocks, standardisation
from probes.kinds import KINDS, Kind
from probes.statistics.intervals import Blocks, Jackknifed, compare

if TYPE_CHECKING:  # floors need no torch
    from probes.training.trainer import ScoreFunction

PENALTIES = (2e-3, 3e-2, 0.5, 8.0)  # times the number of training items, on standardised inputs
FEWEST_GROUPS = 10  # fewer groups have too few orders to hide which labels are whose


def constant_outputs(kind: Kind, train_targets: np.ndarray, outputs: int, n: int) -> np.ndarray:
    """Return float32 [n, outputs]: the same outputs for every item, from train alone.

    Args:
        kind: ``multiclass`` gives the share of each class (so the majority class is predicted), ``multilabel`` the
            share of items that have each label, ``regression`` the mean of each target.
        train_targets: int64 [m] or float32 [m, outputs].
        outputs: Number of classes, labels or targets.
        n: Number of items.

    Raises:
        ValueError: There are no training targets.
    """
    if len(train_targets) == 0:
        raise ValueError("a constant output needs at least one training item")
    row = KINDS[kind].matrix(train_targets, outputs).mean(axis=0, dtype=np.float64)
    return np.tile(row.astype(np.float32), (n, 1))


def permuted(targets: np.ndarray, seed: int, groups: Sequence[str] | None = None) -> np.ndarray:
    """Return the training ``targets`` in a seeded random order, for a probe that can learn nothing but chance.

    Args:
        targets: [n] or [n, L]; rows stay whole.
        seed: Seed of the order.
        groups: The group of each item. Groups are then put in a random order and hand on their targets as runs, so that
            items of one group still resemble each other in their targets; rows are permuted where there are under
            :data:`FEWEST_GROUPS` groups.

    Raises:
        ValueError: The number of groups is not n.
    """
    rng = np.random.default_rng([seed, 5])
    if groups is not None and len(groups) != len(targets):
        raise ValueError(f"{len(groups)} groups for {len(targets)} items")
    if groups is None or len(set(groups)) < FEWEST_GROUPS:
        return targets[rng.permutation(len(targets))]
    _, membership = np.unique(np.asarray(groups), return_inverse=True)
    turns = rng.permutation(int(membership.max()) + 1)
    moved = np.empty_like(targets)
    moved[np.argsort(membership, kind="stable")] = targets[np.argsort(turns[membership], kind="stable")]
    return moved


@dataclass(frozen=True)
class Ridge:
    """A linear map of standardised embeddings, least squares with a penalty on its kernel but not on its bias.

    Attributes:
        kernel: float32 [D, outputs].
        bias: float32 [outputs].
        input_mean: float32 [D] subtracted from embeddings.
        input_scale: float32 [D] then multiplied.
        penalty: The chosen weight of the kernel's sum of squares, beside the sum of squared errors over items.
        valid_score: Its validation score.
        tried: Every penalty with its validation score (``-inf`` where that was not finite).
    """

    kernel: np.ndarray
    bias: np.ndarray
    input_mean: np.ndarray
    input_scale: np.ndarray
    penalty: float
    valid_score: float
    tried: tuple[tuple[float, float], ...]

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Return float32 outputs [n, outputs] of ``embeddings`` [n, D]: scores, or values in the targets' units."""
        outputs = np.empty((len(embeddings), len(self.bias)), np.float32)
        start = 0
        for block in _blocks(embeddings, self.input_mean, self.input_scale):
            outputs[start : start + len(block)] = block @ self.kernel + self.bias
            start += len(block)
        return outputs


def fit_ridge(kind: Kind, outputs: int, data: TrainValid, score: ScoreFunction) -> Ridge:
    """Fit a ridge regression on ``data.train`` for each of :data:`PENALTIES` and keep the best on ``data.valid``.

    Inputs are standardised with train statistics; targets are one-hot (multiclass), 0/1 (multilabel) or as they are.
    The Gram matrix is summed once, in float64, over blocks of rows (embeddings may be memory-mapped); it is that of the
    items where they are fewer than dimensions. Of equal scores the larger penalty is kept.

    Args:
        kind: The task's kind.
        outputs: Number of classes, labels or targets.
        data: Train and valid.
        score: Validation score, larger is better.

    Raises:
        FloatingPointError: The embeddings are of an extreme scale, the equations cannot be solved, or no penalty has a
            finite validation score.
    """
    x, valid = data.train.embeddings, data.valid.embeddings
    targets = KINDS[kind].matrix(data.train.targets, outputs)
    bias = targets.mean(axis=0, dtype=np.float64)
    centred = np.empty(targets.shape, np.float32)
    for start in range(0, len(targets), BLOCK_ROWS):  # in float64, of which no more is held at a time
        centred[start : start + BLOCK_ROWS] = targets[start : start + BLOCK_ROWS] - bias
    targets = centred
    mean, scale = standardisation(x, on=True)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below, as what it is
        solve = _dual(x, targets, mean, scale) if len(x) < x.shape[1] else _primal(x, targets, mean, scale)
    if not solve.finite:
        raise FloatingPointError("the ridge cannot be solved in float32: the embeddings are of an extreme scale")
    best: Ridge | None = None
    tried: list[tuple[float, float]] = []
    for factor in sorted(PENALTIES, reverse=True):
        penalty = factor * len(x)
        ridge = Ridge(solve(penalty), bias.astype(np.float32), mean, scale, penalty, -math.inf, ())
        predicted = ridge.predict(valid)
        value = score(data.valid.targets, predicted) if np.isfinite(predicted).all() else -math.inf
        tried.append((penalty, value if math.isfinite(value) else -math.inf))
        if tried[-1][1] > (best.valid_score if best else -math.inf):
            best = Ridge(ridge.kernel, ridge.bias, mean, scale, penalty, value, ())
    if best is None:
        raise FloatingPointError("the ridge has no finite validation score")
    return Ridge(best.kernel, best.bias, mean, scale, best.penalty, best.valid_score, tuple(reversed(tried)))


def loses(probe: Jackknifed, floor: Jackknifed, blocks: Blocks, bounds: tuple[float, float]) -> bool:
    """Say whether a probe loses to a floor (or the ridge) by more than its interval.

    It does where the 95 % interval of their difference on test, over items (or groups) and the probe's seeds, is wholly
    below 0. Where there is no such interval it is not known to lose.

    Args:
        probe: The scores of the probe, once a seed.
        floor: The score of the floor, without the same blocks.
        blocks: What was left out.
        bounds: The metric's range.
    """
    difference = compare(probe, floor, blocks, bounds)
    return difference is not None and difference.interval.high < 0


class _Solver:
    """Kernels [D, outputs] for any penalty, from a Gram matrix [m, m], right sides [m, outputs] and a way back."""

    def __init__(self, gram: np.ndarray, right: np.ndarray, back: np.ndarray | None) -> None:
        self._gram, self._right, self._back = gram, right, back

    @property
    def finite(self) -> bool:
        """Whether the equations have finite numbers only."""
        return bool(np.isfinite(self._gram).all() and np.isfinite(self._right).all())

    def __call__(self, penalty: float) -> np.ndarray:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        gram = self._gram.copy()
        gram[np.diag_indices_from(gram)] += penalty
        try:
            factor = cho_factor(gram, lower=True, overwrite_a=True)
        except LinAlgError as error:
            raise FloatingPointError(
                f"the equations of the ridge cannot be solved with the penalty {penalty:g}: rounding left them without "
                "a solution, so the embeddings are of an extreme scale or nearly alike"
            ) from error
        solution = cho_solve(factor, self._right)
        return (solution if self._back is None else self._back @ solution).astype(np.float32)


def _primal(x: np.ndarray, targets: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> _Solver:
    gram = np.zeros((x.shape[1], x.shape[1]))
    right = np.zeros((x.shape[1], targets.shape[1]))
    start = 0
    for block in _blocks(x, mean, scale):
        gram += block.T @ block
        right += block.T @ targets[start : start + len(block)]
        start += len(block)
    return _Solver(gram, right, None)


def _dual(x: np.ndarray, targets: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> _Solver:
    standardised = np.concatenate(list(_blocks(x, mean, scale)))
    gram = (standardised @ standardised.T).astype(np.float64)
    return _Solver(gram, targets.astype(np.float64), standardised.T)


def _blocks(embeddings: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Iterator[np.ndarray]:
    for _, block in blocks(embeddings):
        yield (block - mean) * scale
