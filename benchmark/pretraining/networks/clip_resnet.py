"""The residual network of CLIP on log-mels of a waveform, as Meseguer-Brocal et al. 2024 take it.

Three convolutions begin it; strides are average pools in front of a convolution of one position; and a query of the
mean attends to all positions in place of the last pool. Of theirs: 4 s at 16 kHz, a transform of 1024 points every 512
samples, 128 bands of Slaney's scale, decibels down to 100 under the loudest, 2,800,392 parameters, embeddings of 1024.

Ours: bands end at 8 kHz (theirs reach to 11,025 Hz, so that 11 of 128 hold nothing); decibels are relative to the
loudest cell of the crop and scaled to [-1, 1], so that neither level nor clipping tells which track it is; positions
are interpolated where a crop is of another length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.encoders.published.musicnn.frontend import slaney_filters
from benchmark.pretraining.networks.batch_norm import BatchNorm

SAMPLE_RATE, N_FFT, HOP = 16_000, 1024, 512
#: Cells so many decibels under the loudest of their crop, or more, are alike.
RANGE = 100.0
POWER_FLOOR = 1e-10
#: Bands and frames of the input for one position of the output.
REDUCTION = 32
EXPANSION = 4


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of a network; the defaults are the paper's.

    Attributes:
        mels: Bands; a multiple of 32.
        seconds: Length of the crops whose positions are learned.
        width: Channels behind the stem, and of the first stage's middle.
        depths: Blocks of each stage.
        heads: Heads of the pool's attention.
        dim: Width of the embedding.
    """

    mels: int = 128
    seconds: float = 4.0
    width: int = 16
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    heads: int = 8
    dim: int = 1024

    @property
    def grid(self) -> tuple[int, int]:
        """Positions of the output over bands and time."""
        return _positions(self.mels), _positions(_frames(round(self.seconds * SAMPLE_RATE)))


#: The paper's size: 2,800,392 parameters.
PAPER = ResNetConfig()
#: For two cores: crops of 2 s.
TINY = ResNetConfig(mels=64, seconds=2.0, width=8, depths=(1, 1, 1, 1), heads=4, dim=128)


def _frames(samples: int) -> int:
    return 1 + samples // HOP


def _positions(cells: int) -> int:
    """Return what is left of bands or frames: a convolution halves and rounds up, four pools round down."""
    return (cells + 1) // REDUCTION


class LogMel(nn.Module):
    """Waveforms float32 [N, samples] at 16 kHz to decibels [N, 1, bands, frames] in [-1, 1]."""

    window: Tensor
    filters: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        filters = torch.from_numpy(slaney_filters(SAMPLE_RATE, N_FFT, mels)).to(self.window.dtype)
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return 1 at the loudest cell of each crop and -1 at those 100 dB under it."""
        with torch.autocast(device_type=waveforms.device.type, enabled=False):
            spectrum = torch.stft(
                waveforms.to(self.window.dtype), N_FFT, HOP, window=self.window, center=True, pad_mode="reflect",
                return_complex=True,
            )  # fmt: skip
            power = spectrum.real.square() + spectrum.imag.square()
            decibels = 10 * torch.log10((self.filters @ power).clamp_min(POWER_FLOOR))
            under = decibels - decibels.amax(dim=(1, 2), keepdim=True)
            return (1 + under.clamp_min(-RANGE) * (2 / RANGE))[:, None]


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class Bottleneck(nn.Module):
    """A residual block: 1 x 1, 3 x 3, an average pool where it strides, 1 x 1 to four times the width."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1, self.norm1 = _convolution(inputs, width, 1), BatchNorm(width)
        self.conv2, self.norm2 = _convolution(width, width, 3), BatchNorm(width)
        self.conv3, self.norm3 = _convolution(width, outputs, 1), BatchNorm(outputs)
        nn.init.zeros_(self.norm3.weight)  # as CLIP: a block begins as the identity
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(_convolution(inputs, outputs, 1), BatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, bands, frames] to [N, 4 * width, bands / stride, frames / stride]."""
        h = functional.relu(self.norm1(self.conv1(x)))
        h = functional.relu(self.norm2(self.conv2(h)))
        if self.stride > 1:
            h, x = functional.avg_pool2d(h, self.stride), functional.avg_pool2d(x, self.stride)
        return functional.relu(self.norm3(self.conv3(h)) + self.shortcut(x))


class AttentionPool(nn.Module):
    """What a query of the mean position finds among all: [N, C, bands, frames] to [N, dim]."""

    def __init__(self, channels: int, grid: tuple[int, int], heads: int, dim: int) -> None:
        super().__init__()
        self.grid, self.heads = grid, heads
        self.positions = nn.Parameter(torch.randn(1 + grid[0] * grid[1], channels) / channels**0.5)
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.output = nn.Linear(channels, dim)
        for layer in (self.query, self.key, self.value, self.output):
            nn.init.normal_(layer.weight, std=channels**-0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Pool a grid of any size; of another than the learned one the positions are interpolated."""
        grid = (int(x.shape[2]), int(x.shape[3]))
        cells = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1) + self._positions(grid)
        query, key, value = (
            layer(part).view(*part.shape[:2], self.heads, -1).transpose(1, 2)
            for layer, part in ((self.query, tokens[:, :1]), (self.key, tokens), (self.value, tokens))
        )
        found = functional.scaled_dot_product_attention(query, key, value)
        pooled: Tensor = self.output(found.transpose(1, 2).flatten(1))
        return pooled

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        if grid == self.grid:
            return self.positions
        mean, cells = self.positions[:1], self.positions[1:].T.reshape(1, -1, *self.grid)
        cells = functional.interpolate(cells, grid, mode="bilinear", align_corners=False)
        return torch.cat([mean, cells[0].flatten(1).T])


class ClipResNet(nn.Module):
    """Embed waveforms.

    Example:
        >>> network = ClipResNet(TINY).eval()
        >>> network(torch.randn(2, 32000)).shape
        torch.Size([2, 128])
    """

    def __init__(self, config: ResNetConfig = PAPER) -> None:
        super().__init__()
        self.config, self.dim = config, config.dim
        half, width = config.width // 2, config.width
        self.front = LogMel(config.mels)
        self.stem = nn.Sequential(
            _convolution(1, half, 3, 2), BatchNorm(half), nn.ReLU(),
            _convolution(half, half, 3), BatchNorm(half), nn.ReLU(),
            _convolution(half, width, 3), BatchNorm(width), nn.ReLU(),
            nn.AvgPool2d(2),
        )  # fmt: skip
        blocks: list[nn.Module] = []
        channels = width
        for stage, depth in enumerate(config.depths):
            middle = width * 2**stage
            for block in range(depth):
                blocks.append(Bottleneck(channels, middle, 2 if stage and not block else 1))
                channels = middle * EXPANSION
        self.stages = nn.Sequential(*blocks)
        self.pool = AttentionPool(channels, config.grid, config.heads, config.dim)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map waveforms [N, samples] at 16 kHz to embeddings [N, dim], float32 at least.

        Raises:
            ValueError: They are shorter than one position, 0.96 s.
        """
        if not _positions(_frames(waveforms.shape[-1])):
            raise ValueError(f"{waveforms.shape[-1]} samples: give {(REDUCTION - 2) * HOP} (0.96 s) at least")
        pooled = self.pool(self.stages(self.stem(self.front(waveforms))))
        return pooled.to(torch.promote_types(pooled.dtype, torch.float32))

    def embedded(self, signal: Tensor) -> Tensor:
        """Return :meth:`forward` of waveforms."""
        found: Tensor = self(signal)
        return found

    def blocks(self) -> Iterator[nn.Module]:
        """Yield none: computed again, a block would count its batch twice in the running statistics."""
        return iter(())


def published(drop_rate: float) -> ClipResNet:  # noqa: ARG001
    """Return the network of the paper's size. It has no stochastic depth, so ``drop_rate`` is ignored."""
    return ClipResNet(PAPER)


def tiny(drop_rate: float) -> ClipResNet:  # noqa: ARG001
    """Return its sibling of 359,252 parameters, embeddings of 128; ``drop_rate`` is ignored."""
    return ClipResNet(TINY)
