import math
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.audio import mule_waveform as decoding_rules
from benchmark.audio.mule_waveform import mule_waveform
from benchmark.encoders.published.mule import frontend
from benchmark.encoders.published.mule.frontend import (
    lengthened,
    log_mel,
    slice_starts,
    slices_for_window,
    standardised,
    track_inputs,
    track_slices,
    window_inputs,
)

FILES = {
    "b": "b_3.0s_44k_mono.wav",
    "c": "c_11.3s_44k_stereo.wav",
    "d": "d_4.0s_16k_mono.wav",
    "e": "e_85s_44k_mono.wav",
    "f": "f_2.5s_44k_mono.wav",
    "g": "g_1.5s_44k_mono.wav",
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def music(samples: int, seed: int = 0, gain: float = 0.3) -> np.ndarray:
    """Return float32 [samples]: a loud chord over faint noise, so that quiet bands lie beside loud ones."""
    time = np.arange(samples) / 16000
    chord = sum(np.sin(2 * np.pi * hz * time + seed) for hz in (110, 440, 1245.5)) / 3
    return (gain * chord + 1e-4 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def slow_log_mel(x: np.ndarray) -> np.ndarray:
    """Return [96, T] from the definition, in float64: padding 1024, 2048 points, one frame and one filter at a time."""
    padded = np.pad(np.asarray(x, np.float64), 1024, mode="reflect")
    window = np.zeros(2048)
    for i in range(400):
        window[824 + i] = 0.5 - 0.5 * math.cos(2 * math.pi * i / 400)
    top = 2595 * math.log10(1 + 8000 / 700)
    edges = [700 * (10 ** (i * top / 97 / 2595) - 1) for i in range(98)]
    filters = np.zeros((96, 1025))
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k in range(1025):
            hz = k * 7.8125
            filters[band, k] = max(0, min((hz - low) / (middle - low), (high - hz) / (high - middle)))
        filters[band] /= math.sqrt((filters[band] ** 2).sum())
    frames = [padded[t : t + 2048] * window for t in range(0, len(x) + 1, 160)]
    return np.stack([np.log10(1e4 * (filters @ np.abs(np.fft.rfft(frame)) ** 2) + 1) for frame in frames], axis=1)


def slow_starts(frames: int) -> list[int]:
    """Walk through the chunks, as the published pipeline is said to do."""
    starts = []
    for begin in range(0, frames, 8000):
        end = min(begin + 8000, frames)
        for centre in range(begin - begin % 200, end, 200):
            if begin < centre < end:
                clamped = min(max(centre, 150), frames - 150)
                starts.append(clamped - 150)
    return starts


def golden(reference_data, key: str) -> np.ndarray:
    with np.load(reference_data / "golden" / "mule" / "pipeline.npz") as arrays:
        return arrays[key]


def golden_file(reference_data, key: str) -> tuple[np.ndarray, int]:
    return soundfile.read(reference_data / "golden" / "mule" / FILES[key], dtype="float32", always_2d=True)


class TestMuleWaveform:
    @pytest.mark.parametrize(
        ("key", "tolerance"), [("b", 6e-7), ("c", 6e-7), ("d", 3e-5), ("e", 6e-7), ("f", 6e-7), ("g", 6e-7)]
    )
    def test_equals_the_published_pipeline(self, reference_data, key, tolerance):
        waveform, expected = mule_waveform(*golden_file(reference_data, key)), golden(reference_data, f"{key}_wav16k")
        assert waveform.dtype == np.float32
        assert waveform.shape == expected.shape
        assert np.abs(waveform - expected).max() < tolerance

    def test_channels_are_summed_so_that_mono_is_half_as_loud(self):
        mono = mule_waveform(music(4410)[:, None], 44100)
        stereo = mule_waveform(np.stack([music(4410)] * 2, axis=1), 44100)
        assert stereo == pytest.approx(2 * mono, abs=1e-7)
        three = mule_waveform(np.stack([music(4410), music(4410), -music(4410)], axis=1), 44100)
        assert three == pytest.approx(mono, abs=1e-4)
        time = np.arange(44100) / 44100
        tone = mule_waveform(np.sin(2 * np.pi * 440 * time).astype(np.float32)[:, None], 44100)
        assert np.abs(tone[200:-200]).max() == pytest.approx(0.5, abs=1e-3)

    def test_rounds_to_16_bits_and_clips(self):
        x = np.array([0.2, 0.4, 0.5, 0.6, 1.5, 2.5, 40000, -40000, 32767.4, -32768], np.float32)[:, None]
        levels = decoding_rules._in_16_bits(x[:, 0] / 32768, 44100) * 65536
        assert levels.tolist() == [0, 0, 0, 1, 2, 2, 32767, -32768, 32767, -32768]
        exact = np.random.default_rng(0).integers(-32768, 32768, (5000, 2)) / 32768
        assert np.array_equal(
            decoding_rules._in_16_bits(exact[:, 1].astype(np.float32), 44100) * 65536, exact[:, 1] * 32768
        )

    def test_leaves_its_input_alone(self):
        x = music(300)[:, None]
        mule_waveform(x, 44100)
        assert np.array_equal(x, music(300)[:, None])

    @pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000, 96000])
    def test_every_rate_gives_the_same_tone(self, rate):
        time = np.arange(rate) / rate
        tone = mule_waveform((0.8 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[:, None], rate)
        assert len(tone) == 16000
        assert tone[300:-300] == pytest.approx(
            0.4 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)[300:-300], abs=1e-3
        )

    @pytest.mark.parametrize("shape", [(5,), (0, 1), (5, 0)])
    def test_refuses_other_shapes(self, shape):
        with pytest.raises(ValueError, match="channels"):
            mule_waveform(np.zeros(shape, np.float32), 44100)


class TestLogMel:
    @pytest.mark.parametrize("key", list(FILES))
    def test_equals_the_published_log_mel_of_its_waveform(self, reference_data, key):
        waveform = torch.from_numpy(golden(reference_data, f"{key}_wav16k"))
        features = log_mel(waveform[None])
        assert features.dtype == torch.float32
        assert np.abs(features[0].numpy() - golden(reference_data, f"{key}_logmel")).max() < 2e-6

    @pytest.mark.parametrize("key", ["b", "c", "e", "f", "g"])
    def test_follows_the_published_pipeline_from_the_file_on(self, reference_data, key):
        """The published resampler adds up 274 products in float32; the quietest bands show that noise, up to 8e-5."""
        waveform = torch.from_numpy(mule_waveform(*golden_file(reference_data, key)))
        error = np.abs(log_mel(waveform[None])[0].numpy() - golden(reference_data, f"{key}_logmel"))
        assert error.max() < 1e-4
        assert error.mean() < 2e-6
        assert np.quantile(error, 0.99) < 1e-5

    def test_from_16_khz_on(self, reference_data):
        waveform = torch.from_numpy(mule_waveform(*golden_file(reference_data, "d")))
        error = np.abs(log_mel(waveform[None])[0].numpy() - golden(reference_data, "d_logmel"))
        assert error.max() < 2e-3

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("samples", [201, 319, 320, 1024, 1025, 5000])
    def test_agrees_with_the_definition(self, samples, device):
        x = music(samples)
        features = log_mel(torch.from_numpy(x)[None].to(device))[0].cpu().numpy()
        assert features.shape == (96, 1 + samples // 160)
        if samples > 1024:  # what a padding of 1024 can mirror
            assert np.abs(features - slow_log_mel(x)).max() < 2e-6

    @pytest.mark.parametrize("x", [np.ones(4000), np.sign(np.sin(np.arange(4000) / 7)), np.zeros(4000)])
    def test_full_scale_constants_clipping_and_silence(self, x):
        features = log_mel(torch.from_numpy(x.astype(np.float32))[None])[0].numpy()
        assert np.abs(features - slow_log_mel(x)).max() < 2e-6

    def test_silence_is_zero(self):
        assert not log_mel(torch.zeros(1, 4000)).any()

    def test_the_short_transform_says_all_about_a_band(self):
        frame = np.random.default_rng(1).normal(size=400)
        power = np.abs(np.fft.rfft(frame, 800)) ** 2
        expected = 10 ** slow_log_mel_of_frame(frame)
        assert power @ frontend.band_matrix() * 1e4 + 1 == pytest.approx(expected, rel=1e-6)

    def test_blocks_and_batches_do_not_show(self, monkeypatch):
        x = torch.from_numpy(np.stack([music(9000, seed) for seed in range(5)]))
        together = log_mel(x)
        assert torch.allclose(together, torch.cat([log_mel(row[None]) for row in x]), rtol=0, atol=1e-6)
        monkeypatch.setattr(frontend, "CPU_BLOCK", 3)
        assert torch.allclose(log_mel(x), together, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("shape", [(4000,), (1, 200), (1, 1, 4000)])
    def test_refuses_other_shapes(self, shape):
        with pytest.raises(ValueError, match="200"):
            log_mel(torch.zeros(shape))


def slow_log_mel_of_frame(frame: np.ndarray) -> np.ndarray:
    """Return the log-mel [96] of one frame of 400 samples without a window, by way of the long transform."""
    filters = frontend.mel_filters(16000, 2048, 96, 0, 8000).astype(np.float64)
    filters /= np.sqrt((filters**2).sum(axis=0))
    return np.log10(1e4 * (np.abs(np.fft.rfft(frame, 2048)) ** 2 @ filters) + 1)


def test_mel_filters_equal_the_published_matrix(reference_data):
    with np.load(reference_data / "golden" / "mule" / "melfb.npz") as arrays:
        expected = arrays["fb"]
    filters = frontend.mel_filters(16000, 2048, 96, 0, 8000)
    assert np.abs(filters / np.sqrt((filters**2).sum(axis=0)) - expected.T).max() < 1e-6


class TestSliceStarts:
    @given(st.integers(300, 40_000))
    @settings(deadline=None)
    def test_agrees_with_a_slow_loop(self, frames):
        starts = slice_starts(frames)
        assert starts == slow_starts(frames)
        assert all(0 <= start <= frames - 300 for start in starts)

    @given(st.integers(300, 8000))
    def test_counts_up_to_one_chunk(self, frames):
        assert len(slice_starts(frames)) == (frames - 1) // 200

    def test_known_files(self):
        assert slice_starts(300) == [0]
        assert slice_starts(301) == [1]
        assert slice_starts(401) == [50, 101]
        assert slice_starts(601) == [50, 250, 301]
        assert slice_starts(1131) == [50, 250, 450, 650, 831]
        assert len(slice_starts(3002)) == 15

    def test_multiples_of_a_chunk_are_skipped(self):
        starts = slice_starts(8501)
        assert len(starts) == 41
        assert starts[38:] == [7650, 8050, 8201]
        assert slice_starts(8001)[-1] == slice_starts(8200)[-1] == 7650
        assert 16000 - 150 not in slice_starts(20_000)

    def test_refuses_less_than_a_slice(self):
        with pytest.raises(ValueError, match="299 frames"):
            slice_starts(299)


class TestSlices:
    @pytest.mark.parametrize("key", ["b", "c"])
    def test_equal_the_published_slices(self, reference_data, key):
        expected = golden(reference_data, f"{key}_slices")[..., 0]
        features = torch.from_numpy(golden(reference_data, f"{key}_logmel"))[None]
        assert np.abs(standardised(track_slices(features))[0].numpy() - expected).max() < 2e-6
        waveform = torch.from_numpy(mule_waveform(*golden_file(reference_data, key)))
        assert np.abs(track_inputs(waveform[None])[0].numpy() - expected).max() < 1e-4

    @pytest.mark.parametrize("key", ["b", "c", "d", "e"])
    def test_are_as_many_as_the_published_embeddings(self, reference_data, key):
        features = torch.from_numpy(golden(reference_data, f"{key}_logmel"))[None]
        assert track_slices(features).shape[1] == golden(reference_data, f"{key}_emb").shape[1]

    def test_cut_frames(self):
        features = torch.arange(401.0).expand(2, 96, 401)
        slices = track_slices(features)
        assert slices.shape == (2, 2, 96, 300)
        assert slices[1, :, 95, 0].tolist() == [50, 101]
        assert slices[0, :, 0, -1].tolist() == [349, 400]

    @pytest.mark.parametrize(("seconds", "frames"), [(1.0, 100), (4.0, 400), (2.5, 250), (0.05, 5)])
    def test_a_window_is_one_slice(self, seconds, frames):
        features = log_mel(torch.from_numpy(music(round(16000 * seconds)))[None])
        slices = slices_for_window(features)
        assert slices.shape == (1, 1, 96, frames)
        assert torch.equal(slices[:, 0], features[..., :frames])

    def test_a_lone_frame_is_kept(self):
        assert slices_for_window(torch.ones(2, 96, 1)).shape == (2, 1, 96, 1)


class TestStandardised:
    def test_each_slice_has_mean_zero_and_deviation_one(self):
        slices = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (2, 3, 96, 300)).astype(np.float32))
        answer = standardised(slices).numpy()
        expected = slices.numpy().astype(np.float64)
        expected -= expected.mean(axis=(2, 3), keepdims=True)
        expected /= expected.std(axis=(2, 3), keepdims=True)
        assert answer == pytest.approx(expected, abs=2e-6)

    def test_small_deviations_are_floored(self):
        slices = torch.zeros(1, 96, 300)
        slices[..., ::2] = 0.002
        assert standardised(slices).abs().max() == pytest.approx(0.1, rel=1e-4)
        assert not standardised(torch.full((1, 96, 300), 2.0)).any()

    def test_a_deviation_that_is_not_finite_counts_as_one(self):
        slices = torch.zeros(1, 96, 4)
        slices[0, 0, 0] = torch.inf
        assert standardised(slices)[0, 0, 1] == -torch.inf


class TestInputs:
    @pytest.mark.parametrize(
        ("seconds", "slices"),
        [(0.5, 1), (1.5, 1), (2.0, 1), (2.5, 1), (2.99, 1), (3.0, 1), (4.0, 2), (80, 39), (960, 468)],
    )
    @pytest.mark.parametrize("kind", ["music", "silence", "constant", "clipped"])
    def test_are_finite_at_any_length(self, seconds, slices, kind):
        samples = round(16000 * seconds)
        waveform = {
            "music": lambda: music(samples),
            "silence": lambda: np.zeros(samples, np.float32),
            "constant": lambda: np.ones(samples, np.float32),
            "clipped": lambda: np.clip(music(samples, gain=50), -1, 1),
        }[kind]()
        inputs = track_inputs(torch.from_numpy(waveform)[None])
        assert inputs.shape == (1, slices, 96, 300)
        assert torch.isfinite(inputs).all()
        if kind == "silence":
            assert not inputs.any()

    @pytest.mark.parametrize("seconds", [1.5, 2.0, 2.5])
    def test_short_audio_is_repeated_to_three_seconds(self, seconds):
        x = music(round(16000 * seconds))
        short, whole = torch.from_numpy(x)[None], torch.from_numpy(np.tile(x, 2)[:48000])[None]
        assert torch.equal(lengthened(short), whole)
        assert torch.equal(track_inputs(short), track_inputs(whole))

    def test_300_frames_are_taken_as_they_are(self):
        x = torch.zeros(2, 299 * 160)
        assert lengthened(x) is x
        assert log_mel(x).shape[2] == 300
        assert lengthened(x[:, :-1]).shape == (2, 48000)
        with pytest.raises(ValueError, match="without samples"):
            lengthened(torch.zeros(1, 0))

    @pytest.mark.parametrize("device", DEVICES)
    def test_a_batch_equals_its_rows(self, device):
        x = torch.from_numpy(np.stack([music(64000, seed) for seed in range(4)])).to(device)
        for inputs in (track_inputs, window_inputs):
            alone = torch.cat([inputs(row[None]) for row in x])
            assert torch.allclose(inputs(x), alone, rtol=0, atol=1e-6)

    def test_a_window_of_the_task_keeps_all_its_frames(self):
        x = torch.from_numpy(np.stack([music(16000), music(16000, 1)]))
        inputs = window_inputs(x)
        assert inputs.shape == (2, 1, 96, 100)
        assert torch.equal(inputs, standardised(log_mel(x)[:, None, :, :100]))


def test_the_waveform_does_not_depend_on_the_number_of_threads():
    program = (
        "import hashlib, numpy as np\nfrom benchmark.audio.mule_waveform import mule_waveform\n"
        "samples = np.random.default_rng(0).normal(size=(90_000, 2)).astype(np.float32) / 4\n"
        "print(*[hashlib.sha256(mule_waveform(samples, rate).tobytes()).hexdigest() for rate in (44_100, 22_050)])\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2", "7")
    }  # fmt: skip
    assert len(digests) == 1
