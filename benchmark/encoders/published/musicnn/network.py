"""MusiCNN as a network for inference: 787,159 numbers, about 2.8 GFLOP for a window of 187 frames.

Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (2019). Every convolution
is followed by ReLU and then by batch norm, which at inference is one factor and one term a channel; the maximum over
frequency is taken before them, on the bare convolution, so that the large maps are touched twice and not five times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Layers that :meth:`Musicnn.forward` can answer with.
LAYERS = ("penultimate", "max_pool", "mean_pool", "pool", "taggram")


@dataclass(frozen=True)
class MusicnnConfig:
    """Sizes of a network: timbral filters (frames, bands), temporal filters (frames), channels, units and tags."""

    bands: int = 96
    timbral: tuple[tuple[int, int], ...] = ((7, 38), (7, 67))
    timbral_channels: int = 204
    temporal: tuple[int, ...] = (128, 64, 32)
    temporal_channels: int = 51
    middle: int = 3
    middle_channels: int = 64
    units: int = 200
    tags: int = 50

    @property
    def front(self) -> int:
        """Channels that leave the front end."""
        return len(self.timbral) * self.timbral_channels + len(self.temporal) * self.temporal_channels

    @property
    def pooled(self) -> int:
        """Channels that are pooled over time."""
        return self.front + self.middle * self.middle_channels

    def width(self, layer: str) -> int:
        """Return the dimension of ``layer``, one of :data:`LAYERS`."""
        pooled = self.pooled
        widths = (self.units, pooled, pooled, 2 * pooled, self.tags)
        return dict(zip(LAYERS, widths, strict=True))[layer]


#: The two published networks, of MagnaTagATune and of the Million Song Dataset, are of one size.
PUBLISHED = MusicnnConfig()
TINY = MusicnnConfig(24, ((3, 10), (3, 17)), 5, (8, 4, 3), 3, 3, 4, 6, 5)


class Affine(nn.Module):
    """What a batch norm is at inference: a factor and a term for each of ``channels``, on axis 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, ...] scaled and shifted by channel."""
        shape = (1, -1, *([1] * (x.dim() - 2)))
        return torch.addcmul(self.shift.view(shape), x, self.scale.view(shape))


class FrontConvolution(nn.Module):
    """A convolution over time and frequency, ReLU, batch norm, and the maximum over all frequencies.

    Time keeps its length: of a kernel of k frames, (k - 1) // 2 are zeros before the first frame, as TensorFlow pads.
    A channel whose batch norm turns the sign has its largest value where the convolution is smallest, so the kernels of
    such channels are negated (:meth:`turned`), and one maximum serves all of them.
    """

    def __init__(self, channels: int, frames: int, bands: int) -> None:
        super().__init__()
        self.frames = frames
        self.weight = nn.Parameter(torch.zeros(channels, 1, frames, bands))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = Affine(channels)

    def turned(self) -> tuple[Tensor, Tensor]:
        """Return the kernels with the sign of their batch norm's factor, and that sign [C, 1]."""
        sign = torch.where(self.norm.scale < 0, -1.0, 1.0)
        return self.weight * sign.view(-1, 1, 1, 1), sign.view(-1, 1)

    def forward(self, x: Tensor, turned: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Map frames [B, 1, T, bands] to [B, C, T]."""
        kernels, sign = turned or self.turned()
        before = (self.frames - 1) // 2
        x = functional.pad(x, (0, 0, before, self.frames - 1 - before))
        largest = functional.conv2d(x, kernels).amax(3)
        return self.norm(torch.relu(largest * sign + self.bias.view(-1, 1)))


class MiddleConvolution(nn.Module):
    """A convolution over time, ReLU and batch norm: [B, C, T] to [B, D, T]."""

    def __init__(self, channels: int, out: int, frames: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out, frames, padding=frames // 2)
        self.norm = Affine(out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, T] to [B, D, T]."""
        return self.norm(torch.relu(self.conv(x)))


class Musicnn(nn.Module):
    """The network; its parameters are filled by :mod:`benchmark.encoders.published.musicnn.checkpoint`."""

    def __init__(self, config: MusicnnConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.input_norm = Affine(1)
        self.timbral = nn.ModuleList(FrontConvolution(config.timbral_channels, *size) for size in config.timbral)
        self.temporal = nn.ModuleList(FrontConvolution(config.temporal_channels, k, 1) for k in config.temporal)
        channels = [config.front] + [config.middle_channels] * (config.middle - 1)
        self.middle = nn.ModuleList(MiddleConvolution(n, config.middle_channels) for n in channels)
        self.pool_norm = Affine(2 * config.pooled)
        self.dense = nn.Linear(2 * config.pooled, config.units)
        self.dense_norm = Affine(config.units)
        self.output = nn.Linear(config.units, config.tags)
        self._turned: list[tuple[Tensor, Tensor]] | None = None

    def prepare(self) -> Musicnn:
        """Turn the kernels once for all windows to come; to be called when the weights and the device are final."""
        with torch.no_grad():
            self._turned = [block.turned() for block in self._front()]
        return self

    def forward(self, frames: Tensor, layer: str = "penultimate") -> Tensor:
        """Map log-mel frames float32 [B, T, 96] (log10(1 + 10000 S)) to one of :data:`LAYERS`.

        - ``penultimate`` [B, 200]: after the last batch norm;
        - ``max_pool`` and ``mean_pool`` [B, 753]: over time, of the front end's 561 channels and three times 64;
        - ``pool`` [B, 1506]: both as the dense layer takes them, interleaved (maximum, mean of channel 0, of 1, ...);
        - ``taggram`` [B, 50]: probabilities of the tags.
        """
        features = self._features(frames)
        if layer == "max_pool":
            return features.amax(2)
        if layer == "mean_pool":
            return features.mean(2)
        pooled = torch.stack([features.amax(2), features.mean(2)], dim=2).flatten(1)
        if layer == "pool":
            return pooled
        penultimate: Tensor = self.dense_norm(torch.relu(self.dense(self.pool_norm(pooled))))
        if layer == "penultimate":
            return penultimate
        if layer != "taggram":
            raise ValueError(f"no layer {layer!r}: there are {', '.join(LAYERS)}")
        return torch.sigmoid(self.output(penultimate))

    def _front(self) -> Sequence[FrontConvolution]:
        return [block for block in (*self.timbral, *self.temporal) if isinstance(block, FrontConvolution)]

    def _features(self, frames: Tensor) -> Tensor:
        """Return the channels [B, 753, T] that are pooled over time."""
        x = self.input_norm(frames[:, None])
        front = self._front()
        turned: Sequence[tuple[Tensor, Tensor] | None] = self._turned or [None] * len(front)
        features = torch.cat([block(x, kernels) for block, kernels in zip(front, turned, strict=True)], dim=1)
        x = self.middle[0](features)
        blocks = [features, x]
        for block in self.middle[1:]:
            x = x + block(x)
            blocks.append(x)
        return torch.cat(blocks, dim=1)


def parameters_from(variables: Mapping[str, Tensor], config: MusicnnConfig = PUBLISHED) -> dict[str, Tensor]:
    """Return the parameters of a :class:`Musicnn` from the variables of a TensorFlow graph, by their names there.

    Batch norms (epsilon 0.001) become a factor and a term, computed in float64.

    Raises:
        KeyError: A variable is missing; the argument is its name.
        ValueError: A variable has another shape.
    """
    reader = _Reader(variables)
    timbral, temporal = len(config.timbral), len(config.temporal)
    reader.norm("input_norm", 0, 1)
    for i in range(timbral + temporal):
        prefix = f"timbral.{i}" if i < timbral else f"temporal.{i - timbral}"
        channels = config.timbral_channels if i < timbral else config.temporal_channels
        height, width = config.timbral[i] if i < timbral else (config.temporal[i - timbral], 1)
        kernel = reader.take(_name("conv2d", i), "kernel", (height, width, 1, channels))
        reader.tensors[f"{prefix}.weight"] = kernel.permute(3, 2, 0, 1)
        reader.tensors[f"{prefix}.bias"] = reader.take(_name("conv2d", i), "bias", (channels,))
        reader.norm(f"{prefix}.norm", i + 1, channels)
    for i in range(config.middle):
        number, channels = timbral + temporal + i, config.middle_channels
        before = config.front if i == 0 else channels
        kernel = reader.take(_name("conv2d", number), "kernel", (7, before, 1, channels))
        reader.tensors[f"middle.{i}.conv.weight"] = kernel[:, :, 0].permute(2, 1, 0)
        reader.tensors[f"middle.{i}.conv.bias"] = reader.take(_name("conv2d", number), "bias", (channels,))
        reader.norm(f"middle.{i}.norm", number + 1, channels)
    norms = timbral + temporal + config.middle + 1
    reader.norm("pool_norm", norms, 2 * config.pooled)
    reader.norm("dense_norm", norms + 1, config.units)
    sizes = (2 * config.pooled, config.units, config.tags)
    for i, prefix in enumerate(("dense", "output")):
        reader.tensors[f"{prefix}.weight"] = reader.take(_name("dense", i), "kernel", sizes[i : i + 2]).T
        reader.tensors[f"{prefix}.bias"] = reader.take(_name("dense", i), "bias", sizes[i + 1 : i + 2])
    return {name: tensor.contiguous() for name, tensor in reader.tensors.items()}


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


class _Reader:
    """Takes variables by name, holds them against the shapes that are wanted, and gathers parameters."""

    def __init__(self, variables: Mapping[str, Tensor]) -> None:
        self.variables = variables
        self.tensors: dict[str, Tensor] = {}

    def take(self, scope: str, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self.variables[f"{scope}/{name}"]
        if tensor.shape != shape:
            raise ValueError(f"{scope}/{name} has the shape {list(tensor.shape)}, expected {list(shape)}")
        return tensor

    def norm(self, prefix: str, number: int, channels: int) -> None:
        scope = _name("batch_normalization", number)
        gamma, beta, mean, variance = (
            self.take(scope, name, (channels,)).double() for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / torch.sqrt(variance + 1e-3)
        self.tensors[f"{prefix}.scale"] = scale.float()
        self.tensors[f"{prefix}.shift"] = (beta - mean * scale).float()
