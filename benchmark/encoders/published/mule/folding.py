"""Folding of a trained network for inference: the same function, several times faster on a CPU.

Kernels are standardised once. Every constant moves into the kernel or bias beside it: the gain of the GELU and beta
into the next convolution, 2 * alpha * skip_gain into the last one of a block. The gates need the mean of that
convolution's output, which is the convolution of the mean of its input: its kernel is multiplied into the squeezing
layer, and the gates are known before it runs. Each step is exact in real numbers; in float32, embeddings move by 4e-7.

Tensors are channels-last, and float32 convolutions on a CPU go to oneDNN by name: for 1x1 kernels in one thread,
PyTorch would call the matrix product of MKL, which reaches half the rate on some processors. What each of these gives
is measured by tests/perf/mule_network.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.encoders.published.mule.network import (
    GELU_GAIN,
    Block,
    Fusion,
    SlowFastNFNet,
    StandardisedConv,
    Stem,
    as_images,
    pad_same,
    pooled,
    scaled_gelu,
)

_gelu_in_place = torch.ops.aten.gelu_
_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def fold(network: SlowFastNFNet) -> FoldedNetwork:
    """Return a module for inference that computes the same embeddings as ``network`` in evaluation mode.

    It holds copies and has no gradients. ``.to(torch.bfloat16)`` is faster still where the processor multiplies
    bfloat16: embeddings remain float32 and keep a cosine above 0.999 to those computed in float32.
    """
    with torch.no_grad():
        return FoldedNetwork(network).eval()


class FoldedConv(nn.Module):
    """A convolution with "same" padding, its kernel standardised and its input's constant factor merged."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: StandardisedConv, factor: float = 1.0) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = conv.kernel, conv.stride, conv.groups
        weight = (conv.standardised() * factor).contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [B, C, F, T]."""
        x, padding = pad_same(x, self.kernel, self.stride)
        if x.device.type == "cpu" and x.dtype == torch.float32 and _ONEDNN:
            return torch.mkldnn_convolution(x, self.weight, self.bias, padding, self.stride, (1, 1), self.groups)
        return functional.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)


class FoldedBlock(nn.Module):
    """A :class:`Block` without its constants. It may overwrite its input."""

    squeeze_weight: Tensor
    squeeze_bias: Tensor
    excite_weight: Tensor
    excite_bias: Tensor

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.stride = block.stride
        scale = GELU_GAIN * block.beta
        self.shortcut = None if block.shortcut is None else FoldedConv(block.shortcut, scale)
        self.conv0 = FoldedConv(block.conv0, scale)
        self.conv1 = FoldedConv(block.conv1, GELU_GAIN)
        self.conv2 = FoldedConv(block.conv2, GELU_GAIN)
        self.conv3 = FoldedConv(block.conv3, GELU_GAIN)
        squeeze, excite = block.gate.squeeze, block.gate.excite
        self.register_buffer("squeeze_weight", squeeze.weight @ self.conv3.weight[:, :, 0, 0])
        self.register_buffer("squeeze_bias", squeeze.weight @ self.conv3.bias + squeeze.bias)
        self.register_buffer("excite_weight", excite.weight.detach().clone())
        self.register_buffer("excite_bias", excite.bias.detach().clone())
        self.conv3.weight *= 2 * block.alpha * block.skip_gain
        self.conv3.bias *= 2 * block.alpha * block.skip_gain

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, inputs, F, T] to [B, outputs, F/stride, T]."""
        if self.shortcut is None:
            h, shortcut = functional.gelu(x), x
        else:
            h = _gelu_in_place(x)
            shortcut = self.shortcut(functional.avg_pool2d(h, (self.stride, 1)) if self.stride > 1 else h)
        if self.stride > 1:
            h = h[:, :, :: self.stride].contiguous(memory_format=torch.channels_last)
        r = _gelu_in_place(self.conv0(h))
        r = _gelu_in_place(self.conv1(r))
        r = _gelu_in_place(self.conv2(r))
        gates = functional.relu(functional.linear(r.mean((2, 3)), self.squeeze_weight, self.squeeze_bias))
        gates = torch.sigmoid(functional.linear(gates, self.excite_weight, self.excite_bias))
        return shortcut.addcmul_(self.conv3(r), gates[:, :, None, None])


class FoldedStem(nn.Module):
    """A :class:`Stem` without its constants."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        for conv in stem.convs:
            assert isinstance(conv, StandardisedConv)
            self.convs.append(FoldedConv(conv, GELU_GAIN if len(self.convs) else 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, 1, F, T] to [B, C, F/4, T/16] (slow) or [B, C, F/4, T/4] (fast)."""
        first, *others = self.convs
        x = first(x)
        for conv in others:
            x = conv(_gelu_in_place(x))
        return x


class FoldedNetwork(nn.Module):
    """What :func:`fold` returns: the same call and the same embeddings as the network it was made from."""

    def __init__(self, network: SlowFastNFNet) -> None:
        super().__init__()
        self.config = network.config
        self.slow_stem, self.fast_stem = FoldedStem(network.slow_stem), FoldedStem(network.fast_stem)
        self.fusions = nn.ModuleList()
        for fusion in network.fusions:
            assert isinstance(fusion, Fusion)
            self.fusions.append(nn.Sequential(FoldedConv(fusion.time), FoldedConv(fusion.widen)))
        self.slow_stages = _stages(network.slow_stages)
        self.fast_stages = _stages(network.fast_stages)

    @torch.no_grad()
    def forward(self, slices: Tensor) -> Tensor:
        """Map slices [B, mels, T] or [B, 1, mels, T], T >= 16 frames, to float32 embeddings [B, dim]."""
        x = as_images(slices, self.config.mels).to(next(self.buffers()).dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        slow, fast = self.slow_stem(x), self.fast_stem(x)
        for fusion, slow_stage, fast_stage in zip(self.fusions, self.slow_stages, self.fast_stages, strict=True):
            slow = slow_stage(torch.cat([slow, fusion(fast)], dim=1))
            fast = fast_stage(fast)
        return scaled_gelu(pooled(slow, fast))


def _stages(stages: nn.ModuleList) -> nn.ModuleList:
    folded = nn.ModuleList()
    for stage in stages:
        assert isinstance(stage, nn.Sequential)
        folded.append(nn.Sequential(*(FoldedBlock(block) for block in stage if isinstance(block, Block))))
    return folded
