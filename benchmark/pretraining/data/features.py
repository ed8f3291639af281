"""From audio files to stored log-mels and waveforms: the published front end, whole tracks, in parallel and in order.

The front end is :mod:`benchmark.encoders.published.mule.frontend`: the decoding rule ``mule``, log10(1 + 10000 * mel
power), 96 bands, 100 frames a second, *before* any standardisation. It is kept as float16, so a value moves by at most
2**-11 of itself (3e-8 near 0); a standardised slice of music moves by 3e-4 of its deviation (root mean square).
A waveform is the samples of which a log-mel is computed, as float16 too: none lies beyond full scale.

Left out, by rule: files that cannot be decoded whole, and those shorter than 3 s or what is asked for. A file that
vanishes or changes while it is read, or that the system cannot read, is no damage (a disk may have gone): it stops the
run, which can be resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmark.audio.decode import AudioRule, pipeline_name
from benchmark.audio.index import HashedFile
from benchmark.audio.pool import decode_all
from benchmark.audio.reader import Decoded
from benchmark.errors import UserError
from benchmark.pretraining.data.shards import SAMPLES, Row
from benchmark.pretraining.data.sources import SourceTrack
from benchmark.system.progress import Reporter

#: Changes whenever the same samples would give other log-mels.
FRONTEND_VERSION = 1
NAME = "mule log-mel "
VERSION_NAME = f"{NAME}{FRONTEND_VERSION}"
RULE = AudioRule(16_000, 1, "mule")
SHORTEST_SECONDS = 3.0


class Found(NamedTuple):
    """What was made of a track: its log-mel, float16 [frames, 96], its waveform, float16 [frames, 160], or neither.

    Where neither is there, its row says why it is left out.
    """

    row: Row
    log_mel: np.ndarray | None
    waveform: np.ndarray | None


def frontend_name(shortest: float = SHORTEST_SECONDS) -> str:
    """Return the front end's version with the libraries that shape its samples, and another limit than 3 s."""
    limit = "" if shortest == SHORTEST_SECONDS else f"; from {shortest:g} s"
    return f"{VERSION_NAME}; audio {pipeline_name()}{limit}"


def refuse_other_front_end(frontend: str, what: str, again: str, report: Reporter) -> None:
    """See whether log-mels are those that an encoder of this version of the package computes; libraries may differ.

    Args:
        frontend: What :func:`frontend_name` was when they were made, or anything else for log-mels of other origin.
        what: What is of this front end, for messages.
        again: What to do.
        report: Is told of other libraries.

    Raises:
        UserError: They are of another version of the front end.
    """
    version, _, rest = frontend.partition("; ")
    if version.startswith(NAME) and version != VERSION_NAME:
        raise UserError(
            f"{what} is of the front end {version!r}, and encoders of this version of the package compute "
            f"{VERSION_NAME!r}",
            again,
        )
    libraries = rest.partition("; from ")[0].removeprefix("audio ")
    if version == VERSION_NAME and libraries != pipeline_name():
        report.say(
            f"{what} was made with {libraries}, and here is {pipeline_name()}: log-mels may differ in their last digits"
        )


def features_of(
    tracks: list[SourceTrack],
    workers: int,
    shortest: float = SHORTEST_SECONDS,
    *,
    log_mels: bool = True,
    waveforms: bool = False,
) -> Generator[Found]:
    """Yield what is made of each track.

    Args:
        tracks: The tracks; the answers keep their order.
        workers: Decoding processes; half as many threads compute log-mels, which cost less.
        shortest: Seconds under which a track is left out.
        log_mels: Whether log-mels are made.
        waveforms: Whether waveforms are.

    Raises:
        UserError: A file vanished or changed while it was read, or cannot be read.
    """
    threads = max(1, workers // 2)
    decoded = decode_all([track.path for track in tracks], RULE, workers)
    flying: deque[Future[Found]] = deque()
    with _one_torch_thread(), ThreadPoolExecutor(threads, thread_name_prefix="log-mel") as pool:
        try:
            for track, found in zip(tracks, decoded, strict=True):
                flying.append(pool.submit(_found, track, found, shortest, log_mels, waveforms))
                del found  # its samples are the thread's now
                if len(flying) > threads:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()
            decoded.close()


def _found(track: SourceTrack, decoded: Decoded, shortest: float, log_mels: bool, waveforms: bool) -> Found:
    """Return what is made of a track.

    Raises:
        UserError: The file vanished, changed, or cannot be read.
    """
    hashed, audio = decoded.hashed, decoded.audio
    if hashed is None:
        try:
            hashed = HashedFile.of(track.path)
        except OSError as error:
            raise _stopped(track, f"cannot be read any more ({error.strerror or error})") from None
        if decoded.seconds_recovered:  # it was decoded whole, and was another file by then
            raise _stopped(track, "changed while it was read")
    row = Row(track.track_id, track.name, hashed.size, hashed.mtime_ns, hashed.key, 0, 0, track.labels, "")
    if audio is None:
        recovered = f" ({decoded.seconds_recovered:.1f} s decode)" if decoded.seconds_recovered else ""
        return Found(replace(row, left_out=decoded.problem + recovered), None, None)
    samples = audio.samples[0]
    if len(samples) < shortest * RULE.sample_rate:
        why = f"shorter than {shortest:g} s ({audio.seconds:.2f} s)"
        return Found(replace(row, left_out=why), None, None)
    return Found(
        replace(row, frames=1 + len(samples) // SAMPLES),
        log_mel_float16(samples) if log_mels else None,
        waveform_float16(samples) if waveforms else None,
    )


def log_mel_float16(samples: np.ndarray) -> np.ndarray:
    """Return the published log-mel of a waveform, float32 [n] at 16 kHz: float16 [1 + n // 160, 96]."""
    import torch

    from benchmark.encoders.published.mule.frontend import log_mel

    features = log_mel(torch.from_numpy(samples)[None])[0]
    return features.T.to(torch.float16).contiguous().numpy()


def waveform_float16(samples: np.ndarray) -> np.ndarray:
    """Return a waveform, float32 [n] at 16 kHz: float16 [1 + n // 160, 160], the last row filled with zeros."""
    import torch

    frames = 1 + len(samples) // SAMPLES
    found = torch.zeros(frames * SAMPLES, dtype=torch.float16)
    found[: len(samples)] = torch.from_numpy(samples)
    return found.numpy().reshape(frames, SAMPLES)


def _stopped(track: SourceTrack, what: str) -> UserError:
    return UserError(
        f"the file of the track {track.track_id!r} {what}: {track.path}",
        "Mend it or take it out, and run the same command again: finished shards are kept",
    )


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Keep torch's products on the thread that asks: several do, and their sums must not depend on how many cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
