"""Heads on a network, and a network with one.

The projector has the settings of McCallum et al. 2022: three hidden layers of 4096 with ReLU, then a linear output (of
1024 for SimCLR, of one logit a label for supervised training). As in MULE's published code, that output has no bias and
starts at a deviation of 0.01; the hidden layers start Glorot-uniform with biases of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmark.pretraining.networks.table import NETWORKS, build

HIDDEN_WIDTH, HIDDEN_LAYERS, PROJECTION = 4096, 3, 1024
OUTPUT_DEVIATION = 0.01


class Projector(nn.Sequential):
    """Linear layers with ReLU between them: [N, inputs] to [N, outputs]."""

    def __init__(
        self, inputs: int, outputs: int = PROJECTION, width: int = HIDDEN_WIDTH, layers: int = HIDDEN_LAYERS
    ) -> None:
        super().__init__(*_layers(inputs, outputs, width, layers))


def _layers(inputs: int, outputs: int, width: int, layers: int) -> Iterator[nn.Module]:
    for _ in range(layers):
        hidden = nn.Linear(inputs, width)
        nn.init.xavier_uniform_(hidden.weight)
        nn.init.zeros_(hidden.bias)
        yield hidden
        yield nn.ReLU()
        inputs = width
    last = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(last.weight, std=OUTPUT_DEVIATION)
    yield last


class NetworkWithHead(nn.Module):
    """A network and its head, from the network's signal."""

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, signal: Tensor) -> Tensor:
        """Map the network's signal [N, ...] to embedding and output side by side: [N, dim + outputs].

        One tensor, so that both come out of a distributed or compiled module as they are; see :meth:`parts`.
        """
        network: Any = self.network  # see networks.table.Network
        embedding: Tensor = network.embedded(signal)
        return torch.cat([embedding, self.head(embedding).to(embedding.dtype)], dim=1)

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding [N, dim] and the head's output [N, outputs] of rows of :meth:`forward`."""
        dim: Any = self.network.dim
        return rows[:, :dim], rows[:, dim:]


def with_projector(network: str, drop_rate: float, outputs: int, width: int, layers: int) -> NetworkWithHead:
    """Return a network of the table with a projector of so many outputs, both with drawn weights."""
    head = Projector(NETWORKS[network].dim, outputs, width, layers)  # drawn first, as ever
    return NetworkWithHead(build(network, drop_rate), head)


def checkpoint_activations(network: nn.Module) -> bool:
    """Let every block keep its input alone and compute the rest again on the way back: memory for a third more time.

    Returns:
        Whether the network has such blocks.
    """
    blocks = list(getattr(network, "blocks", lambda: ())())
    for module in blocks:
        # On the instance: names of parameters, and so checkpoints, stay as they are.
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    return bool(blocks)
