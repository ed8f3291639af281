"""The front end of MusiCNN: log10(1 + 10000 S) of 96 Slaney mel bands, every 16 ms, as librosa 0.7 computes them.

16 kHz; periodic Hann frames of 512 samples, 256 apart, centred, the waveform reflected at its ends; power; triangular
bands of equal area from 0 to 8000 Hz on Slaney's mel scale. The published code multiplies float16 numbers by 10,000,
which overflows (S > 6.55) in loud music and makes the embedding NaN; here everything is float32.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE, N_FFT, HOP, BANDS = 16000, 512, 256, 96
#: Frames of the window that the network was trained on, and its samples.
FRAMES = 187
WINDOW = FRAMES * HOP


def slaney_filters(sample_rate: int, n_fft: int, bands: int) -> NDArray[np.float32]:
    """Return triangular filters [n_fft // 2 + 1, bands] of equal area, up to half of ``sample_rate``.

    Slaney's mel scale (Auditory Toolbox, 1998) is linear up to 1000 Hz, 66.7 Hz a mel, and logarithmic beyond it.
    """
    per_mel, knee, step = 200 / 3, 1000.0, np.log(6.4) / 27
    top = sample_rate / 2
    highest = top / per_mel if top < knee else knee / per_mel + np.log(top / knee) / step
    mels = np.linspace(0, highest, bands + 2)
    above = mels - knee / per_mel
    corners = np.where(above < 0, mels * per_mel, knee * np.exp(step * above))
    hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (hz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hz) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (corners[2:] - corners[:-2]))
    return filters.astype(np.float32)


class LogMelFrames(torch.nn.Module):
    """Waveforms float32 [B, N] at 16 kHz to frames [B, max(1, N // 256), 96], on whatever device it is.

    N // 256 is the number of frames that the published code makes of an input of N samples: 187 of 3 s (and of the
    2.992 s that those frames cover). A centred transform has one more, which is centred on the end and half reflection.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT, dtype=torch.float64).float(), persistent=False)
        filters = torch.from_numpy(slaney_filters(SAMPLE_RATE, N_FFT, BANDS))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the log-mel frames of ``waveforms``, each longer than 256 samples."""
        frames = max(1, waveforms.shape[1] // HOP)
        spectrum = torch.stft(
            waveforms, N_FFT, HOP, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )[:, :, :frames]
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log10(1 + 10000 * (power.transpose(1, 2) @ self.filters))
