"""Decoding of a file to float32 samples: decode, mix, resample; or the reason why it is damaged.

soundfile (libsndfile) decodes wav, flac, mp3, ogg, au, aiff and opus; soxr resamples at HQ. A file is refused, with the
seconds that could be recovered, when it decodes short of its header, holds nothing, is not audio, or has samples that
are not finite or far outside full scale. Samples slightly beyond full scale (lossy codecs overshoot) are clipped to
[-1, 1] and the track is counted as clipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.audio.sound_files import DamagedAudioError, Player
from benchmark.audio.spool import Spool

__all__ = ["Audio", "AudioRule", "DamagedAudioError", "decode", "load", "pipeline_name"]

#: Changes whenever the same file and rule would give other samples.
PIPELINE_VERSION = 1


@dataclass(frozen=True)
class AudioRule:
    """How a file becomes an encoder's input: its rate in Hz and its channels (1: the mean, 2: stereo).

    ``decoding`` is ``plain``, or names the rule of :mod:`benchmark.audio.mule_waveform` that an encoder was published
    with.
    """

    sample_rate: int
    channels: Literal[1, 2] = 1
    decoding: Literal["plain", "mule"] = "plain"


@dataclass(frozen=True)
class Audio:
    """A decoded file: float32 [channels, samples] in [-1, 1], its own length in seconds, and whether it was clipped.

    ``note`` says what is to be told of a file though it is used, such as that it ends inside a frame; ``form`` is part
    of its key, as in :class:`~benchmark.audio.inspection.Contents`.
    """

    samples: np.ndarray
    seconds: float
    clipped: bool
    note: str = ""
    form: str = ""


def pipeline_name() -> str:
    """Return the audio pipeline's version with the libraries that shape its samples, for keys and records."""
    import soundfile
    import soxr

    return f"{PIPELINE_VERSION}; libsndfile {soundfile.__libsndfile_version__}; soxr {soxr.__version__} HQ"


def load(path: Path, rule: AudioRule, folder: Path | None = None) -> Audio:
    """Decode ``path`` whole and bring it to ``rule``, block by block: only the result is held.

    Args:
        path: The file.
        rule: What it becomes.
        folder: Where the samples of a long track are kept (see :mod:`benchmark.audio.spool`).

    Raises:
        DamagedAudioError: The file is missing, empty, not audio, shorter than its header says, or holds bad samples.
        UserError: The samples of a long track cannot be kept.
    """
    if rule.decoding == "mule":
        from benchmark.audio.mule_waveform import mule_waveform

        samples, player = _decode(path, None)
        waveform = mule_waveform(samples, player.rate)[None]
        return Audio(waveform, len(samples) / player.rate, player.peak > 1, player.note, player.form)
    with Player(path) as player, Spool(rule.channels, folder) as spool:
        for piece in _pieces(player, rule):
            spool.add(piece)
        seconds = player.played / player.rate
        if spool.length == 0:
            raise DamagedAudioError("too short to resample", seconds)
        return Audio(spool.samples(), seconds, player.peak > 1, player.note, player.form)


def _pieces(player: Player, rule: AudioRule) -> Iterator[np.ndarray]:
    """Yield what ``player`` plays, float32 [samples, channels] in [-1, 1] as ``rule`` wants them.

    The pieces together are what resampling all samples at once gives, to the last bit.
    """
    import soxr

    stream = None
    if player.rate != rule.sample_rate:
        stream = soxr.ResampleStream(player.rate, rule.sample_rate, rule.channels, dtype="float32", quality="HQ")
    for block in player.blocks():
        piece = np.ascontiguousarray(_mix(block, rule.channels))
        if stream is not None:
            piece = stream.resample_chunk(piece)
        if len(piece):
            yield np.clip(piece, -1, 1, out=piece)
    if stream is not None:
        piece = stream.resample_chunk(np.zeros((0, rule.channels), np.float32), last=True)
        if len(piece):
            yield np.clip(piece, -1, 1, out=piece)


def decode(path: Path, channels: Literal[1, 2] | None = 1) -> tuple[np.ndarray, int, float]:
    """Decode ``path`` at its own rate, mixing block by block so that only the mix of a long file is held.

    Args:
        path: The file.
        channels: 1 (the mean), 2 (stereo), or ``None`` for the file's own.

    Returns:
        float32 [samples, channels], its rate in Hz, and the largest absolute sample before mixing.

    Raises:
        DamagedAudioError: See :func:`load`.
    """
    samples, player = _decode(path, channels)
    return samples, player.rate, player.peak


def _decode(path: Path, channels: Literal[1, 2] | None) -> tuple[np.ndarray, Player]:
    """Return what :func:`decode` returns, and the player that knows the rest."""
    with Player(path) as player:
        blocks = [_mix(block, channels) for block in player.blocks()]
        return np.concatenate(blocks), player


def _mix(samples: np.ndarray, channels: int | None) -> np.ndarray:
    """Return [samples, channels]: as they are, their mean, or stereo (a mono file twice; more than two: refused)."""
    have = samples.shape[1]
    if channels is None or have == channels:
        return samples
    if channels == 1:
        return samples.mean(axis=1, dtype=np.float32, keepdims=True)
    if have > 2:
        raise DamagedAudioError(f"{have} channels, but the encoder takes stereo")
    return np.repeat(samples, 2, axis=1)
