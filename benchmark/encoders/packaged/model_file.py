"""Model files that map waveforms to embeddings: their options, and the layout of inputs found by trial calls.

Neither ONNX nor TorchScript says what its numbers mean. So the sample rate must be given, and the rest is found by
calling the model on noise: whether it takes [B, N] or [B, C, N], whether batches work, and the width of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.declarations import WINDOWS, check_rate, check_width
from benchmark.encoders.packaged.common import WINDOW_OPTIONS, Windows, windows_of
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError

#: Axes of a model's input: batch, channels, samples.
Layout = Literal["bn", "bcn", "bnc"]
LAYOUTS: Mapping[int, tuple[Layout, ...]] = {2: ("bn",), 3: ("bcn", "bnc")}
OPTIONS = (*WINDOW_OPTIONS, "sample_rate", "channels", "layout", "frames")

PROBE_SECONDS = 3.0  # of noise, where a model takes whole tracks
TOLERANCE = 1e-3  # between a window alone and in a batch, of the largest value: far above rounding


class ModelFile(Encoder):
    """A file that maps waveforms [B, N] or [B, C, N] to embeddings [B, D] or frames [B, T, D].

    Attributes:
        content: sha256 of the file, with its side files where it has any.
        frames: ``middle`` for answers [B, T, D], ``last`` for [B, D, T].
        layout: The axes of its input.
        one_by_one: Whether it takes one window at a time only.
    """

    not_in_fingerprint = (*Encoder.not_in_fingerprint, "one_by_one")

    hop_seconds = None
    notes = (
        "What the model does before its first layer is in the file; rate, channels and windows are what the user said.",
        "An answer with frames [B, T, D] is averaged over them; frames=last reads it as [B, D, T].",
    )

    def __init__(self, spec: EncoderSpec, content: str) -> None:
        """Read what the user said of the model's audio.

        Raises:
            UserError: The sample rate is missing, or an option has no such value.
        """
        if "sample_rate" not in spec.options:
            raise UserError(
                f"the encoder {spec.text!r} needs sample_rate=: the file does not give the sample rate of its model, "
                "and at a wrong one every embedding would be wrong",
                f"Write {spec.text}?sample_rate=16000",
            )
        self.sample_rate = spec.option("sample_rate", int)
        check_rate(self.sample_rate, f"the encoder {spec.text!r} has sample_rate={self.sample_rate}")
        self.channels = spec.option("channels", Literal[1, 2], 1)
        self.frames = spec.option("frames", Literal["middle", "last"], "middle")
        self.content = content
        self.version = content[:12]

    def set_windows(self, spec: EncoderSpec, samples: int | None) -> None:
        """Declare the windows that the user gave, or the only length that the model takes.

        Raises:
            UserError: No window is given where the model takes any length, or one that it does not take.
        """
        fixed = None if samples is None else samples / self.sample_rate
        if fixed is not None and not WINDOWS[0] <= fixed <= WINDOWS[1]:
            raise UserError(
                f"the encoder {spec.text!r} takes exactly {samples} samples, {fixed:g} s at {self.sample_rate} Hz, "
                "which is no window of audio",
                "check that it takes a waveform, and that sample_rate is right",
            )
        if fixed is None and "window" not in spec.options:
            raise UserError(
                f"the encoder {spec.text!r} needs window=",
                "say how many seconds one input holds, such as window=3, or window=track for whole tracks",
            )
        windows: Windows = windows_of(spec, fixed, None)
        if samples is not None and (
            windows.seconds is None
            or round(windows.seconds * self.sample_rate) != samples
            or windows.minimum not in (None, windows.seconds)
        ):
            raise UserError(
                f"the encoder {spec.text!r} takes exactly {samples} samples, {fixed:g} s at {self.sample_rate} Hz",
                "leave window and minimum out, or export it with a dynamic length (or is sample_rate wrong?)",
            )
        self.window_seconds, self.hop_seconds = windows.seconds, windows.hop
        self.minimum_seconds = windows.minimum if windows.seconds is not None else windows.minimum or 0.0

    def settle(
        self,
        spec: EncoderSpec,
        call: Callable[[np.ndarray], np.ndarray],
        layouts: Sequence[Layout],
        batch: int | None,
    ) -> None:
        """Find out by calls on noise what the model takes, and declare it.

        Args:
            spec: The encoder as the user named it.
            call: The model, from arrays of one of the layouts to its answer.
            layouts: The layouts that are possible.
            batch: The only batch that the model takes, where its file says so.

        Raises:
            UserError: It answers none of the layouts, two of them differently, or not as an encoder can.
        """
        layout = spec.option("layout", Literal["bn", "bcn", "bnc"])
        if layout is not None:
            if layout not in layouts:
                raise UserError(
                    f"the encoder {spec.text!r} does not take layout={layout}",
                    f"give {' or '.join(layouts)}",
                )
            layouts = (layout,)
        if self.channels == 2:
            layouts = [layout for layout in layouts if layout != "bn"]
            if not layouts:
                raise UserError(
                    f"the encoder {spec.text!r} takes [batch, samples], which has no place for channels=2",
                    "leave channels out, or export it with [batch, channels, samples]",
                )
        noise = _noise(self)
        tried: dict[Layout, tuple[bool, np.ndarray]] = {}
        refused: dict[str, str] = {}
        for layout in layouts:
            try:
                tried[layout] = self._try(call, layout, noise, batch)
            except _RefusedError as error:
                refused[layout] = str(error)
        if not tried:
            reasons = "; ".join(f"as {layout}: {reason}" for layout, reason in refused.items())
            raise UserError(
                f"the encoder {spec.text!r} failed on {noise.shape[2]} samples of noise. {reasons}",
                "export it so that it takes a waveform, or say what it takes with sample_rate, window and channels",
            )
        first, (one_by_one, answer) = next(iter(tried.items()))
        for layout, (_, other) in tried.items():
            if _pooled(other).shape != _pooled(answer).shape or not _close(_pooled(other), _pooled(answer)):
                raise UserError(
                    f"the encoder {spec.text!r} takes its input as {first} and as {layout}, with different answers",
                    f"say which is meant with layout={first} or layout={layout}",
                )
        self.layout: Layout = first
        self.one_by_one, self.dim = one_by_one, answer.shape[-1]
        check_width(self.dim, 1, f"the encoder {spec.text!r} answers {self.dim:,} numbers to a window")
        self._refuse_frames_last(spec, call, noise, answer)

    def _refuse_frames_last(
        self, spec: EncoderSpec, call: Callable[[np.ndarray], np.ndarray], noise: np.ndarray, answer: np.ndarray
    ) -> None:
        """Refuse an answer whose width goes with the input's length: its frames are the other axis."""
        if answer.ndim != 3:
            return
        try:
            shorter = self.oriented(call(arranged(noise[:1, :, : noise.shape[2] * 3 // 4], self.layout)))
        except Exception:  # it takes one length only
            return
        if shorter.ndim == 3 and shorter.shape[2] != answer.shape[2]:
            other = "middle" if self.frames == "last" else "last"
            raise UserError(
                f"the encoder {spec.text!r} answers {list(answer.shape)} to {noise.shape[2]} samples and "
                f"{list(shorter.shape)} to fewer: its width must not go with the length",
                f"Say frames={other}",
            )

    def _try(
        self, call: Callable[[np.ndarray], np.ndarray], layout: Layout, noise: np.ndarray, batch: int | None
    ) -> tuple[bool, np.ndarray]:
        """Return whether windows must go one by one, and the answers to two windows [2, D] or [2, T, D]."""
        try:
            alone = [self.oriented(call(arranged(noise[i : i + 1], layout))) for i in range(2)]
        except Exception as error:
            raise _RefusedError(_in_a_line(error)) from error
        for answer in alone:
            if answer.ndim not in (2, 3) or answer.shape[0] != 1 or 0 in answer.shape:
                raise _RefusedError(f"it answers {list(answer.shape)} to one window, not [1, D] or [1, frames, D]")
            if not np.issubdtype(answer.dtype, np.floating):
                raise _RefusedError(f"it answers {answer.dtype}, not floats")
        expected = np.concatenate(alone)
        if batch == 1:
            return True, expected
        try:
            batched = self.oriented(call(arranged(noise, layout)))
        except Exception:  # it was exported for one window
            return True, expected
        if batched.shape != expected.shape:
            return True, expected
        if not _close(batched, expected):
            raise _RefusedError("it gives a window another embedding in a batch than alone: is it in evaluation mode?")
        return False, expected

    def oriented(self, answer: Any) -> Any:
        """Return an answer with its frames, if it has any, on the middle axis."""
        return answer.swapaxes(1, 2) if self.frames == "last" and answer.ndim == 3 else answer


def arranged(waveforms: Any, layout: Layout) -> Any:
    """Return waveforms [B, C, N] with the axes of ``layout``."""
    if layout == "bn":
        return waveforms[:, 0]
    return waveforms if layout == "bcn" else waveforms.swapaxes(1, 2)


class _RefusedError(Exception):
    """A model that does not answer a layout as an encoder does."""


def _in_a_line(error: Exception) -> str:
    """Return what an error says, in a line; TorchScript's own traceback stands before its reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]
    return line[:300] if line.startswith(type(error).__name__) else f"{type(error).__name__}: {line[:300]}"


def _noise(encoder: Encoder) -> np.ndarray:
    """Return two different windows of noise [2, C, N], of the encoder's usual length."""
    seconds = encoder.window_seconds or max(PROBE_SECONDS, encoder.minimum_seconds or 0.0)
    samples = round(seconds * encoder.sample_rate)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, encoder.channels, samples))
    return noise.astype(np.float32)


def _pooled(answer: np.ndarray) -> np.ndarray:
    return answer.mean(axis=1) if answer.ndim == 3 else answer


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    scale = np.nan_to_num(np.abs(second), posinf=0.0).max() or 1.0
    return bool(np.allclose(first, second, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True))
