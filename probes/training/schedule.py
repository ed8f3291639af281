"""The schedule of a training: the learning rate of every step, and the steps after which it is validated."""

from __future__ import annotations

import math

from probes.protocol import ProbeSpec, Settings

VALIDATIONS = 25  # at most, where a protocol says nothing else
LEAST_VALIDATIONS = 4
#: One costs one product a valid item, a step two a train item: with this, they cost under a twentieth of the steps.
VALIDATION_SHARE = 10


def warmup_steps(steps: int, warmup: int) -> int:
    """Return the number of warm-up steps in a training of ``steps``: ``warmup``, or a tenth of a short training."""
    return warmup if steps >= 10 * warmup else steps // 10


def learning_rate_at(step: int, settings: Settings, spec: ProbeSpec) -> float:
    """Return the learning rate of the ``step``-th minibatch (from 0).

    It rises linearly from 0 over the warm-up, then falls as a half cosine that reaches 0 where the steps end (paper,
    section 4). A published schedule may end its warm-up elsewhere than its cosine begins. A constant one does neither.
    """
    if spec.schedule == "constant":
        return settings.learning_rate
    warmup = warmup_steps(settings.steps, spec.warmup)
    if step < warmup:
        return (settings.warm_rate or settings.learning_rate) * step / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def validation_steps(settings: Settings, spec: ProbeSpec, valid_items: int) -> list[int]:
    """Return the numbers of steps after which a training is validated, the last step included.

    At most :data:`VALIDATIONS`, and fewer where valid is large beside the training, so that they stay cheap; at least
    four.
    """
    if spec.look_every is not None:
        return [*range(spec.look_every, settings.steps, spec.look_every), settings.steps]
    cheap = VALIDATION_SHARE * valid_items / settings.batch_size
    count = max(LEAST_VALIDATIONS, min(VALIDATIONS, int(settings.steps / max(1.0, cheap))))
    return sorted({max(1, round((i + 1) * settings.steps / count)) for i in range(count)})
