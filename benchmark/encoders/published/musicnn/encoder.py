"""``musicnn-msd`` and ``musicnn-mtt``: MusiCNN (Pons and Serra 2019) as encoders, from its authors' own weights.

The grid is the published one: windows of 187 frames (2.992 s), one after the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from benchmark.encoders.base import Encoder
from benchmark.encoders.published.musicnn.convert import load, read_checksum
from benchmark.encoders.published.musicnn.frontend import SAMPLE_RATE, WINDOW, LogMelFrames
from benchmark.encoders.published.musicnn.network import LAYERS, PUBLISHED, Musicnn
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.encoders.spec import EncoderSpec

Layer = Literal["penultimate", "max_pool", "mean_pool", "pool", "taggram"]
DEFAULT_LAYER = "penultimate"

#: Windows that go through the network together: more than a few leave a CPU's cache, a GPU is filled by many.
CPU_WINDOWS, GPU_WINDOWS = 2, 64


class MusicnnEncoder(Encoder):
    """MusiCNN, 200 numbers from 3 s of music; weights of the Music Technology Group, UPF (ISC licence)."""

    name = "musicnn-msd"
    version = "1"
    sample_rate = SAMPLE_RATE
    window_seconds = WINDOW / SAMPLE_RATE
    hop_seconds = None
    minimum_seconds = 0.5
    dim = PUBLISHED.units
    notes = (
        "Windows are the published 187 frames (2.992 s), one after the other. The published code takes one transform "
        "of the whole track and leaves out what is behind the last whole window; here each window is reflected at its "
        "own ends, which touches the first of its frames, and a last window ends with the track.",
        "A task's own window of N samples has N // 256 frames, as published: 187 of 3 s. A track under 2.992 s is "
        "taken at its own length, and repeated up to 0.5 s below that; the weights have seen 187 frames only.",
        "float32 throughout. The published code multiplies float16 numbers by 10,000 and gives NaN for loud music.",
        "Files are resampled by the harness (soxr); the published code let librosa do it (resampy, kaiser-best), which "
        "moves embeddings by some per cent.",
        "The layers 'max_pool', 'mean_pool' (753 each) and 'pool' (1506, both interleaved) are before their batch "
        "norm; 'taggram' holds the probabilities of the 50 tags. MSD_musicnn_big, which other benchmarks use, is not "
        "in the package.",
    )
    not_in_fingerprint: ClassVar[tuple[str, ...]] = (*Encoder.not_in_fingerprint, "weights", "_network", "_frames")

    def __init__(self, weights: Path, name: str = "musicnn-msd", layer: str = DEFAULT_LAYER) -> None:
        """Name the weights (safetensors of :mod:`~benchmark.encoders.published.musicnn.convert`), read at first use.

        Raises:
            UserError: The file is not such weights, or there is no such layer.
        """
        if layer not in LAYERS:
            raise UserError(f"MusiCNN has no layer {layer!r}", f"take one of {', '.join(LAYERS)}")
        self.name = name if layer == DEFAULT_LAYER else f"{name}?layer={layer}"
        self.weights, self.layer = weights, layer
        self.checksum, config = read_checksum(weights)
        self.dim = config.width(layer)
        self.device = "cpu"
        self._network: Musicnn | None = None
        self._frames = LogMelFrames().eval()

    def to(self, device: str) -> None:
        """Read the weights and move the network to ``device``."""
        network = load(self.weights) if self._network is None else self._network
        self._network = network.to(device).prepare()
        self._frames.to(device)
        self.device = device

    @torch.inference_mode()
    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, 1, N] at 16 kHz, N > 256, as float32 [B, dim]."""
        if self._network is None:
            self.to(self.device)
        assert self._network is not None
        at_once = GPU_WINDOWS if self.device.startswith("cuda") else CPU_WINDOWS
        blocks = torch.split(waveforms[:, 0], at_once)
        return torch.cat([self._network(self._frames(block), self.layer) for block in blocks])


def open_musicnn(spec: EncoderSpec, home: Path) -> MusicnnEncoder:
    """Return the encoder that ``spec`` names (``musicnn-msd`` or ``musicnn-mtt``), with the weights in ``home``.

    Raises:
        UserError: No weights yet (the message is the command that fetches them), or an option that there is not.
    """
    from benchmark.encoders.published.weights import weights_of

    spec.check_options(("layer",))
    layer = spec.option("layer", Layer, DEFAULT_LAYER)
    return MusicnnEncoder(weights_of(spec.target, home), spec.target, layer)
