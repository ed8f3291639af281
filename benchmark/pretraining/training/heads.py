"""What stands on the network while it is trained, and is thrown away: a projector, or a classifier of its form.

In all settings of the paper: three hidden layers of 4096 with ReLU, then a linear output (of 1024 for SimCLR, of one
logit a label for supervised training). As in MULE's published code, that output has no bias and starts at a deviation
of 0.01; the hidden layers start Glorot-uniform with biases of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmark.encoders.published.mule.frontend import standardised
from benchmark.encoders.published.mule.network import TINY, ULARGE, Block, NetworkConfig, SlowFastNFNet

HIDDEN_WIDTH, HIDDEN_LAYERS, PROJECTION = 4096, 3, 1024
OUTPUT_DEVIATION = 0.01

#: Networks by their names in recipes.
NETWORKS: dict[str, NetworkConfig] = {"sf-nfnet-f0": ULARGE, "sf-nfnet-tiny": TINY}


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


class Pretrainer(nn.Module):
    """A network and its head, from raw log-mels."""

    def __init__(self, network: SlowFastNFNet, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, crops: Tensor) -> Tensor:
        """Map log-mels [N, bands, frames], not standardised, to embedding and output side by side: [N, dim + outputs].

        One tensor, so that both come out of a distributed or compiled module as they are; see :meth:`parts`.
        """
        embedding = self.network(standardised(crops))
        return torch.cat([embedding, self.head(embedding).to(embedding.dtype)], dim=1)

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding [N, dim] and the head's output [N, outputs] of rows of :meth:`forward`."""
        return rows[:, : self.network.config.dim], rows[:, self.network.config.dim :]


def checkpoint_activations(network: nn.Module) -> None:
    """Let every block keep its input alone and compute the rest again on the way back: memory for a third more time."""
    for module in network.modules():
        if isinstance(module, Block):
            # On the instance: names of parameters, and so checkpoints, stay as they are.
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)  # type: ignore[method-assign]
