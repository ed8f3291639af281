"""An encoder that hangs is ended and the track named; what is finished is kept."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.encoders import time_limit
from benchmark.encoders.base import Encoder
from benchmark.encoders.check.check import check
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.time_limit import VARIABLE, HungError, TimeLimit
from benchmark.errors import UserError

RATE = 8000


class Hanging(Encoder):
    """Hangs on loud windows, in Python."""

    name, sample_rate, dim, arrays, window_seconds, minimum_seconds = "hanging", RATE, 2, "numpy", 1.0, 0.1
    seconds = 60.0

    def embed(self, waveforms):
        if np.abs(waveforms).max() > 0.9:
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                time.sleep(0.01)
        return np.stack([np.abs(waveforms).mean((1, 2)), waveforms.std((1, 2))], axis=1)


def tracks(loud=2):
    levels = [0.95 if i == loud else 0.1 for i in range(4)]
    return [
        TrackWindows(f"t{i}", f"/x/t{i}.flac", [np.full((1, RATE), level, np.float32)])
        for i, level in enumerate(levels)
    ]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0.6")
    monkeypatch.setattr(time_limit, "LOOK", 0.05)


class TestInterrupted:
    @pytest.mark.parametrize("batch_size", [1, 4])
    def test_the_track_is_named(self, short, batch_size):
        with pytest.raises(HungError) as caught:
            BatchEncoding(Hanging(), 2, batch_size, "cpu").embed(tracks())
        message = str(caught.value)
        assert message.startswith("the encoder 'hanging' did not answer within 1 s on the track 't2' (/x/t2.flac). ")
        assert "finished tracks are kept" in message
        assert f"{VARIABLE}=SECONDS" in message

    def test_one_that_catches_the_interruption_is_ended_too(self, short):
        class Stubborn(Hanging):
            def embed(self, waveforms):
                try:
                    return super().embed(waveforms)
                except KeyboardInterrupt:
                    return np.zeros((len(waveforms), 2))

        with pytest.raises(HungError, match="'t2'"):
            BatchEncoding(Stubborn(), 2, 1, "cpu").embed(tracks())

    def test_sound_ones_are_left_alone(self, short):
        rows = BatchEncoding(Hanging(), 2, 2, "cpu").embed(tracks(loud=None))
        np.testing.assert_allclose(rows, [[0.1, 0.0]] * 4, atol=1e-6)

    def test_ctrl_c_stays_ctrl_c(self, short):
        class Interrupted(Hanging):
            def embed(self, waveforms):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            BatchEncoding(Interrupted(), 2, 1, "cpu").embed(tracks())

    def test_the_check_stops_behind_it(self, short):
        class Deaf(Hanging):
            def embed(self, waveforms):
                return super().embed(np.ones_like(waveforms) if len(waveforms) == 1 else waveforms / 2)

        started = time.monotonic()
        found = check(Deaf())
        assert time.monotonic() - started < 20
        assert [each.rule for each in found.failures] == ["batch"]
        assert "did not answer within 1 s on made-up audio" in found.failures[0].numbers
        assert "finite" in found.left_out


class TestLimit:
    def test_it_grows_with_what_calls_took(self, monkeypatch):
        monkeypatch.delenv(VARIABLE, raising=False)
        limit = TimeLimit("x")
        assert limit.of(3.0) == time_limit.FIRST
        with limit.over("a", 1.0):
            time.sleep(0.05)
        assert limit.of(1.0) == time_limit.LEAST
        assert limit.of(1000.0) == pytest.approx(50 * 1000 * limit._slowest)
        assert 0.05 <= limit._slowest < 10  # seconds for each of audio, on a busy machine

    def test_the_user_may_say_it(self, monkeypatch):
        for text, seconds in (("7", 7.0), (" 1e3 ", 1000.0), ("0", float("inf")), ("", time_limit.FIRST)):
            monkeypatch.setenv(VARIABLE, text)
            assert TimeLimit("x").of(3.0) == seconds
        for text in ("soon", "-1", "nan"):
            monkeypatch.setenv(VARIABLE, text)
            with pytest.raises(UserError, match=f"{VARIABLE} is '{text}'"):
                TimeLimit("x")


MINE = """
import os, signal, time
import numpy as np
from benchmark import Encoder
from benchmark.encoders import time_limit
time_limit.GRACE = 1.0


class Mine(Encoder):
    name, version, sample_rate, dim, arrays = "mine", "1", 8000, 2, "numpy"
    window_seconds, minimum_seconds = 1.0, 0.1
    not_in_fingerprint = ("calls",)
    calls = 0

    def embed(self, waveforms):
        self.calls += 1
        if self.calls > 8 and os.path.exists({marked!r}):
            {hang}
        return np.stack([np.abs(waveforms).mean((1, 2)), waveforms.std((1, 2))], axis=1)
"""

HANGS = {
    "in Python": ("while True: pass", "It was interrupted"),
    "asleep": ("time.sleep(1e6)", "It was interrupted"),
    "deaf to signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}); time.sleep(1e6)",
        "It does not react to an interruption, so this process ends",
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kind", HANGS)
def test_a_run_ends_with_what_is_finished_and_goes_on(make_task, tmp_path, kind):
    (hang, said), marked = HANGS[kind], tmp_path / "hang"
    marked.touch()
    (tmp_path / "mine.py").write_text(MINE.format(hang=hang, marked=str(marked)))
    command = [
        sys.executable, "-m", "benchmark", "embed", "-e", str(tmp_path / "mine.py"), "-t", str(make_task(per_class=10)),
        "--home", str(tmp_path / "home"), "--workers", "0", "--batch-size", "1",
    ]  # fmt: skip
    environment = {**os.environ, VARIABLE: "1.5"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 2, done.stderr
    assert "the encoder 'mine' did not answer within 2 s on the track 't0" in done.stderr
    assert f"{said}" in done.stderr
    assert "finished tracks are kept" in done.stderr
    assert "Traceback" not in done.stderr
    marked.unlink()
    again = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    found = re.search(r"mine: 30 embeddings, (\d+) of them new", again.stdout)
    assert 0 < int(found[1]) < 30


def test_a_fit_that_hangs_is_interrupted_and_one_that_goes_on_is_not(monkeypatch, short):
    monkeypatch.setattr(time_limit, "FITTING", 0.6)
    with time_limit.fit_in_time("mine") as note_progress:
        for _ in range(12):
            time.sleep(0.1)
            note_progress()
    with pytest.raises(HungError) as caught, time_limit.fit_in_time("mine"):
        time.sleep(30)
    assert str(caught.value) == (
        "fit() of the encoder 'mine' took no window for 1 s and did not come back. It was interrupted. Does it hang? "
        f"Where it only takes long, say so with {VARIABLE}=SECONDS (0: no limit)."
    )


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not say what a process moves")
def test_an_opening_that_hangs_is_interrupted_and_one_that_reads_is_not(monkeypatch, short, tmp_path):
    monkeypatch.setattr(time_limit, "OPENING", 0.6)
    with time_limit.open_in_time("mine"):
        for _ in range(12):  # a download that is slow
            time.sleep(0.1)
            (tmp_path / "weights").write_bytes(bytes(2 * time_limit.MOVED))
    said = "'mine' continued for 1 s without reading or writing. It was interrupted. Does it hang"
    with pytest.raises(HungError, match=said), time_limit.open_in_time("mine"):
        time.sleep(30)


def test_what_the_user_says_makes_these_longer_and_never_shorter(monkeypatch):
    monkeypatch.setattr(time_limit, "OPENING", 100.0)
    for text, seconds in (("7", 100.0), ("700", 700.0), ("0", float("inf"))):
        monkeypatch.setenv(VARIABLE, text)
        assert time_limit._at_least(time_limit.OPENING) == seconds


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not say what a process moves")
def test_a_file_that_hangs_while_it_is_loaded(monkeypatch, short, tmp_path):
    monkeypatch.setattr(time_limit, "OPENING", 0.6)
    (tmp_path / "mine.py").write_text("import time\nwhile True:\n    time.sleep(0.01)\n")
    with pytest.raises(HungError, match=r"opening the encoder '.*mine\.py'"):
        resolve_one(str(tmp_path / "mine.py"))
