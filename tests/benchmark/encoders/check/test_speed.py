import numpy as np
import pytest

from benchmark.encoders.check.speed import Speed, timed


def test_figures_are_by_second_of_audio():
    speed = Speed(batch=8, window_seconds=2.5, seconds=0.5, memory=40 * 2**20)
    assert speed.per_second == pytest.approx(0.025)
    assert speed.memory_per_second == 2 * 2**20
    assert "40 times real time" in speed.describe()
    assert "40 MB more at its peak, 2 MB a second of audio" in speed.describe()


def test_memory_is_what_the_call_took_though_more_was_taken_before():
    np.ones(50 * 2**20).sum()  # 400 MB, given back
    kept = []
    speed = timed(lambda: kept.append(np.ones(10 * 2**20).sum()), 1, 3.0, "cpu")
    assert kept
    assert 60 * 2**20 < speed.memory < 200 * 2**20
    assert speed.seconds > 0


def test_a_call_that_takes_nothing():
    assert timed(lambda: None, 1, 3.0, "cpu").memory < 20 * 2**20
