"""Crops of waveforms, and their spectra: computed once, however many workers ask."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from benchmark.encoders.handcrafted.spectra import hann, mel_filters

SAMPLE_RATE = 16_000
#: Samples from one frame to the next: 100 frames a second, those of the stored log-mels.
HOP = 160
#: Points of every transform: shorter frames are padded with zeros.
POINTS = 2048
#: Samples of a short frame: 64 ms.
SHORT = 1024
LOWEST_HZ, HIGHEST_HZ = 30.0, 8000.0
#: -100 dB.
POWER_FLOOR = 1e-10


class Crops:
    """Waveforms at 16 kHz with T frames each, on one device.

    Frame t is centred on sample 160 * t, as in stored log-mels, and a crop is mirrored at its ends.

    Attributes:
        waveforms: float32 [N, 160 * T].
        frames: T.
    """

    def __init__(self, waveforms: Tensor) -> None:
        """Take waveforms.

        Raises:
            ValueError: They are not [N, 160 * T], or too short to be mirrored.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] % HOP or waveforms.shape[1] <= POINTS // 2:
            raise ValueError(
                f"waveforms [N, {HOP} * T] of more than {POINTS // 2} samples are wanted, not {list(waveforms.shape)}"
            )
        self.waveforms, self.frames = waveforms, waveforms.shape[1] // HOP
        self._power: dict[int, Tensor] = {}
        self._log_bands: dict[int, Tensor] = {}

    def power(self, window: int) -> Tensor:
        """Return the power [N, 1025, T] of frames of ``window`` samples under a periodic Hann window.

        Bin k lies at 7.8125 * k Hz; a sine of amplitude 1 at the centre of a bin has power 1.
        """
        if window not in self._power:
            spectrum = torch.stft(
                self.waveforms, POINTS, HOP, window, hann_on(window, self.waveforms.device), center=True,
                pad_mode="reflect", return_complex=True,
            )  # fmt: skip
            # The last frame begins behind the last sample.
            self._power[window] = spectrum.real.square().add_(spectrum.imag.square())[..., : self.frames]
        return self._power[window]

    def log_bands(self, bands: int) -> Tensor:
        """Return log10(1e-10 + power) of mel bands [N, bands, T], 30 Hz to 8 kHz, of short frames: bels."""
        if bands not in self._log_bands:
            matrix = _mel_matrix(bands, self.waveforms.device)
            self._log_bands[bands] = torch.log10(matrix @ self.power(SHORT) + POWER_FLOOR)
        return self._log_bands[bands]


@lru_cache(maxsize=8)
def hann_on(window: int, device: torch.device) -> Tensor:
    """Return a periodic Hann window [window] that sums to 2."""
    return torch.from_numpy(hann(window)).to(device)


@lru_cache(maxsize=8)
def _mel_matrix(bands: int, device: torch.device) -> Tensor:
    filters = mel_filters(SAMPLE_RATE, POINTS, bands, LOWEST_HZ, HIGHEST_HZ)
    return torch.from_numpy(np.ascontiguousarray(filters.T)).to(device)
