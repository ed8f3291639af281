"""The storage of a search: an Optuna study in a journal file, in any storage of Optuna's, or in memory.

A study outlives the process that began it. Trials that a killed process left behind are taken up by the next one;
those of a process that still runs are left to it. Beside a journal, a lock file a process says which runs; in a
database, where processes may be on other machines, each leaves the time now and then.

Whatever a storage raises, at the opening or in the middle of a search, is a :class:`StorageError`: a lost connection, a
locked or read-only database, a full disk. What Optuna itself answers through it (a trial is finished) is not.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from probes.errors import ProbeError
from probes.search.journal import Journal, JournalLock, mend

#: In a database, a process leaves the time so often, and is gone when it was silent for so long.
BEAT_SECONDS, SILENT_SECONDS = 30.0, 180.0
#: A trial that nobody claims for so long, which takes its process a moment, is left behind too.
CLAIM_SECONDS = 30.0
#: One that ends signs off, unless the database does not answer for so long.
GOODBYE_SECONDS = 5.0
#: Where other processes write at the same time, a database is asked again for so long.
BUSY_SECONDS = 60.0
#: What drivers say of that: of any call, and of tables or a study that two processes begin to make at once.
BUSY = ("database is locked", "database table is locked", "database schema is locked", "deadlock", "lock wait timeout")
RACED = (*BUSY, "already exists", "unique constraint", "duplicate key", "duplicate entry")
WORKER, BEATING = "worker", "beating"

Result = TypeVar("Result")


class StorageError(ProbeError):
    """A storage that cannot be opened, or fails in the middle of a search. The message is written for the user."""


class SearchStudy:
    """One study, as one process works on it. Its methods, and those of Optuna's study, raise :class:`StorageError`.

    Attributes:
        study: Optuna's study.
        worker: This process's mark on its trials.
    """

    def __init__(self, study: optuna.Study, folder: Path | None, failed: Callable[[Exception], StorageError]) -> None:
        self.study, self._folder, self._failed = study, folder, failed
        self.worker = uuid.uuid4().hex
        self._unclaimed: dict[int, float] = {}

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Keep other processes, where they can be kept, from asking for trials or taking them up meanwhile."""
        if self._folder is None:
            yield
            return
        lock = FileLock(self._folder / "asking")
        try:
            lock.acquire()
        except OSError as error:
            raise self._failed(error) from error
        try:
            yield
        finally:
            lock.release()

    def claim(self, trial: optuna.Trial) -> None:
        """Mark a running trial as this process's."""
        trial.set_user_attr(WORKER, self.worker)

    def left_behind(self, count: int) -> list[optuna.Trial]:
        """Return the running ones of the first ``wanted`` trials whose processes are gone, in order.

        This process has gone on from its own, so that those too were left behind, by an error.
        """
        trials = []
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(WORKER)
            if trial.number < count and (self._is_unclaimed(trial) if owner is None else self._is_gone(owner)):
                trials.append(optuna.trial.Trial(self.study, trial._trial_id))
        return trials

    def beat(self) -> None:
        """Leave the time, as a sign that this process runs."""
        self.study.set_user_attr(f"beat:{self.worker}", time.time())

    def sign_off(self) -> None:
        """Leave word that this process is gone, so that the next one need not wait for its silence."""
        self.study.set_user_attr(f"beat:{self.worker}", 0.0)

    def _is_unclaimed(self, trial: FrozenTrial) -> bool:
        if self._folder is not None:  # they are asked for and claimed under one lock
            return True
        since = self._unclaimed.setdefault(trial.number, time.monotonic())
        return time.monotonic() - since > CLAIM_SECONDS

    def _is_gone(self, owner: str) -> bool:
        if owner == self.worker:
            return True
        if self._folder is None:
            return time.time() - float(self.study.user_attrs.get(f"beat:{owner}", 0.0)) > SILENT_SECONDS
        lock = FileLock(self._folder / f"{owner}.worker")
        try:
            with lock.acquire(timeout=0):
                return True
        except Timeout:
            return False
        except OSError as error:
            raise self._failed(error) from error


@contextmanager
def open_study(storage: str | None, folder: Path | None, name: str) -> Iterator[SearchStudy]:
    """Open the study ``name``, new or not.

    Args:
        storage: URL of an Optuna storage (``sqlite:///...``, ``postgresql://...``, ``mysql://...``); ``None`` keeps a
            journal in ``folder``.
        folder: Where journals are; ``None`` too keeps the study in memory.
        name: The study's name: whatever decides its trials' numbers is hashed in it.

    Raises:
        StorageError: The storage, or the study in it, cannot be opened, or fails later on.
    """

    def failed(error: Exception) -> StorageError:
        return _failed(storage, folder, name, error)

    optuna.logging.set_verbosity(logging.ERROR)  # its warnings speak of how it samples, not of what a user could mend
    opened: Any
    worker_lock: FileLock | None = None
    locks = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            if storage is not None:
                opened = _again(lambda: optuna.storages.get_storage(storage), RACED)
            elif folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{name}.journal"
                locks = folder / f"{name}.workers"
                locks.mkdir(exist_ok=True)
                lock = JournalLock(folder / f"{name}.lock")
                mend(path, lock)
                opened = JournalStorage(Journal(path, lock))
            else:
                opened = optuna.storages.InMemoryStorage()
            study = _again(
                lambda: optuna.create_study(
                    study_name=name,
                    storage=opened,
                    direction="maximize",
                    load_if_exists=True,
                    pruner=optuna.pruners.NopPruner(),
                ),
                RACED,
            )
            search = SearchStudy(study, locks, failed)
            if locks is not None:
                worker_lock = FileLock(locks / f"{search.worker}.worker")
                worker_lock.acquire()
        except Exception as error:  # whatever the database's driver, Optuna or the disk raises
            raise _unopened(storage, folder, name, error) from error
    if storage is not None or folder is not None:  # memory does not fail
        _watch(opened, failed)
    try:
        with nullcontext() if storage is None else _beating(search):
            yield search
    finally:
        if worker_lock is not None:
            worker_lock.release()
            with suppress(OSError):  # another process is at work there, or the disk can no longer be written
                Path(worker_lock.lock_file).unlink(missing_ok=True)
                Path(worker_lock.lock_file).parent.rmdir()


def _watch(storage: BaseStorage, failed: Callable[[Exception], StorageError]) -> None:
    """Let whatever the methods of an open ``storage`` raise be a :class:`StorageError` that says what ``failed``."""

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **chosen: Any) -> Any:
            try:
                return _again(lambda: method(*args, **chosen), BUSY)
            except (StorageError, UpdateFinishedTrialError, DuplicatedStudyError):
                raise
            except Exception as error:  # whatever the database's driver or the disk raises
                raise failed(error) from error

        return call

    for name, what in vars(BaseStorage).items():
        if callable(what) and not name.startswith("_"):
            setattr(storage, name, watched(getattr(storage, name)))


def _again(call: Callable[[], Result], transient: Sequence[str]) -> Result:
    """Return what ``call`` does, called again where it says so: what fails because of other writers was taken back.

    SQLite waits for a lock by itself, but not where two processes that have read both want to write.
    """
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return call()
        except Exception as error:
            reason = f"{error} {error.__cause__}".lower()
            if time.monotonic() > until or not any(text in reason for text in transient):
                raise
        time.sleep(random.SystemRandom().uniform(0.02, 0.2))  # not the seeded one, which is the user's


def _unopened(storage: str | None, folder: Path | None, name: str, error: Exception) -> StorageError:
    """Return what went wrong at the opening in words, and what to do."""
    reason = _reason(error)
    if storage is not None:
        return StorageError(
            _without_password(f"the storage {storage!r} cannot be opened ({reason})"),
            "Give --storage a URL that Optuna knows, such as sqlite:///search.db, or leave it out",
        )
    if folder is None:
        return StorageError(
            f"the search cannot be started in memory ({reason})",
            "run the same command again, on a machine with more memory if it is short",
        )
    path = folder / f"{name}.journal"
    return StorageError(
        f"the search in {path} cannot be opened ({reason})",
        "Make sure that there is room and that it may be written, and run the same command again; delete this file to "
        "start the search again",
    )


def _failed(storage: str | None, folder: Path | None, name: str, error: Exception) -> StorageError:
    """Return what went wrong in the middle of a search in words, and what to do."""
    place = f"the storage {storage!r}" if storage is not None else f"the search in {Path(folder or '') / name}.journal"
    return StorageError(
        _without_password(f"{place} failed in the middle ({_reason(error)}). Finished trials are kept"),
        "Make sure that it can be reached and written and that there is room, and run the same command again: it "
        "continues from there (with --overwrite always it starts again)",
    )


def _reason(error: Exception) -> str:
    """Return the kind of an error and the first line of its message: the driver's, where Optuna hides it."""
    if isinstance(error, StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


@contextmanager
def _beating(search: SearchStudy) -> Iterator[None]:
    """Let ``search`` leave the time as long as the context lasts, and sign off at its end, also after an error."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(Exception):  # a database that is busy now is asked again; training continues
                search.beat()
        with suppress(Exception):
            search.sign_off()

    search.beat()
    thread = threading.Thread(target=beat, name=BEATING, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(GOODBYE_SECONDS)


def _without_password(message: str) -> str:
    """Return ``message`` with the passwords of URLs in it left out."""
    message = re.sub(r"(://[^:/@\s]*:)\S*@", r"\1***@", message)
    return re.sub(r"(?i)([?&](?:password|passwd|pwd)=)[^&\s'\"]*", r"\1***", message)
