"""Decode files in worker processes, ahead of the encoder and in order: one process each, with a pipe of its own.

A pool that shares one pipe among its workers hangs for good when a worker is killed while it writes there: the others
hold the pipe open, and the reader waits for the rest of a message. With a pipe a worker, a death is an end of file.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from benchmark.audio.decode import AudioRule
from benchmark.audio.deformations import Deformation
from benchmark.audio.reader import Decoded, decode_one, packed, unpacked
from benchmark.audio.spool import forget_name
from benchmark.errors import UserError
from benchmark.system.interpreter import python_code

AHEAD = 2  # tracks in flight for each worker, beside the one it decodes
FILE_SECONDS = 300.0  # that a file may take
BYTES_A_SECOND = 100_000  # of a file, for each of which it may take a second more
#: What is to be told where files are decoded without workers.
NO_LIMIT = (
    "With --workers 0 files are decoded in this process, where none can be ended alone: one on which the decoder hangs "
    "stops the run (Ctrl-C ends it; what was finished is kept). With --workers 1 it is named after "
    f"{FILE_SECONDS:.0f} s, and the run continues."
)
READY = "ready"
ATTEMPTS = 2
LOOK_SECONDS = 0.5  # between looks for workers that are late
#: Seconds between attempts to start a worker: memory or a process may be short for a moment only.
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0)

# A clean interpreter that does not import the caller's main module: a script or a notebook needs no __main__ guard.
BOOT = "from benchmark.audio.pool import serve; serve()"


class DecodingPool:
    """Threads that each drive one worker process; workers start when they are first needed.

    One more thread ends a worker that takes too long over a file.
    """

    def __init__(
        self,
        workers: int,
        rule: AudioRule,
        deformation: Deformation | None = None,
        *,
        folder: Path | None = None,
        limit: float = FILE_SECONDS,
    ) -> None:
        """Prepare a pool; see :func:`~benchmark.audio.pool.decode_all` for the arguments."""
        self._rule, self._deformation, self._folder, self._limit = rule, deformation, folder, limit
        self._due: dict[subprocess.Popen[bytes], float] = {}  # when a worker is to have answered
        self._late: set[subprocess.Popen[bytes]] = set()
        self._watch = threading.Thread(target=self._end_late_ones, name="decoding-limit", daemon=True)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoding")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = threading.Event()

    def submit(self, path: Path) -> Future[Decoded]:
        """Return the future of one file's :class:`~benchmark.audio.reader.Decoded`."""
        return self._threads.submit(self._decode, path)

    def __enter__(self) -> DecodingPool:
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._closed.set()
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            _end(process)

    def _end_late_ones(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            now = time.monotonic()
            with self._lock:
                late = [process for process, due in self._due.items() if due < now]
                self._late.update(late)
            for process in late:
                process.kill()

    def _answer(self, process: subprocess.Popen[bytes], path: Path) -> Any:
        """Return what a worker makes of a file, before it is late."""
        seconds = self._limit + _size_of(path) / BYTES_A_SECOND
        with self._lock:
            self._due[process] = time.monotonic() + seconds
        try:
            return _ask(process, (path, self._rule, self._deformation, self._folder))
        finally:
            with self._lock:
                del self._due[process]

    def _decode(self, path: Path) -> Decoded:
        for _ in range(ATTEMPTS):
            process = self._worker()
            try:
                answer = self._answer(process, path)
            except (EOFError, OSError, pickle.UnpicklingError):  # it died, perhaps in the middle of its answer
                self._forget(process)
                if process in self._late:
                    return Decoded(path, None, None, f"it was not decoded within {self._limit:g} s, the time limit")
                continue
            if isinstance(answer, Exception):
                raise answer
            return unpacked(answer)
        return Decoded(path, None, None, "it crashes the decoder")

    def _worker(self) -> subprocess.Popen[bytes]:
        """Return this thread's worker, started if there is none; one that is killed while it starts is replaced."""
        process: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        if process is not None:
            return process
        reason = ""
        for pause in PAUSES:
            self._closed.wait(pause)
            with self._lock:
                if self._closed.is_set():
                    raise CancelledError
                try:
                    process = self._own.process = _start()
                except OSError as error:
                    reason = f"the system says {error.strerror or error}"
                    continue
                self._processes.add(process)
            try:
                if _receive(process) == READY:
                    return process
            except (EOFError, OSError, pickle.UnpicklingError):
                self._forget(process)
                reason = f"the last one ended with status {process.returncode} before it began"
        raise UserError(
            f"no decoding process can be started: {reason} (is memory short?). What was finished is kept",
            "run the same command again with fewer --workers; --workers 0 decodes without processes",
        )

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        self._own.process = None
        with self._lock:
            self._processes.discard(process)
        _end(process)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(python_code(BOOT), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        try:
            pipe.close()
        except OSError:  # what was still to be written has no reader any more
            continue


def _ask(process: subprocess.Popen[bytes], question: Any) -> Any:
    assert process.stdin is not None
    _send(process.stdin, question)
    return _receive(process)


def _receive(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return pickle.load(process.stdout)  # what our own process wrote


def _send(pipe: BinaryIO | Any, message: Any) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def serve() -> None:
    """Answer paths with what they decode to, until the parent closes the pipe or is gone.

    Ctrl-C is left to the parent, and the decoder's own chatter kept off the terminal and out of the pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions, requests), name="listening", daemon=True).start()
    try:
        _send(answers, READY)
        while True:
            path, rule, deformation, folder = requests.get()
            try:
                answer: Any = packed(decode_one(path, rule, deformation, folder))
            except Exception as error:  # not damage: a fault of this program, for the parent to raise
                answer = error
            _send(answers, answer)
    except BrokenPipeError:
        os._exit(0)


def _listen(questions: BinaryIO, requests: queue.SimpleQueue[Any]) -> None:
    """Hand on what the parent asks; end the process when the pipe does, also while a file is decoded, or hangs."""
    try:
        while True:
            requests.put(pickle.load(questions))
    finally:
        os._exit(0)


def decode_all(
    paths: Sequence[Path],
    rule: AudioRule,
    workers: int,
    deformation: Deformation | None = None,
    *,
    folder: Path | None = None,
    limit: float = FILE_SECONDS,
) -> Generator[Decoded, None, None]:
    """Yield one :class:`Decoded` for each path, in order.

    Args:
        paths: Audio files.
        rule: What the encoder takes.
        workers: Worker processes; 0 decodes in this one. At most ``workers * (AHEAD + 1)`` tracks are held.
        deformation: What is done to the audio afterwards.
        folder: Where the samples of long tracks are kept.
        limit: Seconds that a file may take in a worker, and a second for each :data:`BYTES_A_SECOND` of it. Without
            workers there is none, which :data:`NO_LIMIT` says: an exception in a signal's handler does not reach a
            thread, nor into a C library that does not return, and a thread cannot be ended.

    A file that takes longer is damaged. A file whose worker dies is decoded once more by a new one, for workers are
    killed from outside too; one that costs a second worker is damaged.

    Raises:
        UserError: The system starts no worker process; the samples of a long track cannot be kept.
    """
    if workers == 0:
        for path in paths:
            decoded = decode_one(path, rule, deformation, folder)
            if decoded.audio is not None:
                forget_name(decoded.audio.samples)
            yield decoded
        return
    waiting = deque(paths)
    flying: deque[Future[Decoded]] = deque()
    with DecodingPool(workers, rule, deformation, folder=folder, limit=limit) as pool:
        while waiting or flying:
            while waiting and len(flying) < workers * (AHEAD + 1):
                flying.append(pool.submit(waiting.popleft()))
            yield flying.popleft().result()
