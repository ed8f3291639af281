import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soundfile import read

from benchmark.audio import resampling
from benchmark.audio.resampling import kaiser_best, swresample

#: 400 integers that fill the spectrum; the numbers below were computed from them by resampy 0.4.3 and FFmpeg 9.0.
LEVELS = np.array([(i * i * 7 + i * 131) % 2001 - 1000 for i in range(400)])
PLACES = [0, 1, 2, 40, 77, 100, -3, -2, -1]


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)


def slow_kaiser_best(samples, rate, target):
    """One tap after the other, in float64: the table of a wing, read by linear interpolation, twice a sample."""
    scale, entries = min(1.0, target / rate), 50 * 8192

    def table(entry):
        if entry > entries:
            return 0.0
        window = np.i0(12.984585247040 * math.sqrt(1 - (entry / entries) ** 2)) / np.i0(12.984585247040)
        return scale * 0.9173473712608761 * window * np.sinc(0.9173473712608761 * entry / 8192)

    stride = int(scale * 8192)
    filled = len(samples) * target // rate
    resampled = np.zeros(math.ceil(len(samples) * target / rate))
    for t in range(filled):
        left, remainder = divmod(t * rate, target)
        for first, position, step in ((remainder / target, left, -1), (1 - remainder / target, left + 1, 1)):
            offset = int(scale * first * 8192)
            share = scale * first * 8192 - offset
            for tap in range((entries + 1 - offset) // stride):
                if 0 <= position + step * tap < len(samples):
                    entry = offset + tap * stride
                    after = table(entry + 1) if entry < entries else table(entry)
                    weight = (1 - share) * table(entry) + share * after
                    resampled[t] += weight * samples[position + step * tap]
    return resampled


def slow_swresample(samples, rate, target):
    """One tap after the other, in float64; mirrored about the first sample, and behind the last."""
    cutoff = min(0.97 * target / rate, 1)
    count = math.ceil(32 / cutoff)

    def at(position):
        while not 0 <= position < len(samples):
            position = -position if position < 0 else 2 * len(samples) - 1 - position
        return float(samples[position])

    resampled = np.zeros(math.ceil(len(samples) * target / rate))
    for t in range(len(resampled)):
        left, remainder = divmod(t * rate, target)
        total = 0.0
        for tap in range(count):
            distance = tap - (count - 1) // 2 - remainder / target
            weight = np.sinc(cutoff * distance) * np.i0(9 * math.sqrt(max(0, 1 - (2 * distance / count) ** 2)))
            resampled[t] += weight * at(left + tap - (count - 1) // 2)
            total += weight
        resampled[t] /= total
    return resampled


class TestKaiserBest:
    @pytest.mark.parametrize(
        ("rate", "target", "length", "expected"),
        [
            (44100, 16000, 146, [-0.5590804, -0.7610789, 0.0823477, 0.0085774, -0.4652186, 0.0918299, 0.0081328, -0.1475897, 0]),  # noqa: E501
            (16000, 44100, 1103, [-0.931411, -1.0773109, -1.0442289, 0.1937991, 0.3253984, 0.4936199, -0.7761921, -0.527739, 0]),  # noqa: E501
            (48000, 16000, 134, [-0.5059466, -0.7998553, 0.3460669, -0.8133839, 0.0142065, -0.1410909, -0.0507052, -0.070337, 0]),  # noqa: E501
        ],
    )  # fmt: skip
    def test_equals_resampy_and_appends_a_zero(self, rate, target, length, expected):
        resampled = kaiser_best((LEVELS / 1000).astype(np.float32), rate, target)
        assert resampled.dtype == np.float32
        assert len(resampled) == length
        assert resampled[PLACES] == pytest.approx(expected, abs=1e-6)
        assert resampled[-1] == 0

    @pytest.mark.parametrize("name", ["b_3.0s_44k_mono", "c_11.3s_44k_stereo", "e_85s_44k_mono", "g_1.5s_44k_mono"])
    def test_equals_the_published_pipeline(self, reference_data, name):
        folder = reference_data / "golden" / "mule"
        levels, rate = read(folder / f"{name}.wav", dtype="int16", always_2d=True)
        with np.load(folder / "pipeline.npz") as golden:
            expected = golden[f"{name[0]}_wav16k"]
        resampled = kaiser_best((levels.sum(axis=1, dtype=np.int32) / 65536).astype(np.float32), rate, 16000)
        assert resampled.shape == expected.shape
        assert np.abs(resampled - expected).max() < 6e-7

    @pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (3, 2), (2, 3), (5, 1), (147, 160)])
    @pytest.mark.parametrize("samples", [1, 2, 3, 55])
    def test_agrees_with_a_slow_loop(self, rate, target, samples):
        x = noise(samples)
        assert kaiser_best(x, rate, target) == pytest.approx(slow_kaiser_best(x, rate, target), abs=1e-6)

    def test_ends_on_a_whole_sample(self):
        assert len(kaiser_best(noise(441 * 3), 44100, 16000)) == 480
        assert kaiser_best(np.ones(441 * 3, np.float32), 44100, 16000)[-1] != 0

    @given(st.integers(0, 2000), st.integers(1, 60), st.integers(1, 60))
    @settings(deadline=None, max_examples=60)
    def test_length_and_linearity(self, samples, rate, target):
        x, y = noise(samples), noise(samples)[::-1]
        resampled = kaiser_best(x, rate, target)
        assert len(resampled) == -(-samples * target // rate)
        total = kaiser_best(x + 2 * y, rate, target)
        assert total == pytest.approx(resampled + 2 * kaiser_best(y, rate, target), abs=1e-5)

    def test_keeps_what_fits_and_removes_what_does_not(self):
        time = np.arange(44100) / 44100
        for hz, kept in ((1000, 1.0), (6000, 1.0), (9000, 0.0)):
            resampled = kaiser_best(np.sin(2 * np.pi * hz * time).astype(np.float32), 44100, 16000)
            expected = kept * np.sin(2 * np.pi * hz * np.arange(16000) / 16000)
            assert resampled[200:-200] == pytest.approx(expected[200:-200], abs=2e-3)

    def test_far_away_samples_do_not_matter(self):
        long = noise(441 * 60)
        short = kaiser_best(long[441 * 20 : 441 * 40], 44100, 16000)
        assert short[160:-160] == pytest.approx(kaiser_best(long, 44100, 16000)[160 * 21 : 160 * 39], abs=1e-6)


class TestSwresample:
    @pytest.mark.parametrize(
        ("rate", "length", "expected"),
        [
            (16000, 1103, [-30000, -29222, -27376, 6420, 3147, 11985, -28164, -30266, -28947]),
            (22050, 800, [-30000, -28597, -25860, 12540, 20832, -28860, -21644, -27210, -30294]),
            (48000, 368, [-29857, -25509, -20370, -574, -24058, 20125, -10910, -22809, -28013]),
        ],
    )
    def test_equals_ffmpeg_within_a_step(self, rate, length, expected):
        resampled = swresample((LEVELS * 30 / 32768).astype(np.float32), rate, 44100) * 32768
        assert resampled.dtype == np.float32
        assert len(resampled) == length
        assert np.abs(resampled[PLACES] - expected).max() <= 1.0

    @pytest.mark.parametrize(("rate", "target"), [(16000, 44100), (2, 3), (3, 2), (5, 1)])
    @pytest.mark.parametrize("samples", [100, 101, 104])
    def test_agrees_with_a_slow_loop(self, rate, target, samples):
        x = noise(samples)
        assert swresample(x, rate, target) == pytest.approx(slow_swresample(x, rate, target), abs=1e-6)

    @given(st.integers(0, 500), st.integers(1, 60), st.integers(1, 60))
    @settings(deadline=None, max_examples=60)
    def test_keeps_a_constant(self, samples, rate, target):
        resampled = swresample(np.full(samples, 0.25, np.float32), rate, target)
        assert len(resampled) == -(-samples * target // rate)
        assert resampled == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("resample", [kaiser_best, swresample])
class TestBoth:
    def test_one_rate_is_a_copy(self, resample):
        x = noise(5)
        same = resample(x, 8000, 8000)
        assert np.array_equal(same, x)
        assert not np.shares_memory(same, x)

    def test_takes_strided_input(self, resample):
        x = noise(2000)
        assert np.array_equal(resample(x[::2], 3, 2), resample(x[::2].copy(), 3, 2))

    def test_refuses_what_it_cannot_resample(self, resample):
        with pytest.raises(ValueError, match="one channel"):
            resample(np.zeros((3, 1), np.float32), 3, 2)
        with pytest.raises(ValueError, match="from 0 Hz"):
            resample(noise(3), 0, 2)


def test_a_filter_that_the_table_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="too coarse"):
        resampling.kaiser_best_filter(10_000, 1)
