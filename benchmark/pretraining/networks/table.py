"""The networks that recipes name: what each takes, and where it is built. Imports no torch, for listings.

A network is a ``torch.nn.Module`` with a width ``dim`` and a method ``embedded(signal)``, which maps what it takes to
embeddings [N, dim], front end and standardisation included. Its ``state_dict`` is what is exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

#: ``log-mel``: stored log-mels, float [N, 96, frames], 100 frames a second, as they are stored; ``waveform``: float32
#: [N, samples], mono at 16 kHz, 160 samples a frame.
Signal = Literal["log-mel", "waveform"]


class Network(Protocol):
    """What every network has beside what a module has."""

    dim: int

    def embedded(self, signal: Tensor) -> Tensor:
        """Map the network's signal to embeddings [N, dim]."""

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the parts whose activations may be computed again on the way back; none where there are none."""


@dataclass(frozen=True)
class NetworkKind:
    """A network by its name in recipes.

    Attributes:
        signal: What it takes.
        dim: Width of its embeddings.
        build: ``module:function``; the function takes the rate of stochastic depth (which a network without it
            ignores) and returns the module, its weights drawn from torch's generator.
        window_seconds: Of a network of waveforms: the windows in which it embeds tracks.
        hop_seconds: And from one to the next.
        frames: Whether it has ``frames(signal)`` too, [N, dim, T], 100 a second, whose mean is the embedding.
    """

    signal: Signal
    dim: int
    build: str
    window_seconds: float | None = None
    hop_seconds: float | None = None
    frames: bool = False


_MULE = "benchmark.pretraining.networks.sf_nfnet"
_CLIP = "benchmark.pretraining.networks.clip_resnet"
_MUSICNN = "benchmark.pretraining.networks.musicnn_shaped"
_WAVE = "benchmark.pretraining.networks.wave_cnn"

NETWORKS: Mapping[str, NetworkKind] = {
    "sf-nfnet-f0": NetworkKind("log-mel", 1728, f"{_MULE}:published"),
    "sf-nfnet-tiny": NetworkKind("log-mel", 216, f"{_MULE}:tiny"),
    # Windows that do not overlap, each as long as the crops of its training: the paper's protocol.
    "clip-resnet": NetworkKind("waveform", 1024, f"{_CLIP}:published", 4.0, 4.0),
    "clip-resnet-tiny": NetworkKind("waveform", 128, f"{_CLIP}:tiny", 2.0, 2.0),
    "musicnn": NetworkKind("waveform", 1506, f"{_MUSICNN}:paper", window_seconds=3.0, hop_seconds=3.0),
    "musicnn-tiny": NetworkKind("waveform", 184, f"{_MUSICNN}:tiny", window_seconds=3.0, hop_seconds=3.0),
    "wave-cnn": NetworkKind("waveform", 256, f"{_WAVE}:wave_cnn", 3.0, 2.0, frames=True),
    "wave-cnn-tiny": NetworkKind("waveform", 64, f"{_WAVE}:wave_cnn_tiny", 3.0, 2.0, frames=True),
    "mel-cnn": NetworkKind("waveform", 256, f"{_WAVE}:mel_cnn", 3.0, 2.0, frames=True),
    "mel-cnn-tiny": NetworkKind("waveform", 64, f"{_WAVE}:mel_cnn_tiny", 3.0, 2.0, frames=True),
}


def build(name: str, drop_rate: float = 0.0) -> nn.Module:
    """Return the network ``name`` with drawn weights.

    Args:
        name: A name of :data:`NETWORKS`.
        drop_rate: Rate of stochastic depth.
    """
    module, _, function = NETWORKS[name].build.partition(":")
    network: nn.Module = getattr(import_module(module), function)(drop_rate)
    return network
