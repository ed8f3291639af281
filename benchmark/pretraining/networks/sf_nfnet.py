"""SF-NFNet of McCallum et al. 2022 as a network that is pre-trained: from log-mels as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor, nn

from benchmark.encoders.published.mule.frontend import standardised
from benchmark.encoders.published.mule.network import TINY, ULARGE, Block, SlowFastNFNet


class TrainedNFNet(SlowFastNFNet):
    """The published network, which standardises each crop first, as the published encoder does."""

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.config.dim

    def embedded(self, signal: Tensor) -> Tensor:
        """Map log-mels [N, 96, frames >= 16], not standardised, to embeddings [N, dim]."""
        embeddings: Tensor = self(standardised(signal))
        return embeddings

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the residual blocks."""
        return (module for module in self.modules() if isinstance(module, Block))


def published(drop_rate: float) -> TrainedNFNet:
    """Return SF-NFNet-F0, 62.4 million parameters, embeddings of 1728."""
    return TrainedNFNet(replace(ULARGE, drop_rate=drop_rate))


def tiny(drop_rate: float) -> TrainedNFNet:
    """Return its sibling of 403,488 parameters, embeddings of 216."""
    return TrainedNFNet(replace(TINY, drop_rate=drop_rate))
