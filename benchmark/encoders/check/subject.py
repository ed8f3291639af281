"""The encoder under check: the lengths of its test inputs, and the time limit of the check."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

import numpy as np

from benchmark.audio.windows import WindowRule
from benchmark.encoders.base import Encoder
from benchmark.encoders.check.rules import Finding
from benchmark.encoders.check.sounds import sounds
from benchmark.encoders.outputs import EncoderOutput, OutputError, as_rows, call_encoder
from benchmark.encoders.time_limit import HungError, TimeLimit
from benchmark.errors import UserError
from benchmark.system.terminal import said_by

USUAL_SECONDS = 3.0  # of input where an encoder takes whole tracks
LONGEST_SECONDS = 30.0
SHORTEST_SECONDS = 0.1  # where no minimum is declared
SOUNDS = 4  # in the batch that most rules are seen on
CALLS = 3  # of that batch must fit into the time, for it to be so large


class Subject:
    """An encoder on a device with the lengths, in samples, that it is tried at, and the time for it.

    Attributes:
        limit: Seconds that the check may take.
        pace: Seconds that the encoder took for a second of audio in the fastest call so far; nothing is known at first.
        count: Sounds in the batch that was last asked for.
        left_out: Rules for which there was no time.
    """

    def __init__(self, encoder: Encoder, device: str, windows: WindowRule, limit: float = math.inf) -> None:
        self.encoder, self.device, self.rate = encoder, device, encoder.sample_rate
        self.layers = len(encoder.layers or ("",))
        self.declared_minimum = windows.minimum
        # Audio up to a maximum comes as a whole; then a window of that length would be a long one to begin with.
        whole = windows.window is None or (
            encoder.window_seconds is None and windows.window == round((encoder.maximum_seconds or 0) * self.rate)
        )
        longest = windows.window if windows.window is not None else round(LONGEST_SECONDS * self.rate)
        self.longest = max(longest, windows.minimum)
        usual = max(round(USUAL_SECONDS * self.rate), windows.minimum) if whole else self.longest
        self.usual = max(1, min(usual, self.longest))
        self.shortest = windows.minimum or min(self.usual, round(SHORTEST_SECONDS * self.rate))
        self.limit, self._started, self.pace = limit, perf_counter(), 0.0
        self.count, self.left_out = 0, list[str]()
        self._time, self._hung = TimeLimit(encoder.name), False

    @property
    def limited(self) -> bool:
        """Whether the check may not take as long as it likes."""
        return math.isfinite(self.limit)

    def output(self, waveforms: np.ndarray) -> tuple[EncoderOutput, np.ndarray]:
        """Return the encoder's output and its rows [B, width]; the encoder may write into the waveforms."""
        started = perf_counter()
        try:
            with self._time.over("made-up audio", len(waveforms) * waveforms.shape[2] / self.rate):
                output = call_encoder(self.encoder, waveforms.copy(), self.device)
        except HungError:
            self._hung = True
            raise
        pace = (perf_counter() - started) / (len(waveforms) * waveforms.shape[2] / self.rate)
        self.pace = min(pace, self.pace or pace)
        return output, as_rows(self.encoder, output, len(waveforms))

    def rows(self, waveforms: np.ndarray) -> np.ndarray:
        """Return the encoder's output as rows [B, width]."""
        return self.output(waveforms)[1]

    def first(self) -> tuple[EncoderOutput, np.ndarray]:
        """Ask for :data:`SOUNDS` sounds, or for fewer where time is short: two, or one.

        Under a limit one sound comes first. It may load weights or compile, so that it says little of the next: where
        it took long, it is asked for again. Thus what is slow once is told from what is slow.
        """
        if not self.limited:
            return self._ask_for(SOUNDS)
        output = self._ask_for(1)
        if not self.fits(CALLS * SOUNDS * self.usual) and self._left() > 0:
            output = self._ask_for(1)
        if self.fits(CALLS * SOUNDS * self.usual):
            return self._ask_for(SOUNDS)
        return self._ask_for(2) if self.fits(2 * self.usual) else output

    def _ask_for(self, count: int) -> tuple[EncoderOutput, np.ndarray]:
        self.count = count
        return self.output(sounds(count, self.usual, self.rate, self.encoder.channels))

    def _left(self) -> float:
        return self.limit - (perf_counter() - self._started)

    def fits(self, samples: int, slower: float = 1.0) -> bool:
        """Say whether so many samples more, in all, can be embedded in time, at a pace ``slower`` than the fastest.

        None can behind a call that did not come back.
        """
        return not self._hung and samples / self.rate * self.pace * slower <= self._left()

    def tried(self, rule: str, samples: int, measure: Callable[[], Finding], slower: float = 1.0) -> list[Finding]:
        """Return what was found, where there is time for so many samples; what the encoder raises breaks the rule."""
        if not self.fits(samples, slower):
            self.left_out.append(rule)
            return []
        try:
            return [measure()]
        except Exception as error:
            return [Finding(rule, False, f"it {said(error)}")]

    def in_seconds(self, samples: int) -> str:
        """Return a length in words."""
        return f"{samples / self.rate:.4g} s"


def said(error: Exception) -> str:
    """Return what an encoder raised, to be read after its name."""
    if isinstance(error, OutputError):
        return str(error)
    return f"says: {error}" if isinstance(error, UserError) else f"raised {said_by(error)}"
