"""``basic-pitch``: statistics of notes, onsets and pitch contours by Spotify's Basic Pitch.

Bittner et al., "A lightweight instrument-agnostic model for polyphonic note transcription and multipitch estimation"
(ICASSP 2022). Its ONNX file runs with onnxruntime.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.spectra import Floats
from benchmark.errors import UserError
from benchmark.system.extras import install_command

if TYPE_CHECKING:
    from benchmark.encoders.spec import EncoderSpec

SAMPLE_RATE, HOP, FRAMES_PER_SECOND = 22050, 256, 86
WINDOW = 2 * SAMPLE_RATE - HOP
FRAMES = 172
#: Frames that two windows share; half of them are dropped at either end of each.
OVERLAP = 30
STEP = WINDOW - OVERLAP * HOP
INPUT = "serving_default_input_2:0"
#: What the network says, under which name, and for how many pitches (from 27.5 Hz; contours in thirds of a semitone).
OUTPUTS: Mapping[str, tuple[str, int]] = {
    "note": ("StatefulPartitionedCall:1", 88),
    "onset": ("StatefulPartitionedCall:2", 88),
    "contour": ("StatefulPartitionedCall:0", 264),
}
ACTIVATIONS = sum(width for _, width in OUTPUTS.values())
#: Windows that go through the network together.
AT_ONCE = 8


class BasicPitch(Encoder):
    """Mean and standard deviation over time of Basic Pitch's 440 activations: 880 numbers (Spotify, Apache-2.0).

    The embedding is [88 notes, 88 onsets, 264 contours] as means, then as deviations, over the frames (11.6 ms) of a
    track, or of a window that a task brings.
    """

    name = "basic-pitch"
    version = "1"
    sample_rate = SAMPLE_RATE
    window_seconds = None
    hop_seconds = None
    minimum_seconds = 0.1
    dim = 2 * ACTIVATIONS
    arrays = "numpy"
    notes = (
        "The published inference on whole tracks: windows of 1.99 s that share 30 frames, half of which are dropped at "
        "either end; 30 half frames of zeros before the first window, zeros after the last.",
        "Basic Pitch is a transcriber. Its activations as an embedding, with mean and standard deviation over time, "
        "are this benchmark's choice.",
        "It runs on the CPU, through onnxruntime.",
    )
    not_in_fingerprint: ClassVar[tuple[str, ...]] = (*Encoder.not_in_fingerprint, "_session")

    def __init__(self, weights: Path) -> None:
        """Name the ONNX file; it is opened at first use.

        Raises:
            UserError: onnxruntime is not installed.
        """
        if importlib.util.find_spec("onnxruntime") is None:
            raise UserError(
                "the encoder 'basic-pitch' needs the package onnxruntime",
                f"Install it:\n  {install_command('onnx')}",
            )
        self.weights = weights
        self._session: Any = None

    def embed(self, waveforms: Floats) -> Floats:
        """Embed waveforms, float32 [B, 1, N] at 22,050 Hz, as float32 [B, 880]."""
        if self._session is None:
            self._session = _open(self.weights)
        return np.stack([self._embed(waveform) for waveform in waveforms[:, 0]])

    def _embed(self, waveform: Floats) -> Floats:
        windows = cut(waveform)
        left = max(1, len(waveform) * FRAMES_PER_SECOND // SAMPLE_RATE)
        total, squares, count = np.zeros(ACTIVATIONS), np.zeros(ACTIVATIONS), left
        names = [name for name, _ in OUTPUTS.values()]
        for start in range(0, len(windows), AT_ONCE):
            answers = self._session.run(names, {INPUT: windows[start : start + AT_ONCE, :, None]})
            inner = np.concatenate(answers, axis=2)[:, OVERLAP // 2 : FRAMES - OVERLAP // 2]
            frames = inner.reshape(-1, ACTIVATIONS)[:left].astype(np.float64)
            left -= len(frames)
            total += frames.sum(axis=0)
            squares += np.square(frames).sum(axis=0)
        mean = total / count
        return np.concatenate([mean, np.sqrt(np.maximum(0, squares / count - np.square(mean)))]).astype(np.float32)


def cut(waveform: Floats) -> Floats:
    """Return the windows [W, 43844] of a waveform [N] as the published inference cuts them."""
    lead = OVERLAP * HOP // 2
    count = -(-(lead + len(waveform)) // STEP)
    padded = np.zeros((count - 1) * STEP + WINDOW, np.float32)
    padded[lead : lead + len(waveform)] = waveform
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP])


def open_basic_pitch(spec: EncoderSpec, home: Path) -> BasicPitch:
    """Return the encoder with the weights in ``home``.

    Raises:
        UserError: No weights yet, no onnxruntime, or options, of which it has none.
    """
    from benchmark.encoders.published.weights import weights_of

    spec.check_options(())
    return BasicPitch(weights_of("basic-pitch", home))


def _open(path: Path) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    # Its threads would spin while they wait for the next window, on the cores of the decoding workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common base
        raise UserError(
            f"{path} cannot be opened ({error})",
            "Delete it and fetch it again: bench encoders fetch basic-pitch",
        ) from error
    outputs = {output.name: output.shape[1:] for output in session.get_outputs()}
    expected = {name: [FRAMES, width] for name, width in OUTPUTS.values()}
    inputs = {entry.name: entry.shape[1:] for entry in session.get_inputs()}
    if outputs != expected or inputs != {INPUT: [WINDOW, 1]}:
        raise UserError(
            f"{path} is not the model of Basic Pitch: it takes {inputs} and gives {outputs}",
            "Delete it and fetch it again: bench encoders fetch basic-pitch",
        )
    return session
