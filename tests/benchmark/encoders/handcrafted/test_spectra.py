import numpy as np
import pytest

from benchmark.encoders.handcrafted import spectra


def sine(hz: float, sample_rate: int, samples: int, amplitude: float = 1.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(samples) / sample_rate)).astype(np.float32)


class TestFrame:
    def test_cuts_inside_the_waveform(self):
        frames = spectra.frame(np.arange(10, dtype=np.float32), 4, 3)
        assert frames.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
        assert len(spectra.frame(np.arange(12, dtype=np.float32), 4, 3)) == 3

    def test_centres_a_short_waveform_between_zeros(self):
        assert spectra.frame(np.ones(3, np.float32), 6, 2).tolist() == [[0, 1, 1, 1, 0, 0]]


class TestPowerSpectrum:
    def test_a_full_scale_sine_has_power_one(self):
        frames = spectra.frame(sine(1000, 16000, 1600), 1600, 1600)
        power = spectra.power_spectrum(frames, spectra.hann(1600))
        assert power.dtype == np.float32
        assert power.argmax() == 100
        assert power[0, 100] == pytest.approx(1, rel=1e-5)

    def test_agrees_with_the_definition(self):
        x = np.random.default_rng(0).normal(size=64).astype(np.float32)
        window = spectra.hann(64)
        power = spectra.power_spectrum(x[None], window)[0]
        for k in range(33):
            term = sum(float(x[n] * window[n]) * np.exp(-2j * np.pi * k * n / 64) for n in range(64))
            assert power[k] == pytest.approx(abs(term) ** 2, rel=1e-4, abs=1e-7)

    def test_log_power_has_a_floor_and_adds_a_gain(self):
        silent, one, tenth = spectra.log_power(np.array([0, 1, 0.1], np.float32))
        assert silent == pytest.approx(-10)
        assert one - tenth == pytest.approx(1, abs=1e-6)


class TestMel:
    @pytest.mark.parametrize(
        ("rate", "n_fft", "bands", "low", "high"), [(16000, 1024, 96, 30, 8000), (8000, 512, 20, 0, 4000)]
    )
    def test_filters_agree_with_a_slow_loop(self, rate, n_fft, bands, low, high):
        def to_mel(hz):
            return 1127.01048 * np.log(1 + hz / 700)

        def to_hz(mel):
            return 700 * (np.exp(mel / 1127.01048) - 1)

        filters = spectra.mel_filters(rate, n_fft, bands, low, high)
        step = (to_mel(high) - to_mel(low)) / (bands + 1)
        for band in range(bands):
            left, centre, right = (to_hz(to_mel(low) + (band + i) * step) for i in range(3))
            for k in range(n_fft // 2 + 1):
                hz = k * rate / n_fft
                if left < hz <= centre:
                    expected = (hz - left) / (centre - left)
                elif centre < hz < right:
                    expected = (right - hz) / (right - centre)
                else:
                    expected = 0.0
                assert filters[k, band] == pytest.approx(expected, abs=1e-4)

    def test_1000_hz_is_1000_mel(self):
        assert spectra.hz_to_mel(1000) == pytest.approx(1000, abs=0.1)

    def test_refuses_bands_without_bins(self):
        with pytest.raises(ValueError, match="fewer bands"):
            spectra.mel_filters(16000, 256, 96, 30, 8000)


class TestCepstra:
    def test_the_basis_is_orthonormal(self):
        basis = spectra.dct_basis(64, 64)
        np.testing.assert_allclose(basis.T @ basis, np.eye(64), atol=1e-5)
        np.testing.assert_array_equal(spectra.dct_basis(64, 20), basis[:, :20])

    def test_a_constant_is_coefficient_zero(self):
        np.testing.assert_allclose(np.full(64, 3, np.float32) @ spectra.dct_basis(64, 20), [24] + [0] * 19, atol=1e-4)

    def test_deltas_of_a_ramp_are_its_slope(self):
        ramp = np.stack([3 * np.arange(9), np.full(9, 5)], axis=1).astype(np.float32)
        slope = spectra.deltas(ramp)
        np.testing.assert_allclose(slope[2:-2], [[3, 0]] * 5, rtol=1e-6)
        assert slope[0, 0] == pytest.approx((1 * 3 + 2 * 6) / 10)
        assert spectra.deltas(ramp[:1]).tolist() == [[0, 0]]

    def test_mean_and_deviation(self):
        features = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
        expected = np.concatenate([features.mean(0), features.std(0)])
        np.testing.assert_allclose(spectra.mean_and_deviation(features), expected, rtol=1e-5)


class TestPeaks:
    def peaks(self, waveform: np.ndarray) -> spectra.Peaks:
        power = spectra.power_spectrum(spectra.frame(waveform, 4096, 1024), spectra.hann(4096))
        return spectra.spectral_peaks(power, 11025 / 4096, 26, 3000, 60)

    @pytest.mark.parametrize("hz", [110.3, 441.7, 1234.5])
    def test_places_a_sine_between_the_bins(self, hz):
        peaks = self.peaks(sine(hz, 11025, 8192, 0.5))
        assert len(set(peaks.frame.tolist())) == 5
        loudest = peaks.power.argmax()
        assert peaks.pitch[loudest] == pytest.approx(69 + 12 * np.log2(hz / 440), abs=0.02)
        assert peaks.power[loudest] == pytest.approx(0.25, rel=0.05)

    def test_silence_has_none_and_no_tuning(self):
        peaks = self.peaks(np.zeros(8192, np.float32))
        assert len(peaks.pitch) == 0
        assert spectra.tuning(peaks.pitch, peaks.power) == 0
        assert not spectra.semitone_map(peaks, peaks.power, 5, 20, 104).any()

    @pytest.mark.parametrize("deviation", [-0.45, -0.3, 0, 0.2, 0.49])
    def test_tuning_is_the_common_deviation(self, deviation):
        pitch = np.array([45, 52, 60.02, 63.98], np.float32) + np.float32(deviation)
        assert spectra.tuning(pitch, np.ones(4, np.float32)) == pytest.approx(deviation, abs=1e-3)


class TestSemitones:
    def test_shares_a_peak_and_keeps_its_weight(self):
        pitch = np.array([60, 60.25, 3, 500], np.float32)
        peaks = spectra.Peaks(np.array([0, 1, 1, 1]), pitch, np.ones(4, np.float32))
        semitones = spectra.semitone_map(peaks, np.array([2, 4, 1, 1], np.float32), 2, 20, 104)
        assert semitones.shape == (2, 84)
        assert semitones.dtype == np.float32
        assert semitones[0].nonzero()[0].tolist() == [40]
        np.testing.assert_allclose(semitones[1, [40, 41, 0, 83]], [3, 1, 1, 1])
        assert semitones.sum() == 8

    def test_octaves_fold_from_c(self):
        fold = spectra.fold_octaves(20, 104)
        assert fold.sum(axis=0).tolist() == [7] * 12
        assert fold[60 - 20].argmax() == 0
        assert fold[69 - 20].argmax() == 9

    def test_harmonics_speak_for_their_fundamental(self):
        matrix = spectra.sum_harmonics(20, 104, 3, 0.5)
        row = matrix[72 - 20]
        assert row[72 - 20] == 1
        assert row[60 - 20] == 0.5
        below = 72 - 12 * np.log2(3)
        assert row[52 - 20] == pytest.approx(0.25 * (53 - below), abs=1e-6)
        assert row[53 - 20] == pytest.approx(0.25 * (below - 52), abs=1e-6)
        assert row.sum() == pytest.approx(1.75)
        assert matrix[0].sum() == 1

    def test_unit_rows_leave_zeros(self):
        assert spectra.unit_rows(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
            [np.float32(0.6), np.float32(0.8)],
            [0, 0],
        ]
