"""bf16 where there are no instructions for it: said once, with what it costs here."""

import re

import pytest

from benchmark.system import precision
from benchmark.system.precision import bf16_factor, slow_on_processor, tell_slow_bf16
from benchmark.system.progress import Silent


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("flags", [[], ["avx2", "avx512_bf16"], ["amx_bf16"], ["asimd", "bf16"]])
def test_a_processor_that_has_it_or_of_which_nothing_is_known_is_not_spoken_of(flags, monkeypatch):
    monkeypatch.setattr(precision, "bf16_factor", None)
    assert slow_on_processor(flags) is None


def test_the_factor_is_measured_and_said(monkeypatch):
    told = Told()
    monkeypatch.setattr(precision, "processor_flags", lambda: ["avx2"])
    monkeypatch.setattr(precision, "bf16_factor", lambda device: {"cpu": 8.36}[device])
    tell_slow_bf16("cpu", told)
    assert told.lines == [
        "The processor has no bf16 instructions: a matrix product in bf16 takes 8.4 times as long as in fp32. fp32 is "
        "the default."
    ]


def test_here_it_is_said_where_the_instructions_are_missing():
    told = Told()
    tell_slow_bf16("cpu", told)
    missing = bool(precision.processor_flags()) and not precision.BF16_FLAGS & set(precision.processor_flags())
    assert [bool(re.search(r"takes \d+\.\d times as long", line)) for line in told.lines] == [True] * missing
    assert bf16_factor("cpu") > 0
    assert bf16_factor("cpu") == bf16_factor("cpu")  # measured once


def test_other_devices_are_not_spoken_of():
    told = Told()
    tell_slow_bf16("mps", told)
    assert told.lines == []
