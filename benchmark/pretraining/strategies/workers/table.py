"""The table of workers: a new one is a function from crops to its target, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from benchmark.pretraining.strategies.workers import targets
from benchmark.pretraining.strategies.workers.crops import Crops


@dataclass(frozen=True)
class Worker:
    """What a small head on the encoder's frames predicts.

    Attributes:
        target: From crops to [N, width, T].
        width: Numbers a frame.
        loss: Mean squared, or mean absolute, error of the standardised target.
    """

    target: Callable[[Crops], Tensor]
    width: int
    loss: Literal["mse", "l1"] = "mse"

    def error(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean error of predictions [N, width, T], in float32 at least."""
        error = functional.l1_loss if self.loss == "l1" else functional.mse_loss
        return error(predicted.to(wanted.dtype), wanted)


#: Workers by the names that recipes have.
WORKERS: dict[str, Worker] = {
    "waveform": Worker(targets.waveform, 160, "l1"),
    "log-mel": Worker(targets.log_mel, targets.MEL_BANDS),
    "mfcc": Worker(targets.mfcc, targets.COEFFICIENTS),
    "chroma": Worker(targets.chroma, 12),
    "tempogram": Worker(targets.tempogram, targets.TEMPO_BINS),
    "prosody": Worker(targets.prosody, 4),
}


def head(inputs: int, outputs: int, width: int) -> nn.Module:
    """Return what a worker is trained with: [N, inputs, T] to [N, outputs, T], one hidden layer as in PASE.

    The waveform's too: PASE has transposed convolutions for it, and here 160 samples are predicted from their frame.
    """
    return nn.Sequential(nn.Conv1d(inputs, width, 1), nn.PReLU(width), nn.Conv1d(width, outputs, 1))
