"""Budgets: texts, the pace by a given clock, and warm-ups of another length."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmark.errors import UserError
from benchmark.pretraining.comparison.budget import LEFT_OUT, Budget, Pace, parse, steps_of, warmup_of
from benchmark.system.progress import Silent


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("steps=500", Budget("steps", 500)),
        ("minutes=10", Budget("minutes", 10)),
        (" minutes=0.5 ", Budget("minutes", 0.5)),
        ("minutes=.5", Budget("minutes", 0.5)),
    ],
)
def test_budgets_are_steps_or_minutes(text: str, budget: Budget) -> None:
    assert parse(text) == budget


@pytest.mark.parametrize(
    "text",
    ["", "500", "steps", "steps=", "steps=many", "steps=1.5", "steps=-3", "steps=1e3", "minutes=nan", "minutes=inf",
     "minutes=1e400", "minutes=-1", "hours=3", "minutes=1,5", "steps=٣", "minutes=.", "steps=500 minutes=1"],
)  # fmt: skip
def test_what_is_no_budget_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(
        UserError, match="is no number of steps or minutes: give --budget steps=500, or --budget minutes=10"
    ):
        parse(text)


@pytest.mark.parametrize("text", ["steps=0", "minutes=0", "minutes=0.0"])
def test_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="leaves no time to train"):
        parse(text)


def test_minutes_become_steps_by_the_pace() -> None:
    assert steps_of(parse("minutes=2"), 1.5) == 180
    assert steps_of(parse("minutes=1"), 0.999) == 59
    assert steps_of(parse("steps=7"), None) == 7
    with pytest.raises(UserError, match=r"not even one step fits, as a step takes 90\.0 s here: give more minutes"):
        steps_of(parse("minutes=1"), 1 / 90)


@pytest.mark.parametrize(
    ("warmup", "of_steps", "steps", "expected"),
    [(75, 1500, 1500, 75), (75, 1500, 100, 5), (75, 1500, 3, 1), (75, 1500, 1, 0), (0, 10, 100, 0), (9, 10, 2, 1)],
)
def test_the_warmup_keeps_its_share_and_leaves_a_step(warmup: int, of_steps: int, steps: int, expected: int) -> None:
    assert warmup_of(warmup, of_steps, steps) == expected


def seconds(*readings: float) -> Iterator[float]:
    return iter(readings)


def timed(readings: list[float], first: int = 1, title: str = "training") -> Pace:
    clock = seconds(*readings)
    pace = Pace(Silent(), lambda: next(clock))
    with pace.stage(title, len(readings), "steps") as advance:
        for step in range(first, first + len(readings)):
            advance(step, "loss")
    return pace


def test_the_first_steps_are_left_out_of_the_pace() -> None:
    slow, steady = [10.0, 20, 30, 40, 50], [50.5, 51.0, 51.5, 52.0]
    assert LEFT_OUT == 5
    assert timed([*slow, *steady]).steps_per_second() == pytest.approx(2.0)


def test_a_shorter_training_is_measured_from_its_first_step() -> None:
    assert timed([1.0, 3.0, 5.0]).steps_per_second() == pytest.approx(0.5)


@pytest.mark.parametrize("readings", [[], [1.0], [2.0, 2.0]])
def test_without_two_readings_there_is_no_pace(readings: list[float]) -> None:
    with pytest.raises(UserError, match=r"could not be measured: give --budget steps=N"):
        timed(readings).steps_per_second()


def test_other_stages_are_not_timed() -> None:
    with pytest.raises(UserError, match="could not be measured"):
        timed([1.0, 2.0, 3.0], title="reading").steps_per_second()
