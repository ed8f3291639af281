import subprocess
import sys

import pytest

from benchmark.encoders.check.speed import Speed, timed


def test_figures_are_by_second_of_audio():
    speed = Speed(batch=8, window_seconds=2.5, seconds=0.5, memory=40 * 2**20)
    assert speed.per_second == pytest.approx(0.025)
    assert speed.memory_per_second == 2 * 2**20
    assert "40 times real time" in speed.describe()
    assert "40 MB more at its peak, 2 MB a second of audio" in speed.describe()


MEASURE = """
import sys, time
import numpy as np
from benchmark.encoders.check import speed
if sys.argv[1] == "not allowed":
    speed._forget_peak = lambda: False

np.ones(50 * 2**20).sum()  # 400 MB, given back

def call():
    array = np.ones(10 * 2**20)
    time.sleep(0.2)
    return array.sum()

taken = speed.timed(call, 1, 3.0, "cpu")
assert taken.seconds > 0.2
print(taken.memory)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only a new peak of the process is seen")
@pytest.mark.parametrize("forgetting", ["allowed", "not allowed"])
def test_memory_is_what_the_call_took_though_more_was_taken_before(forgetting):
    """In a process of its own: other threads of a long one give memory back meanwhile."""
    done = subprocess.run([sys.executable, "-c", MEASURE, forgetting], capture_output=True, text=True, check=True)
    assert 60 * 2**20 < int(done.stdout) < 120 * 2**20


def test_a_call_that_takes_nothing():
    assert timed(lambda: None, 1, 3.0, "cpu").memory < 20 * 2**20
