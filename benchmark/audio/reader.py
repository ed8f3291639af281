"""Decoding of one file to its hash and samples or its damage, and the transfer of samples between processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmark.audio.decode import Audio, AudioRule, DamagedAudioError, load
from benchmark.audio.deformations import Deformation, NothingLeftError, deform
from benchmark.audio.index import HashedFile
from benchmark.audio.inspection import INSPECTION_VERSION
from benchmark.audio.spool import file_of, forget_name, opened


@dataclass(frozen=True)
class Decoded:
    """What became of one file: its audio, or why it is damaged; and its identity where it could be read at all."""

    path: Path
    hashed: HashedFile | None
    audio: Audio | None
    problem: str = ""
    seconds_recovered: float = 0.0


@dataclass(frozen=True)
class Kept:
    """Where a worker left the samples of a long track: they go from process to process as a file."""

    path: Path
    length: int
    channels: int


def packed(decoded: Decoded) -> tuple[Decoded, Kept | None]:
    """Return what a worker answers: samples that are in a file are left there."""
    audio = decoded.audio
    path = None if audio is None else file_of(audio.samples)
    if audio is None or path is None:
        return decoded, None
    channels, length = audio.samples.shape
    return replace(decoded, audio=replace(audio, samples=np.zeros((channels, 0), np.float32))), Kept(
        path, length, channels
    )


def unpacked(answer: tuple[Decoded, Kept | None]) -> Decoded:
    """Return what a worker decoded, with samples that are in a file mapped from it."""
    decoded, spooled = answer
    if spooled is None or decoded.audio is None:
        return decoded
    samples = opened(spooled.path, spooled.length, spooled.channels)
    forget_name(samples)
    return replace(decoded, audio=replace(decoded.audio, samples=samples))


def decode_one(
    path: Path, rule: AudioRule, deformation: Deformation | None = None, folder: Path | None = None
) -> Decoded:
    """Hash, decode and, where asked, deform one file; damage is a value here, not an error.

    Args:
        path: The file.
        rule: What the encoder takes.
        deformation: What is done to the audio afterwards.
        folder: Where the samples of a long track are kept.

    Raises:
        UserError: They cannot be kept there.
    """
    hashed = None
    try:
        if path.is_file():
            hashed = HashedFile.of(path)
        audio = load(path, rule) if folder is None else load(path, rule, folder)
        if hashed is not None and not hashed.is_current(path):
            forget_name(audio.samples)
            return Decoded(path, None, None, "it changed while it was read", audio.seconds)
        if deformation is not None and hashed is not None:
            audio = _deformed(audio, rule, deformation, hashed.key)
        return Decoded(path, _inspected(hashed, audio.form, audio.note), audio)
    except DamagedAudioError as damage:
        return Decoded(path, _inspected(hashed, damage.form), None, damage.problem, damage.seconds_recovered)
    except OSError as error:
        return Decoded(path, hashed, None, f"it cannot be read: {error.strerror or error}")
    except MemoryError:
        return Decoded(path, None, None, "it does not fit into memory when decoded")


def _inspected(file: HashedFile | None, form: str, note: str = "") -> HashedFile | None:
    """Return a file with what its inspection found."""
    if file is None:
        return None
    return replace(file, key=f"{file.key}-{form}" if form else file.key, note=note, looked=INSPECTION_VERSION)


def _deformed(audio: Audio, rule: AudioRule, deformation: Deformation, content: str) -> Audio:
    """Return the audio deformed; its seconds stay those of the file, and ``clipped`` tells of the deformation."""
    try:
        samples, clipped = deform(audio.samples, rule.sample_rate, deformation, content)
    except NothingLeftError as error:
        raise DamagedAudioError(f"{deformation.text} leaves nothing of it: {error}", audio.seconds) from None
    finally:
        forget_name(audio.samples)
    return replace(audio, samples=samples, clipped=clipped)
