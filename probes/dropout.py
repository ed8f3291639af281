"""Dropout masks that depend on the seed and the step alone, so that a training can be set aside and taken up again."""

from __future__ import annotations

import numpy as np
import torch


class DropoutMasks:
    """Seeded inverted dropout: a unit is 0 with probability ``rate``, else its value times ``1 / (1 - rate)``.

    Args:
        rate: Between 0 and 1.
        seed: Of the masks.
        device: torch's name of the device.
        step: The step whose masks are drawn first.
    """

    def __init__(self, rate: float, seed: int, device: str, step: int = 0) -> None:
        self.rate, self.device = rate, device
        self._seed, self._step = seed, step
        # 8 random bits decide a unit where that is exact, else 16: exact to 1/65536, and fast beside a float a unit.
        self._bits: type[np.uint8] | type[np.uint16] = np.uint8 if float(rate * 256).is_integer() else np.uint16
        self._least = round(rate * (256 if self._bits is np.uint8 else 65536))
        self._scale = np.float32(1 / (1 - rate))
        self._source = np.random.SFC64([seed, 2, step])

    def next_step(self) -> None:
        """Go on to the masks of the next step."""
        self._step += 1
        if self.rate:
            self._source = np.random.SFC64([self._seed, 2, self._step])

    def draw(self, rows: int, width: int) -> torch.Tensor | None:
        """Return factors float32 [rows, width], 0 or ``1 / (1 - rate)``; ``None`` where the rate is 0."""
        if self.rate == 0:
            return None
        wanted = rows * width
        words = self._source.random_raw(-(-wanted * self._bits().itemsize // 8))
        drawn: np.ndarray = words.view(self._bits)[:wanted]
        factors = (drawn >= self._least) * self._scale
        return torch.from_numpy(factors.reshape(rows, width)).to(self.device)
