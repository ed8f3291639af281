"""The learning rate of each step. Imports no torch."""

from __future__ import annotations

import math

from benchmark.pretraining.strategies.recipe import Recipe


def learning_rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate of a step, from 0: linear from 0 to the peak, then down to 0.

    >>> recipe = Recipe(objective="simclr", batch=2, steps=200_000)
    >>> learning_rate(0, recipe), learning_rate(5_000, recipe), round(learning_rate(102_500, recipe), 10)
    (0.0, 0.0002, 0.0001)
    """
    if step < recipe.warmup_steps:
        return recipe.peak_learning_rate * step / recipe.warmup_steps
    passed = min((step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps), 1.0)
    if recipe.schedule == "linear":
        return recipe.peak_learning_rate * (1 - passed)
    return recipe.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * passed))
