"""Windows: all of a track is heard, nothing twice, nothing padded that need not be."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.audio.windows import TooShortError, WindowRule, cut, lengthen, window_starts
from benchmark.encoders.base import Encoder
from benchmark.encoders.windowing import window_rule
from benchmark.errors import UserError


class Example(Encoder):
    name, sample_rate, dim = "example", 1000, 4

    def __init__(self, **declared) -> None:
        vars(self).update(declared)


def track(samples: int, channels: int = 1) -> np.ndarray:
    """Return [channels, samples] in which every sample has its own value."""
    return np.arange(channels * samples, dtype=np.float32).reshape(channels, samples)


sizes = st.integers(1, 60)


class TestStarts:
    @given(window=sizes, hop=sizes, more=st.integers(0, 300))
    def test_first_at_zero_last_at_the_end_and_none_twice(self, window, hop, more):
        starts = window_starts(window + more, window, hop)
        assert starts[0] == 0
        assert all(a < b for a, b in pairwise(starts))
        last_whole = starts[-1] + window
        assert last_whole == window + more
        assert all(start == i * hop for i, start in enumerate(starts[:-1]))

    @given(window=sizes, hop=sizes, more=st.integers(0, 300))
    def test_every_sample_is_covered_when_hops_are_no_longer_than_windows(self, window, hop, more):
        hop = min(hop, window)
        covered = np.zeros(window + more, bool)
        for start in window_starts(window + more, window, hop):
            covered[start : start + window] = True
        assert covered.all()

    @given(window=sizes, hop=sizes, more=st.integers(0, 300))
    def test_there_is_no_window_more_than_needed(self, window, hop, more):
        assert len(window_starts(window + more, window, hop)) == 1 + -(-more // hop)

    @pytest.mark.parametrize(
        ("samples", "starts"),
        [(30, [0]), (31, [0, 1]), (49, [0, 19]), (50, [0, 20]), (51, [0, 20, 21]), (70, [0, 20, 40])],
    )
    def test_examples(self, samples, starts):
        assert window_starts(samples, 30, 20) == starts


class TestCut:
    @given(
        samples=st.integers(1, 300),
        window=sizes,
        hop=sizes,
        minimum=sizes,
        padding=st.sampled_from(["repeat", "zero"]),
        channels=st.integers(1, 2),
    )
    def test_all_windows_are_equally_long_and_the_last_ends_at_the_end(
        self, samples, window, hop, minimum, padding, channels
    ):
        rule = WindowRule(window, hop, min(minimum, window), padding)
        audio = track(samples, channels)
        windows = cut(audio, rule)
        length = max(min(samples, window), rule.minimum)
        assert {piece.shape for piece in windows} == {(channels, length)}
        np.testing.assert_array_equal(windows[0][:, : min(length, samples)], audio[:, :length])
        if samples >= window:
            np.testing.assert_array_equal(windows[-1], audio[:, -length:])
            assert len({piece.tobytes() for piece in windows}) == len(windows)
        else:
            assert len(windows) == 1

    def test_windows_are_views(self):
        audio = track(100)
        assert all(np.shares_memory(piece, audio) for piece in cut(audio, WindowRule(30, 20, 30, "repeat")))

    def test_exactly_one_window(self):
        (piece,) = cut(track(30), WindowRule(30, 20, 30, "refuse"))
        np.testing.assert_array_equal(piece, track(30))

    def test_one_sample_more(self):
        first, second = cut(track(31), WindowRule(30, 20, 30, "refuse"))
        np.testing.assert_array_equal(first, track(31)[:, :30])
        np.testing.assert_array_equal(second, track(31)[:, 1:])

    def test_one_sample_less_is_padded_or_refused(self):
        (repeated,) = cut(track(29), WindowRule(30, 20, 30, "repeat"))
        np.testing.assert_array_equal(repeated[0], [*range(29), 0])
        (zeros,) = cut(track(29) + 1, WindowRule(30, 20, 30, "zero"))
        np.testing.assert_array_equal(zeros[0], [*range(1, 30), 0])
        with pytest.raises(TooShortError, match="29 samples, but the encoder takes at least 30"):
            cut(track(29), WindowRule(30, 20, 30, "refuse"))

    def test_between_minimum_and_window_a_track_is_taken_as_it_is(self):
        for padding in ("repeat", "zero", "refuse"):
            (piece,) = cut(track(20), WindowRule(30, 20, 10, padding))
            np.testing.assert_array_equal(piece, track(20))

    def test_a_whole_track_is_one_window(self):
        (piece,) = cut(track(1000), WindowRule(None, 0, 30, "refuse"))
        np.testing.assert_array_equal(piece, track(1000))
        assert cut(track(3), WindowRule(None, 0, 30, "repeat"))[0].shape == (1, 30)
        with pytest.raises(TooShortError):
            cut(track(3), WindowRule(None, 0, 30, "refuse"))


class TestLengthen:
    @given(samples=sizes, more=st.integers(0, 200), channels=st.integers(1, 2))
    def test_repeating_goes_round(self, samples, more, channels):
        audio = track(samples, channels)
        longer = lengthen(audio, samples + more, "repeat")
        np.testing.assert_array_equal(longer, audio[:, np.arange(samples + more) % samples])

    @given(samples=sizes, more=st.integers(0, 200), channels=st.integers(1, 2))
    def test_zeros_follow(self, samples, more, channels):
        audio = track(samples, channels) + 1
        longer = lengthen(audio, samples + more, "zero")
        np.testing.assert_array_equal(longer[:, :samples], audio)
        assert not longer[:, samples:].any()
        assert longer.shape == (channels, samples + more)


class TestRule:
    def test_an_encoders_own_window(self):
        assert window_rule(Example(), None, None) == WindowRule(3000, 2000, 3000, "repeat")
        assert window_rule(Example(hop_seconds=None), None, None) == WindowRule(3000, 3000, 3000, "repeat")
        assert window_rule(Example(minimum_seconds=0.5), None, None) == WindowRule(3000, 2000, 500, "repeat")
        assert window_rule(Example(padding="refuse"), None, None).padding == "refuse"

    def test_lengths_are_rounded_to_samples(self):
        rule = window_rule(Example(sample_rate=22050, window_seconds=2.68, hop_seconds=1 / 3), None, None)
        assert (rule.window, rule.hop) == (round(2.68 * 22050), 7350)

    def test_a_whole_track(self):
        assert window_rule(Example(window_seconds=None), None, None) == WindowRule(None, 0, 0, "repeat")
        whole = Example(window_seconds=None, minimum_seconds=1.0)
        assert window_rule(whole, None, None) == WindowRule(None, 0, 1000, "repeat")

    def test_a_whole_track_goes_no_further_than_the_maximum(self):
        rule = window_rule(Example(window_seconds=None, minimum_seconds=1.0, maximum_seconds=30.0), None, None)
        assert rule == WindowRule(30_000, 30_000, 1000, "repeat")
        assert [piece.shape[1] for piece in cut(track(12_345), rule)] == [12_345]
        assert [piece.shape[1] for piece in cut(track(70_000), rule)] == [30_000] * 3

    def test_a_task_may_bring_its_own_window(self):
        free = Example(minimum_seconds=0.5, maximum_seconds=10.0)
        assert window_rule(free, 5.0, 2.5) == WindowRule(5000, 2500, 500, "repeat")
        assert window_rule(free, 5.0, None) == WindowRule(5000, 5000, 500, "repeat")
        for edge in (0.5, 10.0):
            assert window_rule(free, edge, None).window == edge * 1000
        assert window_rule(Example(window_seconds=None), 5.0, None) == WindowRule(5000, 5000, 5000, "repeat")
        assert window_rule(Example(), 4.0, 1.0) == WindowRule(4000, 1000, 4000, "repeat")

    @pytest.mark.parametrize(
        ("declared", "window", "span"),
        [
            ({"minimum_seconds": 0.5}, 0.4, "0.5 to inf s"),
            ({"minimum_seconds": 0.5, "maximum_seconds": 10.0}, 10.5, "0.5 to 10 s"),
            ({}, 2.9, "3 to inf s"),
            ({"maximum_seconds": 3.0}, 5.0, "3 to 3 s"),
            ({"window_seconds": None, "maximum_seconds": 5.0}, 6.0, "0 to 5 s"),
        ],
    )
    def test_a_tasks_window_outside_the_encoders_range_is_refused(self, declared, window, span):
        with pytest.raises(UserError, match=f"windows of {window:g} s, but the encoder 'example' takes {span}"):
            window_rule(Example(**declared), window, None)

    @pytest.mark.parametrize(
        "declared", [{"window_seconds": 0.0001}, {"hop_seconds": 0.0001}, {"window_seconds": 0}, {"hop_seconds": 0}]
    )
    def test_less_than_a_sample_is_refused(self, declared):
        with pytest.raises(UserError, match="at least one sample"):
            window_rule(Example(**declared), None, None)

    @pytest.mark.parametrize(
        "declared",
        [
            {"maximum_seconds": 2.0},
            {"minimum_seconds": 4.0},
            {"window_seconds": None, "minimum_seconds": 4.0, "maximum_seconds": 2.0},
        ],
    )
    def test_a_window_outside_the_encoders_own_range_is_refused(self, declared):
        with pytest.raises(UserError, match="declares a window of"):
            window_rule(Example(**declared), None, None)
