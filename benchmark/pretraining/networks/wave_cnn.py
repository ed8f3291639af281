"""Convolutional networks that describe every 10 ms of a waveform: what workers of multi-task pre-training stand on.

``wave-cnn`` is in the manner of PASE (Pascual et al. 2019): strided convolutions of the waveform itself down to 100
frames a second, each with batch normalisation and PReLU. Of PASE are the strides and the channels of its seven blocks,
their widths of 11 and the first width of 251. Ours: that first layer is free in place of sinc filters, and strides by
10 at once, where PASE filters every sample first; a depth-wise convolution of 0.65 s gives frames their surroundings,
for which PASE+ has a recurrent layer; 256 numbers a frame as in PASE+.

``mel-cnn`` has the published log-mel in front, and the same number of blocks without strides: the other encoder
that a comparison of front ends needs. Which encoders Wu et al. 2021 compared could not be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from benchmark.encoders.published.mule.frontend import BANDS, HOP, log_mel
from benchmark.pretraining.networks.batch_norm import BatchNorm

STRIDES = (10, 2, 1, 2, 1, 2, 2)
WIDTHS = (251, 11, 11, 11, 11, 11, 11)
CHANNELS, DIM = (64, 128, 128, 256, 256, 512, 512), 256
TINY_CHANNELS, TINY_DIM = (16, 16, 32, 32, 64, 64, 64), 64
#: Of the blocks of mel-cnn: 5 frames each.
MEL_WIDTH, MEL_CHANNELS, TINY_MEL_CHANNELS = 5, (256,) * 7, (64,) * 7
#: Frames of the depth-wise convolution.
CONTEXT = 65


class FrameNetwork(nn.Module):
    """Blocks, what surrounds each frame, and a linear layer: to frames, and to their mean.

    Attributes:
        dim: Width of frames and embeddings.
        last: The linear layer, through which all workers' gradients go.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], strides: Sequence[int], inputs: int, dim: int):
        """Draw the weights.

        Args:
            channels: Of each block.
            widths: Of each block's convolution, odd.
            strides: Of each block.
            inputs: Channels of what the first block takes.
            dim: Width of frames and embeddings.
        """
        super().__init__()
        parts: list[nn.Module] = []
        for outputs, width, stride in zip(channels, widths, strides, strict=True):
            # Padded by half a width: frame t is centred on sample t * stride.
            convolution = nn.Conv1d(inputs, outputs, width, stride, padding=width // 2, bias=False)
            parts.append(nn.Sequential(convolution, BatchNorm(outputs), nn.PReLU(outputs)))
            inputs = outputs
        self.parts = nn.Sequential(*parts)
        self.surroundings = nn.Conv1d(inputs, inputs, CONTEXT, padding=CONTEXT // 2, groups=inputs)
        self.dim, self.last = dim, nn.Conv1d(inputs, dim, 1, bias=False)
        self.norm = BatchNorm(dim)

    def front(self, signal: Tensor) -> Tensor:
        """Map waveforms [N, samples] to what the first block takes: [N, inputs, ...]."""
        return signal[:, None]

    def frames(self, signal: Tensor) -> Tensor:
        """Map waveforms [N, 160 * T] at 16 kHz to frames [N, dim, T], 100 a second."""
        found = self.parts(self.front(signal))
        frames: Tensor = self.norm(self.last(found + self.surroundings(found)))
        return frames

    def embedded(self, signal: Tensor) -> Tensor:
        """Map waveforms [N, samples] at 16 kHz to embeddings [N, dim], the means over time."""
        return self.frames(signal).mean(2)

    def blocks(self) -> Iterator[nn.Module]:
        """Yield nothing: statistics of a block that is computed twice would be counted twice."""
        return iter(())


class MelNetwork(FrameNetwork):
    """Frames of the published log-mel."""

    def front(self, signal: Tensor) -> Tensor:
        """Map waveforms [N, samples] to log-mels [N, 96, samples // 160]."""
        return log_mel(signal)[..., : max(1, signal.shape[1] // HOP)]


def wave_cnn(drop_rate: float) -> FrameNetwork:
    """Return the network of 5.7 million parameters; it has no stochastic depth."""
    del drop_rate
    return FrameNetwork(CHANNELS, WIDTHS, STRIDES, 1, DIM)


def wave_cnn_tiny(drop_rate: float) -> FrameNetwork:
    """Return the network of 0.15 million parameters, for two cores."""
    del drop_rate
    return FrameNetwork(TINY_CHANNELS, WIDTHS, STRIDES, 1, TINY_DIM)


def mel_cnn(drop_rate: float) -> FrameNetwork:
    """Return the network of 2.2 million parameters on log-mels."""
    del drop_rate
    return MelNetwork(MEL_CHANNELS, (MEL_WIDTH,) * 7, (1,) * 7, BANDS, DIM)


def mel_cnn_tiny(drop_rate: float) -> FrameNetwork:
    """Return its sibling of 0.16 million parameters, for two cores."""
    del drop_rate
    return MelNetwork(TINY_MEL_CHANNELS, (MEL_WIDTH,) * 7, (1,) * 7, BANDS, TINY_DIM)
