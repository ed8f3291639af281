"""A run that is asked to end: the signals that launchers pass on, and how often they may come."""

import os
import signal

import pytest

from benchmark.pretraining.training import interrupt
from benchmark.pretraining.training.interrupt import PASSED_ON, Interrupt


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now[0])
    return now


def ask() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_second_time_stops_at_once():
    with Interrupt().watched() as asked:
        assert not asked.asked
        ask()
        assert asked.asked
        with pytest.raises(KeyboardInterrupt):
            ask()


def test_of_several_processes_what_torchrun_passes_on_is_no_second_time(clock):
    with Interrupt(several=True).watched() as asked:
        ask()
        clock[0] += PASSED_ON - 0.1
        ask()
        assert asked.asked
        clock[0] += 0.1
        with pytest.raises(KeyboardInterrupt):
            ask()


def test_what_stood_before_stands_again():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt().watched():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
