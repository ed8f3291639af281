"""A trainable network of MusiCNN's shape, from waveforms: the audio backbone of MuLaP (Manco et al. 2022).

Log-mels of 16 kHz (96 bands to 8 kHz, Hann frames of 512 samples, 256 apart, decibels, at most 80 below the largest of
a chunk); filters of 7 frames over 67 and 38 bands, and filters of 129, 65 and 33 frames over the mean of all bands;
three convolutions over time; and of all these channels the maximum and the mean over time: 1506 numbers of 3 s.

What is known of the paper's network is its sizes, which give its 472,450 parameters. Ours: Slaney's mel scale, batch
normalisation before ReLU, and the factor and the term of the input's normalisation, which stay 1 and 0: the filters
behind it learn the same, and without them no gradient of the input has to be computed, half of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.encoders.published.musicnn.frontend import BANDS, HOP, N_FFT, SAMPLE_RATE, slaney_filters
from benchmark.pretraining.networks.batch_norm import BatchNorm

#: Bands that a wide filter covers, and its frames; frames of the long filters.
WIDE_BANDS, WIDE_FRAMES, LONG_FRAMES = (67, 38), 7, (129, 65, 33)
MIDDLE, MIDDLE_FRAMES = 3, 7
FLOOR, RANGE = 1e-10, 80.0  # of power; decibels


@dataclass(frozen=True)
class Shape:
    """Sizes of a network.

    Attributes:
        wide: Channels of each of the two wide filters.
        long: Channels of each of the three long filters.
        middle: Channels of the convolutions behind them.
        seconds: Length of a chunk: what the network looks at at once.
    """

    wide: int = 204
    long: int = 51
    middle: int = 64
    seconds: float = 3.0

    @property
    def front(self) -> int:
        """Channels that leave the filters."""
        return len(WIDE_BANDS) * self.wide + len(LONG_FRAMES) * self.long

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return 2 * (self.front + MIDDLE * self.middle)


#: The paper's, and one for two cores.
PAPER, TINY = Shape(), Shape(16, 4, 16, 1.0)


class DecibelMels(nn.Module):
    """Waveforms float32 [N, samples > 256] at 16 kHz to log-mels [N, 96, 1 + samples // 256] in decibels."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT, dtype=torch.float64).float(), persistent=False)
        filters = torch.from_numpy(slaney_filters(SAMPLE_RATE, N_FFT, BANDS).T.copy())
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return the log-mels, each at most 80 dB below its own largest value."""
        with torch.autocast(device_type=waveforms.device.type, enabled=False):
            spectrum = torch.stft(waveforms.float(), N_FFT, HOP, window=self.window, return_complex=True)
            power = spectrum.real.square() + spectrum.imag.square()
            decibels = 10 * torch.log10((self.filters @ power).clamp_min(FLOOR))
            return torch.maximum(decibels, decibels.amax((1, 2), keepdim=True) - RANGE)


class WideFilter(nn.Module):
    """A filter over bands and 7 frames, normalisation, ReLU, and the maximum over all its places in frequency.

    The frames around each are laid beside each other as channels of a convolution over bands, which takes less than
    half the time of a convolution over both whose input has one channel.
    """

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDE_FRAMES, channels, bands)
        self.norm = BatchNorm(channels)

    def forward(self, frames: Tensor) -> Tensor:
        """Map [N * T, 7, bands] to [N * T, channels]."""
        largest: Tensor = self.norm(self.conv(frames)).amax(2)
        return torch.relu(largest)  # of the maximum alone: ReLU keeps the order


class OverTime(nn.Module):
    """A convolution over time that keeps the length, normalisation and ReLU: [N, C, T] to [N, D, T]."""

    def __init__(self, inputs: int, channels: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, channels, frames, padding=frames // 2)
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, T] to [N, D, T]."""
        return torch.relu(self.norm(self.conv(x)))


class MusicnnShaped(nn.Module):
    """The network. A chunk has one embedding; a longer signal the mean of those of its chunks.

    Attributes:
        dim: Width of the embedding.
        chunk: Samples of a chunk.
    """

    def __init__(self, shape: Shape = PAPER) -> None:
        super().__init__()
        self.dim, self.chunk = shape.dim, round(shape.seconds * SAMPLE_RATE)
        self.mels = DecibelMels()
        self.input_norm = BatchNorm(1).requires_grad_(False)
        self.wide = nn.ModuleList(WideFilter(shape.wide, bands) for bands in WIDE_BANDS)
        self.long = nn.ModuleList(OverTime(1, shape.long, frames) for frames in LONG_FRAMES)
        inputs = [shape.front] + [shape.middle] * (MIDDLE - 1)
        self.middle = nn.ModuleList(OverTime(channels, shape.middle, MIDDLE_FRAMES) for channels in inputs)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map waveforms [N, samples] of a chunk each to [N, dim]: all maxima over time, then all means."""
        x = self.input_norm(self.mels(waveforms)[:, None])[:, 0]
        bands = x.mean(1, keepdim=True)
        around = functional.pad(x, (WIDE_FRAMES // 2, WIDE_FRAMES // 2)).unfold(2, WIDE_FRAMES, 1)
        frames = around.permute(0, 2, 3, 1).flatten(0, 1).contiguous()
        found = [wide(frames).unflatten(0, (len(x), -1)).transpose(1, 2) for wide in self.wide]
        blocks = [torch.cat([*found, *(long(bands) for long in self.long)], dim=1)]
        blocks.append(self.middle[0](blocks[0]))
        for block in self.middle[1:]:
            blocks.append(blocks[-1] + block(blocks[-1]))
        features = torch.cat(blocks, dim=1)
        return torch.cat([features.amax(2), features.mean(2)], dim=1)

    def chunks(self, signal: Tensor) -> Tensor:
        """Return the chunks [N, chunks, samples] of a signal [N, samples], one after the other.

        The last one of a signal that is no multiple ends with it; a signal that is shorter is one chunk.
        """
        samples = signal.shape[1]
        if samples <= self.chunk:
            return signal[:, None]
        found = signal.unfold(1, self.chunk, self.chunk)
        if samples % self.chunk:
            found = torch.cat([found, signal[:, None, -self.chunk :]], dim=1)
        return found

    def embedded(self, signal: Tensor) -> Tensor:
        """Return the embedding [N, dim] of waveforms float32 [N, samples] at 16 kHz: the mean over their chunks."""
        chunks = self.chunks(signal)
        rows: Tensor = self(chunks.flatten(0, 1)).unflatten(0, chunks.shape[:2])
        return rows.mean(1)


def paper(drop_rate: float = 0.0) -> MusicnnShaped:  # noqa: ARG001
    """Return the network of the paper's size, which has no blocks to drop."""
    return MusicnnShaped(PAPER)


def tiny(drop_rate: float = 0.0) -> MusicnnShaped:  # noqa: ARG001
    """Return one for two cores: 21,458 parameters, embeddings of 184, chunks of 1 s."""
    return MusicnnShaped(TINY)
