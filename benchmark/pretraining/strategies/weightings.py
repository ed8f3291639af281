"""How the losses of several workers become one: weights of their sum, some of them learned.

Wu et al. 2021 found that balancing the losses helps; which mechanisms they took could not be found. These six are the
published ones that a multi-task network may have, from their formulae. Weights multiply the losses (or are their
gradients), so other weights give the encoder other gradients.

The functions are pure: losses, norms and weights are tensors [K] of K workers, in the dtype of the losses, and all
weights but those of ``initial`` and ``uncertainty`` sum to K, as those of ``equal`` do. The classes hold what a
mechanism remembers. They are given losses that are means over all processes, so that all processes weigh alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

#: A loss, a norm or a weight under this is taken for it, so that a target that is constant divides nothing by 0.
SMALLEST = 1e-8
#: No learned weight of GradNorm falls under this share of an equal one: a negative one would unlearn.
LEAST_WEIGHT = 1e-3


def initial_weights(first: Tensor) -> Tensor:
    """Return one over each loss's first value."""
    return 1 / first.clamp_min(SMALLEST)


def uncertainty_total(losses: Tensor, log_variances: Tensor) -> Tensor:
    """Return the sum of ``exp(-s) / 2 * loss + s / 2`` over losses of regressions (Kendall et al. 2018).

    Its best s is the logarithm of the loss; it may be negative.
    """
    return (0.5 * torch.exp(-log_variances) * losses + 0.5 * log_variances).sum()


def dwa_weights(before: Tensor, long_before: Tensor, temperature: float = 2.0) -> Tensor:
    """Return the dynamic weight average (Liu et al. 2019): K * softmax of how slowly losses fall, over T.

    Args:
        before: Mean losses of the last interval.
        long_before: Of the one before it.
        temperature: A larger one makes weights more alike.
    """
    ratios = before / long_before.clamp_min(SMALLEST)
    return len(before) * torch.softmax(ratios / temperature, dim=0)


def gradnorm_targets(norms: Tensor, losses: Tensor, first: Tensor, alpha: float) -> Tensor:
    """Return what GradNorm (Chen et al. 2018) wants the norms of the weighted gradients to be.

    Their mean, times the relative inverse training rate ``(loss / first) / mean(loss / first)`` to the power ``alpha``.

    Args:
        norms: Of the gradients of the weighted losses in the last shared layer.
        losses: The present ones, without weights.
        first: Those of the first step.
        alpha: 0 wants equal norms; a larger one favours what learns slowly.
    """
    rates = (losses / first.clamp_min(SMALLEST)).clamp_min(SMALLEST)
    return norms.mean() * (rates / rates.mean()) ** alpha


def gradnorm_update(weights: Tensor, norms: Tensor, losses: Tensor, first: Tensor, alpha: float, rate: float) -> Tensor:
    """Return weights one step of GradNorm on, with a sum of K.

    A gradient step of ``sum |w * norm - target|`` in w alone, the targets held. The gradient is divided by the mean of
    the norms, so that ``rate`` has no unit: ours; the original has Adam.

    Args:
        weights: The present ones.
        norms: Of the gradients of the losses *without* weights.
        losses: See :func:`gradnorm_targets`.
        first: See :func:`gradnorm_targets`.
        alpha: See :func:`gradnorm_targets`.
        rate: Learning rate of the weights.
    """
    weighted = weights * norms
    distance = weighted - gradnorm_targets(weighted, losses, first, alpha)
    near = distance.abs() <= torch.finfo(distance.dtype).eps * weighted.abs().max()
    gradient = torch.where(near, 0.0, distance.sign()) * norms / norms.mean().clamp_min(SMALLEST)
    moved = (weights - rate * gradient).clamp_min(LEAST_WEIGHT)
    return moved * (len(moved) / moved.sum())


def hypervolume_weights(losses: Tensor, delta: float = 1.1) -> Tensor:
    """Return weights in proportion to ``1 / (delta * max(losses) - loss)``: the gradient of the hypervolume below.

    A larger loss has a larger weight; ``delta`` > 1 is how far the reference point lies beyond the largest.
    """
    room = (delta * losses.max() - losses).clamp_min(SMALLEST)
    return len(losses) * (1 / room) / (1 / room).sum()


#: Returns the norms [K] of the gradients of the losses, without weights, in the encoder's last layer.
Norms = Callable[[], Tensor]


class Weighting(ABC):
    """A mechanism, with what it remembers from step to step.

    Attributes:
        learned: What of it the run's optimiser trains, with the encoder; ``None`` for most.
    """

    learned: nn.Module | None = None

    @classmethod
    def of(cls, count: int, recipe: Any) -> Weighting:
        """Return the mechanism for so many workers, with a recipe's settings."""
        del count, recipe
        return cls()

    @abstractmethod
    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """Return what the losses are multiplied by: [K].

        Args:
            means: Present losses, the means over processes: [K], without gradient.
            norms: Computes norms of gradients, of the means over processes, where they are asked for.
        """

    def total(self, losses: Tensor, weights: Tensor) -> Tensor:
        """Return the scalar to minimise, from losses [K] of this process with gradients."""
        return (weights * losses).sum()

    def after_update(self) -> None:  # noqa: B027 - most learn nothing
        """Learn from the step whose weights were asked for last."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors on the CPU, and numbers."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        del state


class Equal(Weighting):
    """The plain sum."""

    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """Return ones."""
        del norms
        return torch.ones_like(means)


class Hypervolume(Weighting):
    """Of the present losses: see :func:`hypervolume_weights`."""

    def __init__(self, delta: float) -> None:
        self._delta = delta

    @classmethod
    def of(cls, count: int, recipe: Any) -> Weighting:
        """See :class:`Weighting`."""
        del count
        return cls(recipe.hypervolume_delta)

    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """See :func:`hypervolume_weights`."""
        del norms
        return hypervolume_weights(means, self._delta)


class LogVariances(nn.Module):
    """A log-variance s for each worker, which the run's optimiser learns with the encoder, from 0."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(count))


class Uncertainty(Weighting):
    """Learned log-variances: see :func:`uncertainty_total`."""

    def __init__(self, count: int) -> None:
        self.learned: LogVariances = LogVariances(count)

    @classmethod
    def of(cls, count: int, recipe: Any) -> Weighting:
        """See :class:`Weighting`."""
        del recipe
        return cls(count)

    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """Return ``exp(-s) / 2``."""
        del norms
        return 0.5 * torch.exp(-self.learned.values.detach()).to(means)

    def total(self, losses: Tensor, weights: Tensor) -> Tensor:
        """See :func:`uncertainty_total`, whose gradient gives the losses these weights."""
        del weights
        return uncertainty_total(losses, self.learned.values)


class _Remembering(Weighting):
    """A mechanism whose memory is tensors by name."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def _recall(self, name: str, first: Tensor) -> Tensor:
        """Return what is kept under a name, on the device of ``first``, which begins it."""
        kept = self._kept.setdefault(name, first.clone())
        if kept.device != first.device:
            kept = self._kept[name] = kept.to(first.device)
        return kept

    def state(self) -> dict[str, Any]:
        """See :class:`Weighting`."""
        return {name: kept.cpu().clone() for name, kept in self._kept.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :class:`Weighting`."""
        self._kept = {name: kept.clone() for name, kept in state.items()}


class Initial(_Remembering):
    """Losses over those of the run's first step."""

    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """See :func:`initial_weights`."""
        del norms
        return initial_weights(self._recall("first", means))


class Dwa(_Remembering):
    """Of mean losses of two intervals: see :func:`dwa_weights`. Where the paper has epochs, here are so many steps.

    Through the first two intervals all weights are 1.
    """

    def __init__(self, steps: int, temperature: float) -> None:
        super().__init__()
        self._steps, self._temperature = steps, temperature
        self._present: Tensor | None = None

    @classmethod
    def of(cls, count: int, recipe: Any) -> Weighting:
        """See :class:`Weighting`."""
        del count
        return cls(recipe.dwa_steps, recipe.dwa_temperature)

    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """See :func:`dwa_weights`."""
        del norms
        self._present = means
        return self._recall("weights", torch.ones_like(means))

    def after_update(self) -> None:
        """Add to the interval's losses, and at its end take the weights of the next."""
        assert self._present is not None
        count = self._recall("count", torch.zeros_like(self._present[:1]))
        total = self._recall("total", torch.zeros_like(self._present))
        count += 1
        total += self._present
        if int(count) < self._steps:
            return
        mean = total / count
        if "before" in self._kept:
            self._kept["weights"] = dwa_weights(mean, self._recall("before", mean), self._temperature)
        self._kept["before"] = mean
        del self._kept["count"], self._kept["total"]


class Gradnorm(_Remembering):
    """Weights with an update of their own behind each step: see :func:`gradnorm_update`."""

    def __init__(self, alpha: float, rate: float) -> None:
        super().__init__()
        self._alpha, self._rate = alpha, rate
        self._present: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, count: int, recipe: Any) -> Weighting:
        """See :class:`Weighting`."""
        del count
        return cls(recipe.gradnorm_alpha, recipe.gradnorm_rate)

    def weights(self, means: Tensor, norms: Norms) -> Tensor:
        """Return the weights that the steps before have led to, from 1."""
        self._present = (means, norms())
        self._recall("first", means)
        return self._recall("weights", torch.ones_like(means))

    def after_update(self) -> None:
        """Move the weights."""
        assert self._present is not None
        means, norms = self._present
        weights, first = self._recall("weights", means), self._recall("first", means)
        self._kept["weights"] = gradnorm_update(weights, norms, means, first, self._alpha, self._rate)


#: Mechanisms by the names that recipes have.
WEIGHTINGS: Mapping[str, type[Weighting]] = {
    "equal": Equal,
    "initial": Initial,
    "uncertainty": Uncertainty,
    "dwa": Dwa,
    "gradnorm": Gradnorm,
    "hypervolume": Hypervolume,
}
