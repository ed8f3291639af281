"""Equal budgets: so many steps a run, or so many minutes, which the pace of the first steps turns into steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from benchmark.errors import UserError
from benchmark.system.progress import Advance, Reporter

#: Steps that are left out before the pace is measured, and those that it is measured over.
LEFT_OUT, MEASURED = 5, 20
#: The stage of a training, as the trainer calls it.
STAGE = "training"
EXAMPLE = "give --budget steps=500, or --budget minutes=10"


@dataclass(frozen=True)
class Budget:
    """What each run may take: ``amount`` of ``unit``."""

    unit: Literal["steps", "minutes"]
    amount: float

    @property
    def text(self) -> str:
        """The budget as it is written on the command line."""
        return f"{self.unit}={self.amount:g}"


def parse(text: str) -> Budget:
    """Return the budget that a text names.

    >>> parse("steps=500"), parse("minutes=2.5")
    (Budget(unit='steps', amount=500.0), Budget(unit='minutes', amount=2.5))

    Raises:
        UserError: It is neither ``steps=N`` nor ``minutes=M``.
    """
    unit, equals, amount = text.strip().partition("=")
    number = re.fullmatch(r"\d{1,9}" if unit == "steps" else r"\d{1,9}(\.\d*)?|\.\d+", amount.strip(), re.ASCII)
    if unit not in ("steps", "minutes") or not equals or number is None:
        raise UserError(f"--budget {text!r} is no number of steps or minutes", EXAMPLE)
    if float(amount) <= 0:
        raise UserError(f"--budget {text!r} leaves no time to train", EXAMPLE)
    return Budget("steps" if unit == "steps" else "minutes", float(amount))


def steps_of(budget: Budget, steps_per_second: float | None) -> int:
    """Return the steps that a budget gives a recipe.

    >>> steps_of(parse("minutes=2"), 1.6)
    192

    Args:
        budget: The budget.
        steps_per_second: The measured pace of the recipe; only a budget of minutes needs it.

    Raises:
        UserError: Not even one step would fit.
    """
    if budget.unit == "steps":
        return int(budget.amount)
    assert steps_per_second is not None
    steps = int(budget.amount * 60 * steps_per_second)
    if steps < 1:
        raise UserError(
            f"--budget {budget.text}: not even one step fits, as a step takes {1 / steps_per_second:.1f} s here",
            "give more minutes",
        )
    return steps


def warmup_of(warmup: int, of_steps: int, steps: int) -> int:
    """Return the warm-up of a run of ``steps``: the share of the run that the recipe gives it, always under ``steps``.

    >>> warmup_of(75, 1500, 300), warmup_of(75, 1500, 1), warmup_of(5, 5000, 500)
    (15, 0, 1)
    """
    share = round(warmup * steps / of_steps)
    return min(max(share, 1 if warmup else 0), steps - 1)


@dataclass
class Pace:
    """A reporter that reads a clock at each step of a training, and hands everything else on.

    Attributes:
        report: What is told.
        clock: Seconds.
        read: The time at which each step was finished, by its number.
    """

    report: Reporter
    clock: Callable[[], float] = time.monotonic
    read: dict[int, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, title: str, total: float, unit: str) -> Iterator[Advance]:
        """Open a stage; the steps of a training are timed."""
        with self.report.stage(title, total, unit) as advance:

            def timed(done: float, note: str = "", total: float | None = None) -> None:
                if title == STAGE:
                    self.read.setdefault(int(done), self.clock())
                advance(done, note, total)

            yield timed

    def say(self, text: str) -> None:
        """Tell nothing: this is no run that anybody asked for."""

    def steps_per_second(self) -> float:
        """Return the pace from the step :data:`LEFT_OUT` to the last one; of a shorter training from its first step.

        Raises:
            UserError: There are fewer than two steps, or the clock stood still.
        """
        steps = sorted(self.read)
        begin = LEFT_OUT if LEFT_OUT in self.read and steps[-1] > LEFT_OUT else steps[0] if steps else 0
        passed = self.read[steps[-1]] - self.read[begin] if len(steps) > 1 else 0.0
        if passed <= 0:
            raise UserError("the pace of a recipe could not be measured", "give --budget steps=N")
        return (steps[-1] - begin) / passed
