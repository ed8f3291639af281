"""Every rule is broken by an encoder of its own, and sound ones pass."""

import re

import numpy as np
import pytest
import torch

from benchmark.audio.windows import WindowRule
from benchmark.embeddings import precheck
from benchmark.embeddings.precheck import check_before
from benchmark.embeddings.space import space_of
from benchmark.encoders.base import Encoder
from benchmark.encoders.check import check as checks
from benchmark.encoders.check import subject
from benchmark.encoders.check.check import check, measure_speed
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.windowing import window_rule
from benchmark.errors import UserError
from benchmark.jobs import runner
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.system.progress import Silent
from tasks import registry

RATE = 2000


class Levels(Encoder):
    """Levels of 4 quarters of a window: a sound encoder."""

    name, sample_rate, dim, arrays = "levels", RATE, 4, "numpy"
    window_seconds, hop_seconds, minimum_seconds = 1.0, 0.5, 0.1

    def embed(self, waveforms):
        quarters = np.array_split(waveforms.mean(1), 4, axis=1)
        return np.stack([np.sqrt(np.square(part).mean(1)) for part in quarters], axis=1)


class Net(Encoder):
    """A sound encoder with a network."""

    name, sample_rate, dim, window_seconds, minimum_seconds = "net", RATE, 8, 1.0, 0.2

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Conv1d(1, 8, 64, 16), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Dropout(0.5)
        )

    def embed(self, waveforms):
        return self.net(waveforms).mean(2)


class Layered(Levels):
    """Returns as many layers as it says."""

    name, layers, returned = "layered", ("a", "b", "c"), 3

    def embed(self, waveforms):
        return np.stack([super().embed(waveforms)] * self.returned, axis=1)


def failing(encoder, **options) -> dict[str, str]:
    return {finding.rule: finding.numbers for finding in check(encoder, **options).failures}


@pytest.mark.parametrize("encoder", [Levels, Net, Layered])
def test_sound_encoders_keep_every_rule(encoder):
    found = check(encoder())
    assert found.failures == ()
    assert {finding.rule for finding in found.findings} == {
        "declarations", "shape", "dtype", "layers", "no graph", "inputs matter", "deterministic", "batch", "order",
        "finite", "shortest input", "longest input", "other lengths", "eval mode", "fingerprint",
    }  # fmt: skip
    assert found.speed.per_second > 0


@pytest.mark.parametrize("name", ["logmel", "mfcc", "chroma"])
def test_built_in_encoders_keep_every_rule(name):
    assert failing(resolve_one(name)) == {}


class Random(Levels):
    def embed(self, waveforms):
        rows = super().embed(waveforms)
        return rows + 1e-3 * np.random.default_rng().normal(size=rows.shape)


class OfTheBatch(Levels):
    def embed(self, waveforms):
        rows = super().embed(waveforms)
        return rows - rows.mean(0) * 0.01


class Sorted(Levels):
    def embed(self, waveforms):
        rows = super().embed(waveforms)
        return rows[np.argsort(rows[:, 0])]


class Deaf(Levels):
    def embed(self, waveforms):
        return np.tile(np.arange(4.0), (len(waveforms), 1))


class Logarithm(Levels):
    def embed(self, waveforms):
        with np.errstate(divide="ignore"):
            return np.log(super().embed(waveforms))


class NeedsMore(Levels):
    def embed(self, waveforms):
        if waveforms.shape[2] < RATE // 2:
            raise IndexError("too few frames")
        return super().embed(waveforms)


class ShortMemory(Levels):
    window_seconds = None

    def embed(self, waveforms):
        if waveforms.shape[2] > 20 * RATE:
            raise RuntimeError("positions run out")
        return super().embed(waveforms)


class Trains(Net):
    def embed(self, waveforms):
        self.net.train()
        return super().embed(waveforms)


class Grows(Levels):
    def embed(self, waveforms):
        self.calls = getattr(self, "calls", 0) + 1
        return super().embed(waveforms)


class Graph(Net):
    def embed(self, waveforms):
        with torch.enable_grad():
            return super().embed(waveforms)


class FewerLayers(Layered):
    returned = 2


class Wide(Levels):
    def embed(self, waveforms):
        return np.tile(super().embed(waveforms), 2)


class OneByOne(Levels):
    def embed(self, waveforms):
        return super().embed(waveforms[:1])


class Ints(Levels):
    def embed(self, waveforms):
        return (1000 * super().embed(waveforms)).astype(int)


class Raises(Levels):
    def embed(self, waveforms):
        raise KeyError("weights")


class Undeclared(Levels):
    dim = 0


class Unhashable(Levels):
    def __init__(self) -> None:
        self.thing = object()


BREAKERS = [
    (Random, "deterministic", r"relative difference 0.0\d+, at most 0.0001 allowed"),
    (OfTheBatch, "batch", r"alone and in a batch of 4"),
    (Sorted, "order", r"relative difference"),
    (Deaf, "inputs matter", r"differ by 0 at least"),
    (Logarithm, "finite", r"4 of 4 not finite on silence"),
    (NeedsMore, "shortest input", r"on 0.1 s it raised IndexError: too few frames"),
    (ShortMemory, "longest input", r"on 30 s it raised RuntimeError: positions run out"),
    (Trains, "eval mode", r"5 of 5 modules in training mode: Sequential, Conv1d"),
    (Grows, "fingerprint", r"load weights in __init__"),
    (Graph, "no graph", r"carries a graph"),
    (FewerLayers, "layers", r"returned shape \[4, 2, 4\] where \[4, 3, 4\]"),
    (Wide, "shape", r"returned shape \[4, 8\] where \[4, 4\]"),
    (OneByOne, "shape", r"returned shape \[1, 4\] where \[4, 4\]"),
    (Ints, "dtype", r"returned int64, not floats"),
    (Raises, "runs", r"on 4 inputs of 1 s it raised KeyError: 'weights'"),
    (Undeclared, "declarations", r"dim = 0"),
    (Unhashable, "declarations", r"cannot tell when"),
]


@pytest.mark.parametrize(("breaker", "rule", "numbers"), BREAKERS, ids=[cls.__name__ for cls, _, _ in BREAKERS])
def test_a_broken_rule_is_found_with_its_numbers(breaker, rule, numbers):
    found = failing(breaker())
    assert rule in found, found
    assert re.search(numbers, found[rule])


@pytest.mark.parametrize(
    "breaker", [OfTheBatch, Logarithm, NeedsMore, ShortMemory, Grows], ids=lambda cls: cls.__name__
)
def test_other_rules_are_not_blamed(breaker):
    assert len(failing(breaker())) == 1


def test_doubles_and_halves_pass_with_a_word():
    class Half(Levels):
        def embed(self, waveforms):
            return super().embed(waveforms).astype(np.float16)

    found = check(Half())
    assert found.failures == ()
    assert any("float16" in finding.numbers for finding in found.findings)


def test_stereo_and_whole_tracks():
    class Stereo(Levels):
        channels, window_seconds = 2, None

        def embed(self, waveforms):
            assert waveforms.shape[1] == 2
            return super().embed(waveforms)

    found = {finding.rule: finding.numbers for finding in check(Stereo()).findings}
    assert "whole tracks" in found["declarations"]
    assert found["longest input"] == "30 s"


def test_a_maximum_is_the_longest_input():
    class Capped(ShortMemory):
        maximum_seconds = 20.0

    assert failing(Capped()) == {}
    assert {f.rule: f.numbers for f in check(Capped()).findings}["longest input"] == "20 s"


def test_no_declared_minimum_is_said():
    class Any(ShortMemory):
        minimum_seconds, maximum_seconds = None, 10.0

        def embed(self, waveforms):
            assert waveforms.shape[2] > RATE // 5, "short"
            return super().embed(waveforms)

    assert "on 0.1 s (no minimum_seconds is declared) it raised AssertionError" in failing(Any())["shortest input"]


def test_the_windows_of_a_task_are_tried():
    lengths = set()

    class Curious(Levels):
        def embed(self, waveforms):
            lengths.add(waveforms.shape[2])
            return super().embed(waveforms)

    check(Curious(), windows=WindowRule(500, 500, 400, "repeat"))
    assert lengths == {500, 400}


def test_a_slow_encoder_is_given_less(monkeypatch):
    monkeypatch.setattr(checks, "PATIENCE", 0.0)
    found = check(ShortMemory())
    assert found.failures == ()
    longest = {finding.rule: finding.numbers for finding in found.findings}["longest input"]
    assert longest.startswith("3 s (not 30 s: that would take long)")
    assert (found.speed.batch, found.speed.window_seconds) == (1, 3.0)


def test_another_device_is_compared_with_the_cpu():
    class Elsewhere(Levels):
        device, not_in_fingerprint = "cpu", ("device",)
        error = 0.0

        def to(self, device):
            self.device = device

        def embed(self, waveforms):
            return super().embed(waveforms) * (1.0 if self.device == "cpu" else 1 + self.error)

    class Wrong(Elsewhere):
        error = 0.1

    assert failing(Elsewhere(), device="meta") == {}
    wrong = Wrong()
    assert "meta and cpu" in failing(wrong, device="meta")["device"]
    assert wrong.device == "meta"


def test_what_it_prints_goes_to_stderr(capfd):
    class Chatty(Levels):
        def embed(self, waveforms):
            print("hello")
            return super().embed(waveforms)

    check(Chatty())
    out, err = capfd.readouterr()
    assert out == ""
    assert "hello" in err


class TestBefore:
    def test_only_many_tracks_are_worth_it(self):
        encoder = Random()
        space = space_of(encoder, None, None)
        check_before(encoder, space, precheck.CHECKED_ABOVE, "cpu")
        with pytest.raises(UserError) as caught:
            check_before(encoder, space, 4812, "cpu")
        message = str(caught.value)
        assert "breaks 4 of 15 rules, so none of 4,812 tracks was embedded" in message
        assert "\n  deterministic: relative difference" in message

    def test_a_sound_encoder_passes(self):
        said = []
        check_before(Levels(), space_of(Levels(), None, None), 4812, "cpu", said.append)
        assert said == []

    def test_what_there_was_no_time_for_is_said_in_one_line(self, clock):
        said, encoder = [], clock(pace=1.0)
        check_before(encoder, space_of(encoder, None, None), 4812, "cpu", said.append)
        assert said == [
            "Checked levels for about 10 s, in which there was no time for: finite, shortest input, other "
            "lengths. 'bench encoders check' takes the time for every rule"
        ]
        check_before(encoder, space_of(encoder, None, None), 4812, "cpu")

    def test_a_run_passes_it_on(self, bands, make_task, tmp_path, monkeypatch):
        monkeypatch.setattr(precheck, "CHECKED_ABOVE", 0)
        monkeypatch.setattr(precheck, "CHECK_SECONDS", 0.0)
        said, options = [], Options(home=tmp_path / "home", results=tmp_path / "results", workers=0)
        report = Silent()
        report.say = said.append
        asked = runner.prepare(registry.find(str(make_task())), options, report)
        runner.embed(plan_jobs([bands], asked, options), options, report)
        assert [
            line for line in said if line.startswith("Checked bands for about 0 s, in which there was no time for: ")
        ]

    def test_what_was_found_in_time_stops_it(self, clock):
        encoder = clock(pace=1.0, base=Random)
        with pytest.raises(UserError, match="breaks 3 of 12 rules"):
            check_before(encoder, space_of(encoder, None, None), 4812, "cpu")


@pytest.fixture
def clock(monkeypatch):
    """Make encoders that take ``pace`` seconds for a second of audio, and ``late`` more the first time."""
    now = [0.0]
    monkeypatch.setattr(subject, "perf_counter", lambda: now[0])

    def make(pace, late=0.0, base=Levels):
        class Slow(base):
            not_in_fingerprint = ("heard",)

            def __init__(self):
                self.heard = []

            def embed(self, waveforms):
                now[0] += len(waveforms) * waveforms.shape[2] / RATE * pace + (0 if self.heard else late)
                self.heard.append(len(waveforms))
                return super().embed(waveforms)

            def clock(self):
                return now[0]

        return Slow()

    return make


class TestLimit:
    ALL = 15

    def test_a_fast_one_is_held_to_every_rule(self, clock):
        found = check(clock(pace=0.01), seconds=10.0)
        assert (len(found.findings), found.failures, found.left_out) == (self.ALL, (), ())
        assert found.speed is None

    def test_one_that_only_begins_slowly_is_so_too(self, clock):
        encoder = clock(pace=0.01, late=8.0)
        assert check(encoder, seconds=10.0).left_out == ()
        assert encoder.heard[:3] == [1, 1, 4]

    def test_a_slow_one_gets_smaller_batches_and_fewer_rules(self, clock):
        encoder = clock(pace=1.0)
        found = check(encoder, seconds=10.0)
        assert encoder.heard == [1, 1, 2, 2, 1, 1, 2]
        assert found.left_out == ("finite", "shortest input", "other lengths")
        assert len(found.findings) == self.ALL - 3
        assert found.failures == ()
        assert encoder.clock() == 10.0

    def test_what_is_cheap_is_tried_after_what_is_not(self, clock):
        encoder = clock(pace=1.0)
        assert check(encoder, seconds=10.2).left_out == ("finite", "other lengths")
        assert encoder.clock() == pytest.approx(10.1)

    @pytest.mark.parametrize(("pace", "calls"), [(7.0, 2), (20.0, 1)])
    def test_a_very_slow_one_is_called_once_or_twice(self, clock, pace, calls):
        encoder = clock(pace)
        found = check(encoder, seconds=10.0)
        assert encoder.heard == [1] * calls
        assert found.left_out == (
            "inputs matter", "deterministic", "batch", "order", "finite", "shortest input", "other lengths",
            "fingerprint",
        )  # fmt: skip
        assert {finding.rule for finding in found.findings} == {
            "declarations", "shape", "dtype", "layers", "no graph", "longest input", "eval mode"
        }  # fmt: skip

    def test_one_that_breaks_at_the_first_call_is_named_with_it(self, clock):
        found = check(clock(pace=1.0, base=Raises), seconds=10.0)
        assert found.failures[0].numbers == "on 1 input of 1 s it raised KeyError: 'weights'"

    def test_the_cpu_is_left_out_where_it_would_take_long(self, clock):
        class Elsewhere(Levels):
            def to(self, device):
                pass

        assert check(clock(0.01, base=Elsewhere), "meta", seconds=10.0).left_out == ()
        assert check(clock(0.05, base=Elsewhere), "meta", seconds=10.0).left_out == ("device",)

    def test_without_a_limit_nothing_is_left_out(self, clock):
        encoder = clock(pace=100.0)
        found = check(encoder)
        assert (len(found.findings), found.left_out) == (self.ALL, ())
        assert encoder.heard[0] == 4


class TestSpeed:
    def test_of_one_that_runs_and_one_that_does_not(self):
        speed = measure_speed(Levels(), "cpu", window_rule(Levels(), None, None), 16, 10.0)
        assert (speed.batch, speed.window_seconds) == (16, 1.0)
        assert measure_speed(Raises(), "cpu", window_rule(Raises(), None, None), 16, 10.0) is None

    def test_of_one_that_takes_too_long(self):
        assert measure_speed(Levels(), "cpu", window_rule(Levels(), None, None), 16, 0.0) is None


class TestOtherLengths:
    def test_what_an_input_of_another_length_leaves_behind_is_found(self):
        class Remembers(Levels):
            """Brings every input to the longest that it has seen."""

            name, longest = "remembers", 0
            not_in_fingerprint = (*Levels.not_in_fingerprint, "longest")
            window_seconds = None

            def embed(self, waveforms):
                self.longest = max(self.longest, waveforms.shape[2])
                missing = self.longest - waveforms.shape[2]
                return super().embed(np.pad(waveforms, ((0, 0), (0, 0), (0, missing))))

        broken = failing(Remembers())
        assert set(broken) == {"other lengths"}
        assert "(behind inputs of 0.1 s and 30 s)" in broken["other lengths"]
        assert "at most 0.0001 allowed" in broken["other lengths"]

    def test_one_that_takes_one_length_is_asked_again_too(self):
        class Fixed(Levels):
            minimum_seconds = None

        (finding,) = [finding for finding in check(Fixed()).findings if finding.rule == "other lengths"]
        assert finding.passed
        assert "behind silence, noise and clicks: it takes one length" in finding.numbers
