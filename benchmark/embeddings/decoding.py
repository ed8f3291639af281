"""Decode files in worker processes, ahead of the encoder, in order, with a bounded number of tracks in memory."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.audio import Audio, AudioRule, DamagedAudioError, content_hash, load
from benchmark.embeddings.audio_index import Seen

AHEAD = 2  # tracks in flight for each worker, beside the one it decodes


@dataclass(frozen=True)
class Decoded:
    """What became of one file: its audio, or why it is damaged; and its identity where it could be read at all."""

    path: Path
    seen: Seen | None
    audio: Audio | None
    problem: str = ""
    seconds_recovered: float = 0.0


def decode_one(path: Path, rule: AudioRule) -> Decoded:
    """Hash and decode one file; damage is a value here, not an error."""
    seen = None
    try:
        if path.is_file():
            stat = path.stat()
            seen = Seen(str(path), stat.st_size, stat.st_mtime_ns, content_hash(path))
        audio = load(path, rule)
        if seen is not None and (seen.size, seen.mtime_ns) != ((stat := path.stat()).st_size, stat.st_mtime_ns):
            return Decoded(path, None, None, "it changed while it was read", audio.seconds)
        return Decoded(path, seen, audio)
    except DamagedAudioError as damage:
        return Decoded(path, seen, None, damage.problem, damage.seconds_recovered)
    except OSError as error:
        return Decoded(path, seen, None, f"it cannot be read: {error.strerror or error}")
    except MemoryError:
        return Decoded(path, None, None, "it does not fit into memory when decoded")


def decode_all(paths: Sequence[Path], rule: AudioRule, workers: int) -> Iterator[Decoded]:
    """Yield one :class:`Decoded` for each path, in order.

    Args:
        paths: Audio files.
        rule: What the encoder takes.
        workers: Worker processes; 0 decodes in this one. At most ``workers * (AHEAD + 1)`` tracks are held.

    A file that kills its worker (a crash in the decoder) is found by decoding those in flight one by one.
    """
    if workers == 0:
        yield from (decode_one(path, rule) for path in paths)
        return
    from loky.process_executor import BrokenProcessPool

    waiting = deque(paths)
    flying: deque[tuple[Path, Any]] = deque()
    executor = _executor(workers)
    try:
        while waiting or flying:
            try:
                while waiting and len(flying) < workers * (AHEAD + 1):
                    flying.append((waiting[0], executor.submit(decode_one, waiting[0], rule)))
                    waiting.popleft()
                decoded = flying[0][1].result()
            except BrokenProcessPool:
                suspects = [path for path, _ in flying]
                flying.clear()
                executor.shutdown(wait=False, kill_workers=True)
                yield from (_decode_alone(suspect, rule) for suspect in suspects)
                executor = _executor(workers)
                continue
            flying.popleft()
            yield decoded
    finally:
        executor.shutdown(wait=False, kill_workers=True)


def _decode_alone(path: Path, rule: AudioRule) -> Decoded:
    from loky.process_executor import BrokenProcessPool

    executor = _executor(1)
    try:
        result: Decoded = executor.submit(decode_one, path, rule).result()
    except BrokenProcessPool:
        return Decoded(path, None, None, "it crashes the decoder")
    finally:
        executor.shutdown(wait=False, kill_workers=True)
    return result


def _executor(workers: int) -> Any:
    # loky: unlike the standard pool it starts clean processes without importing the caller's main module again, so a
    # script or a notebook needs no __main__ guard, and it reports a worker's death instead of hanging.
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(max_workers=workers, timeout=60, initializer=_start_worker, initargs=(os.getpid(),))


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, end with it, and keep the decoder's own chatter off the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
