"""``musicset-ularge``: the published model of McCallum et al. 2022 as an encoder, from its authors' own weights.

The pipeline is the published one (see :mod:`benchmark.audio.mule_waveform` and
:mod:`benchmark.encoders.published.mule.frontend`, which name every choice where the reference crashes or is undefined):
slices of 3 s every 2 s, averaged over the track.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from benchmark.encoders.base import Encoder
from benchmark.encoders.published.mule import frontend
from benchmark.encoders.published.mule.convert import load
from benchmark.encoders.published.mule.folding import FoldedNetwork, fold
from benchmark.encoders.weights_file import read_metadata
from benchmark.errors import UserError
from benchmark.system.machine import Precision

#: Slices that go through the network together: on a CPU what its cache holds, on a GPU what half of its free memory
#: holds, at a generous size for the activations of one slice.
CPU_SLICES, MOST_SLICES, SLICE_BYTES = 8, 1024, 64 * 2**20


class Mule(Encoder):
    """SF-NFNet-F0, 1,728 numbers from 3 s of music; non-commercial weights (CC BY-NC 4.0) of PandoraMedia.

    Attributes:
        precision: ``fp32``, or ``bf16`` for the network (the front end is always exact).
        window: Seconds of the windows that a task brings, each then one single slice; ``None`` slices whole tracks.
    """

    name = "musicset-ularge"
    version = "1"
    sample_rate = frontend.SAMPLE_RATE
    decoding = "mule"
    window_seconds = None
    hop_seconds = None
    minimum_seconds = 0.17  # the network needs 16 frames; a whole track is repeated to 3 s by the front end
    dim = 1728
    notes = (
        "Decoding is the published one: 16-bit steps, the sum over channels (so a mono file is half as loud as a "
        "stereo file of two such channels), every file through 44.1 kHz, the kaiser-best filter down to 16 kHz.",
        "Slices of 3 s every 2 s on the published grid: the first begins at 0.5 s, the last ends with the track, and "
        "every 40th centre (80 s, 160 s, ...) is skipped, as published.",
        "Audio under 2.99 s, which the reference cannot embed, is repeated from its start to 3 s.",
        "Audio beyond 15 minutes, on which the reference fails, is one log-mel; nothing is cut at 30.",
        "A window that a task brings (NSynth) is one slice of all its frames, which no published configuration shows.",
    )

    def __init__(self, weights: Path, name: str = "musicset-ularge") -> None:
        """Name the weights (safetensors of :mod:`~benchmark.encoders.published.mule.convert`), read at first use.

        Raises:
            UserError: The file is not such weights.
        """
        self.name, self.weights = name, weights
        self.precision: Precision = "fp32"
        self.window: float | None = None
        try:
            self._checksum = read_metadata(weights)["source_sha256"]
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"{weights} does not hold converted weights ({error})", "fetch or convert them again"
            ) from error
        self._network: FoldedNetwork | None = None
        self._device = "cpu"

    def fingerprint(self) -> str:
        """Return the sha256 of what decides an embedding, the weights by the checksum of their published file."""
        stand_in = copy.copy(self)
        vars(stand_in).update(_network=None, _device="cpu", weights=None)
        return Encoder.fingerprint(stand_in)

    def with_precision(self, precision: Precision) -> Encoder:
        """Return this encoder with a network of ``precision``."""
        other = copy.copy(self)
        other.precision, other._network = precision, None
        return other

    def for_window(self, seconds: float) -> Mule:
        """Return the encoder that takes each window of a task as one slice, as the paper did for NSynth."""
        other = copy.copy(self)
        other.window = seconds
        return other

    def to(self, device: str) -> None:
        """Read the weights and move the network to ``device``."""
        if self._network is None:
            network = fold(load(self.weights))
            self._network = network.to(torch.bfloat16) if self.precision == "bf16" else network
        self._network = self._network.to(device)
        self._device = device

    @torch.inference_mode()
    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, 1, n] at 16 kHz as [B, S, 1728]: S slices of a track, or one for a window of a task."""
        if self._network is None:
            self.to(self._device)
        assert self._network is not None
        inputs = frontend.track_inputs if self.window is None else frontend.window_inputs
        slices = inputs(waveforms[:, 0])
        flat = slices.flatten(0, 1)
        embeddings = torch.cat([self._network(block) for block in torch.split(flat, slices_at_once(self._device))])
        return embeddings.float().reshape(*slices.shape[:2], self.dim)


def slices_at_once(device: str) -> int:
    """Return how many slices go through the network together on ``device``."""
    if not device.startswith("cuda"):
        return CPU_SLICES
    free, _ = torch.cuda.mem_get_info(device)
    return max(CPU_SLICES, min(MOST_SLICES, free // 2 // SLICE_BYTES))
