"""Dropout masks that depend on the seed and the step alone, so that a training can be stopped and continued."""

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
        # As few random bits a unit as are exact, 16 at most: then a rate is exact to 1/131072.
        self._bits, self._kept = 16, min(65535, round((1 - rate) * 65536))
        if self._kept == 0:
            raise ValueError(f"a dropout of {rate} keeps nothing")
        while self._kept % 2 == 0:
            self._bits, self._kept = self._bits - 1, self._kept // 2
        self._scale = 1 / (1 - rate)
        self._source = np.random.SFC64([seed, 2, step])

    def next_step(self) -> None:
        """Continue to the masks of the next step."""
        self._step += 1
        if self.rate:
            self._source = np.random.SFC64([self._seed, 2, self._step])

    def draw(self, rows: int, width: int) -> torch.Tensor | None:
        """Return factors float32 [rows, width], 0 or ``1 / (1 - rate)``; ``None`` where the rate is 0."""
        if self.rate == 0:
            return None
        count = rows * width
        words = self._source.random_raw(self._bits * -(-count // 64)).reshape(self._bits, -1)
        units = np.unpackbits(coins(words, self._kept).view(np.uint8), count=count).reshape(rows, width)
        return torch.from_numpy(units).to(self.device).to(torch.float32).mul_(self._scale)


def coins(words: np.ndarray, kept: int) -> np.ndarray:
    """Return uint64 [n] whose bits are 1 with probability ``kept / 2**b``, from fair ones.

    Args:
        words: uint64 [b, n]; the first row may be written into.
        kept: Odd: of an even number, half of it would need a row less.
    """
    # From the last binary digit of the share to its first, "or" with a fair coin where the digit is 1 and "and" where
    # it is 0 halve the distance to 1 and to 0.
    bits: np.ndarray = words[0]
    for digit in range(1, len(words)):
        if kept >> digit & 1:
            bits |= words[digit]
        else:
            bits &= words[digit]
    return bits
