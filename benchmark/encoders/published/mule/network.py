"""SF-NFNet-F0: the two-path, normaliser-free network behind Musicset-ULarge (McCallum et al. 2022).

A *slow* path sees few frames with many channels, a *fast* path four times the frames with few channels; before every
stage, the fast path is fused into the slow one. Nothing normalises activations: kernels are standardised, every
nonlinearity has a gain that keeps the variance, and every residual branch is scaled down.

This is the network as it is trained: kernels are standardised on every call. To embed audio, take
:func:`benchmark.encoders.published.mule.folding.fold` of it, which computes the same function faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Gain of the scaled GELU: a standard normal variable keeps a variance of 1.
GELU_GAIN = 1.7015043497085571
#: Floor of fan_in * variance of a raw kernel in its standardisation.
VARIANCE_FLOOR = 1e-4
#: Least number of frames that a slice may have: one frame of the slow path.
MINIMUM_FRAMES = 16
#: (frequency, time) kernels and strides of the four stem convolutions. Both stems divide the bands by 4.
SLOW_STEM = (((3, 1), (2, 8)), ((3, 1), (1, 1)), ((3, 1), (1, 1)), ((3, 3), (2, 2)))
FAST_STEM = (((3, 3), (2, 2)), ((3, 3), (1, 1)), ((3, 3), (1, 1)), ((3, 3), (2, 2)))

Pair = tuple[int, int]
Four = tuple[int, int, int, int]


@dataclass(frozen=True)
class NetworkConfig:
    """Widths and depths of a network of this family; the defaults are Musicset-ULarge.

    Attributes:
        mels: Bands of a slice; a multiple of 32, since the paths halve them five times.
        slow_stem: Channels of the slow stem's convolutions.
        fast_stem: Channels of the fast stem's convolutions.
        slow_widths: Channels of the slow path after each stage.
        fast_widths: Channels of the fast path after each stage.
        fusion_time_widths: Channels of the convolution over time that begins each fusion.
        fusion_widths: Channels that each fusion puts beside the slow path.
        depths: Blocks of each stage, the same in both paths.
        slow_group: Channels of a group of the grouped convolutions in the slow path.
        fast_group: The same in the fast path.
        alpha: Scale of every residual branch.
        drop_rate: Drop probability that stochastic depth approaches with depth: block i of n keeps 1 - drop_rate*i/n.
    """

    mels: int = 96
    slow_stem: Four = (16, 32, 64, 128)
    fast_stem: Four = (2, 4, 8, 16)
    slow_widths: Four = (256, 512, 1536, 1536)
    fast_widths: Four = (32, 64, 192, 192)
    fusion_time_widths: Four = (32, 32, 64, 192)
    fusion_widths: Four = (128, 256, 512, 3072)
    depths: Four = (1, 2, 6, 3)
    slow_group: int = 128
    fast_group: int = 16
    alpha: float = 0.2
    drop_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.mels < 1 or self.mels % 32:
            raise ValueError(f"mels is {self.mels}: expected a multiple of 32")
        for widths, group in ((self.slow_widths, self.slow_group), (self.fast_widths, self.fast_group)):
            for width in widths:
                if width % (2 * group):
                    raise ValueError(f"a width of {width} is not a multiple of two groups of {group} channels")
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"drop_rate is {self.drop_rate}: expected 0 <= drop_rate < 1")

    @property
    def dim(self) -> int:
        """Width of the embedding: both paths side by side."""
        return self.slow_widths[-1] + self.fast_widths[-1]

    @property
    def slow_inputs(self) -> tuple[int, ...]:
        """Channels that enter each slow stage: the slow path so far and the fused fast path."""
        before = (self.slow_stem[-1], *self.slow_widths[:-1])
        return tuple(slow + fused for slow, fused in zip(before, self.fusion_widths, strict=True))

    @property
    def fast_inputs(self) -> tuple[int, ...]:
        """Channels that enter each fast stage, and each fusion."""
        return (self.fast_stem[-1], *self.fast_widths[:-1])

    def beta(self, stage: int, block: int) -> float:
        """Factor that brings the input of a block back to a variance of 1 at initialisation."""
        if (stage, block) == (0, 0):
            return 1.0
        return 1.0 / math.sqrt(1.0 + self.alpha**2 * (1 + block))

    def survival(self, stage: int, block: int) -> float:
        """Probability that stochastic depth keeps the residual branch of a block."""
        index = [0, *accumulate(self.depths)][stage] + block
        return 1.0 - self.drop_rate * index / sum(self.depths)


#: The published network: 62,345,742 parameters, 8.5 GFLOP for a slice of 300 frames, embeddings of 1728.
ULARGE = NetworkConfig()

#: A sibling of 403,488 parameters and embeddings of 216, for tests and for training on a small machine.
TINY = NetworkConfig(
    slow_stem=(4, 8, 8, 16),
    fast_stem=(2, 2, 4, 4),
    slow_widths=(32, 64, 192, 192),
    fast_widths=(8, 8, 24, 24),
    fusion_time_widths=(4, 4, 8, 24),
    fusion_widths=(16, 32, 64, 192),
    depths=(1, 1, 2, 1),
    slow_group=16,
    fast_group=4,
)


def same_padding(length: int, kernel: int, stride: int) -> Pair:
    """Return the zeros (before, after) an axis so that its output has ceil(length / stride) positions.

    The kernel is centred as TensorFlow does it: the odd zero goes after, so where it falls depends on ``length``.

    >>> same_padding(96, 3, 2), same_padding(75, 3, 2)
    ((0, 1), (1, 1))
    """
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: Pair, stride: Pair) -> tuple[Tensor, Pair]:
    """Return x [B, C, F, T], with zeros where "same" padding is lopsided, and the even padding still to do."""
    top, bottom = same_padding(x.shape[2], kernel[0], stride[0])
    left, right = same_padding(x.shape[3], kernel[1], stride[1])
    if (top, left) == (bottom, right):
        return x, (top, left)
    return functional.pad(x, (left, right, top, bottom)), (0, 0)


def scaled_gelu(x: Tensor) -> Tensor:
    """Return 1.7015 GELU(x), with the exact error function."""
    return functional.gelu(x) * GELU_GAIN


def as_images(slices: Tensor, mels: int) -> Tensor:
    """Return slices [B, mels, T] or [B, 1, mels, T] as [B, 1, mels, T].

    Raises:
        ValueError: Another shape, or fewer than 16 frames.
    """
    x = slices.unsqueeze(1) if slices.ndim == 3 else slices
    if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != mels or x.shape[3] < MINIMUM_FRAMES:
        expected = f"[B, {mels}, T] or [B, 1, {mels}, T] with T >= {MINIMUM_FRAMES}"
        raise ValueError(f"slices have the shape {list(slices.shape)}: expected {expected}")
    return x


def pooled(slow: Tensor, fast: Tensor) -> Tensor:
    """Return the means over frequency and time, side by side, in float32 at least: [B, slow + fast channels]."""
    dtype = torch.promote_types(slow.dtype, torch.float32)
    return torch.cat([slow.mean((2, 3), dtype=dtype), fast.mean((2, 3), dtype=dtype)], dim=1)


class StandardisedConv(nn.Module):
    """A convolution whose kernel is standardised per output channel: mean 0, fan_in * variance = gain**2.

    The floor of 1e-4 under fan_in * variance keeps a constant kernel finite. The bias is left as it is.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Pair, stride: Pair = (1, 1), groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, *kernel))
        self.gain = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.weight[0].numel()))

    def standardised(self) -> Tensor:
        """Return the kernel [C', C/groups, kF, kT] that is convolved with."""
        fan_in = self.weight[0].numel()
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        scale = torch.rsqrt((variance * fan_in).clamp_min(VARIANCE_FLOOR)) * self.gain.view(-1, 1, 1, 1)
        return (self.weight - mean) * scale

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [B, C, F, T]."""
        x, padding = pad_same(x, self.kernel, self.stride)
        return functional.conv2d(x, self.standardised(), self.bias, self.stride, padding, groups=self.groups)


class SqueezeExcite(nn.Module):
    """Gates for channels, in (0, 2), from their means over frequency and time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 2)
        self.excite = nn.Linear(channels // 2, channels)
        for layer in (self.squeeze, self.excite):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [B, C, F, T] times its gates."""
        gates = 2 * torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean((2, 3))))))
        return x * gates[:, :, None, None]


class Block(nn.Module):
    """A bottleneck block: shortcut + alpha * skip_gain * gated residual.

    The first block of a stage is a transition: its shortcut is a convolution of the activated input, averaged over
    pairs of bands where the stage halves them (``stride`` 2). The other blocks hand their input through.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        group: int,
        beta: float,
        alpha: float,
        survival: float,
        first: bool,
        stride: int,
    ) -> None:
        super().__init__()
        self.beta, self.alpha, self.survival, self.stride = beta, alpha, survival, stride
        middle = outputs // 2
        groups = middle // group
        self.conv0 = StandardisedConv(inputs, middle, (1, 1))
        self.conv1 = StandardisedConv(middle, middle, (1, 3), groups=groups)
        self.conv2 = StandardisedConv(middle, middle, (3, 1), groups=groups)
        self.conv3 = StandardisedConv(middle, outputs, (1, 1))
        self.gate = SqueezeExcite(outputs)
        self.skip_gain = nn.Parameter(torch.zeros(()))
        self.shortcut = StandardisedConv(inputs, outputs, (1, 1)) if first else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, inputs, F, T] to [B, outputs, F/stride, T]."""
        h = scaled_gelu(x) * self.beta
        shortcut = x
        if self.shortcut is not None:
            shortcut = self.shortcut(functional.avg_pool2d(h, (self.stride, 1)) if self.stride > 1 else h)
        # conv1 strides over bands with a kernel of one band, and conv0 is pointwise: odd bands are never used.
        r = self.conv0(h[:, :, :: self.stride])
        r = self.conv1(scaled_gelu(r))
        r = self.conv2(scaled_gelu(r))
        r = self.gate(self.conv3(scaled_gelu(r))) * (self.skip_gain * self.alpha)
        if self.training and self.survival < 1:
            r = r * (torch.rand(len(r), 1, 1, 1, device=r.device) < self.survival)
        return shortcut + r


class Stem(nn.Module):
    """Four convolutions with activations between them."""

    def __init__(self, widths: Four, layers: tuple[tuple[Pair, Pair], ...]) -> None:
        super().__init__()
        sizes = zip((1, *widths[:-1]), widths, layers, strict=True)
        self.convs = nn.ModuleList(StandardisedConv(i, o, kernel, stride) for i, o, (kernel, stride) in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, 1, F, T] to [B, C, F/4, T/16] (slow) or [B, C, F/4, T/4] (fast)."""
        first, *others = self.convs
        x = first(x)
        for conv in others:
            x = conv(scaled_gelu(x))
        return x


class Fusion(nn.Module):
    """The fast path at the slow path's frame rate, then widened: two convolutions, linear throughout."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.time = StandardisedConv(inputs, middle, (1, 7), (1, 4))
        self.widen = StandardisedConv(middle, outputs, (1, 1))

    def forward(self, fast: Tensor) -> Tensor:
        """Map the fast path [B, C, F, T] to [B, C', F, ceil(T/4)]."""
        return self.widen(self.time(fast))


def _stages(config: NetworkConfig, inputs: tuple[int, ...], widths: Four, group: int) -> nn.ModuleList:
    stages = nn.ModuleList()
    for stage, depth in enumerate(config.depths):
        blocks = nn.Sequential()
        for block in range(depth):
            blocks.append(
                Block(
                    inputs[stage] if block == 0 else widths[stage],
                    widths[stage],
                    group=group,
                    beta=config.beta(stage, block),
                    alpha=config.alpha,
                    survival=config.survival(stage, block),
                    first=block == 0,
                    stride=2 if block == 0 and stage > 0 else 1,
                )
            )
        stages.append(blocks)
    return stages


class SlowFastNFNet(nn.Module):
    """Embed standardised log-mel slices.

    Example:
        >>> network = SlowFastNFNet(TINY).eval()
        >>> network(torch.randn(2, 96, 300)).shape
        torch.Size([2, 216])
    """

    def __init__(self, config: NetworkConfig = ULARGE) -> None:
        super().__init__()
        self.config = config
        self.slow_stem = Stem(config.slow_stem, SLOW_STEM)
        self.fast_stem = Stem(config.fast_stem, FAST_STEM)
        sizes = zip(config.fast_inputs, config.fusion_time_widths, config.fusion_widths, strict=True)
        self.fusions = nn.ModuleList(Fusion(*size) for size in sizes)
        self.slow_stages = _stages(config, config.slow_inputs, config.slow_widths, config.slow_group)
        self.fast_stages = _stages(config, config.fast_inputs, config.fast_widths, config.fast_group)

    def forward(self, slices: Tensor) -> Tensor:
        """Map slices [B, mels, T] or [B, 1, mels, T], T >= 16 frames, to embeddings [B, dim], float32 at least."""
        x = as_images(slices, self.config.mels)
        slow, fast = self.slow_stem(x), self.fast_stem(x)
        for fusion, slow_stage, fast_stage in zip(self.fusions, self.slow_stages, self.fast_stages, strict=True):
            slow = slow_stage(torch.cat([slow, fusion(fast)], dim=1))
            fast = fast_stage(fast)
        return scaled_gelu(pooled(slow, fast))
