"""Fitting of an encoder on the training split, once for each task, before it embeds.

What it is fitted on is hashed without decoding, so that a later run knows the key of its embeddings, and whether its
record is there, and need not fit again. Embeddings hold no fitted state: a run that has to embed more fits again and is
refused where that gives another state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmark.audio.index import AudioIndex, HashedFile, identify
from benchmark.audio.pool import decode_all
from benchmark.audio.spool import release
from benchmark.audio.windows import TooShortError, cut
from benchmark.embeddings.space import Space
from benchmark.embeddings.store import shards
from benchmark.encoders.base import Encoder
from benchmark.encoders.time_limit import fit_in_time
from benchmark.errors import UserError
from benchmark.system.descriptions import read_description
from benchmark.system.machine import threads_for
from benchmark.system.progress import Reporter
from benchmark.system.scratch import scratch_folder
from benchmark.system.stdout import stdout_to_stderr
from benchmark.system.terminal import said_by
from results.files import replace_file

#: Beside the embeddings: what the state was after the fit.
FITTED = "fitted.json"


def training_split(task: str, ids: Sequence[str], paths: Sequence[Path], index: AudioIndex, report: Reporter) -> str:
    """Return the sha256 of a task's training split: its id, the ids of its items and the content of their audio.

    Files that the index does not know are read and added to it; one that cannot be read counts as such.

    Args:
        task: The task's id: two tasks never share what is fitted.
        ids: Ids of the items of train.
        paths: Their audio files.
        index: Hashes of audio files.
        report: Is told of the reading.
    """
    unknown = [path for path in dict.fromkeys(paths) if index.key(path) is None]
    if unknown:
        hashed: list[HashedFile] = []
        with report.stage(f"Hashing the training split of {task}", len(unknown), "files") as advance:
            for done, path in enumerate(unknown):
                with suppress(OSError):  # the extraction will name it among the damaged tracks
                    hashed.append(identify(path))
                advance(done + 1)
        index.add(hashed)
    return _digest(task, ids, [index.key(path) for path in paths])


def _digest(task: str, ids: Sequence[str], keys: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(["train", task, list(ids), list(keys)]).encode()).hexdigest()


def fit(
    encoder: Encoder,
    space: Space,
    folder: Path,
    task: str,
    ids: Sequence[str],
    paths: Sequence[Path],
    index: AudioIndex,
    *,
    workers: int,
    report: Reporter,
) -> None:
    """Fit ``encoder`` on the windows of a training split.

    Damaged and too short tracks are left out here; the extraction that follows names and counts them.

    Args:
        encoder: A copy of its own for this task; see :func:`copy_of`.
        space: The encoder's space.
        folder: The space's folder; it remembers the fitted state.
        task: The task's id.
        ids: Ids of the items of train.
        paths: Their audio files.
        index: Hashes of audio files.
        workers: Decoding processes.
        report: Is told of progress.

    Raises:
        UserError: :meth:`~benchmark.encoders.base.Encoder.fit` raised, hung, or left another state than the last
            time; a file has changed since the plan.
    """
    what = f"the encoder {encoder.name!r} cannot be fitted on the training split of {task}"
    planned = [index.key(path) for path in paths]
    changed = _digest(task, ids, planned) != space.fitted_on
    title, home = f"Fitting {encoder.name} on {task}", folder.parents[1]
    home.mkdir(parents=True, exist_ok=True)
    with (
        report.stage(title, len(paths), "tracks") as advance,
        scratch_folder(home) as scratch,
        stdout_to_stderr(),
        threads_for(encoder.arrays),
    ):

        def windows() -> Iterator[np.ndarray]:
            nonlocal changed
            stream = zip(planned, decode_all(paths, space.audio, workers, folder=scratch), strict=True)
            for done, (key, decoded) in enumerate(stream):
                changed = changed or (decoded.hashed is not None and decoded.hashed.key != key)
                advance(done + 1)
                if decoded.audio is None:
                    continue
                try:
                    cuts = cut(decoded.audio.samples, space.windows)
                except TooShortError:
                    continue
                for window in cuts:
                    note_progress()
                    yield np.array(window)  # a copy: windows overlap, and the encoder may write into one
                    release(window)

        try:
            with fit_in_time(encoder.name) as note_progress:
                encoder.fit(windows())
        except (Exception, SystemExit) as error:
            reason, do = f"fit() raised {said_by(error)}", "Mend fit(), and run the same command again"
            if isinstance(error, UserError):
                reason, do = error.what, error.do
            raise UserError(f"{what}: {reason}", f"{do.removesuffix('.')}. Nothing was embedded with it") from error
    if changed:
        raise UserError(f"{what}: its audio changed while the run was under way", "Run the same command again")
    _same_state(encoder, folder, what)


def _same_state(encoder: Encoder, folder: Path, what: str) -> None:
    """Remember the state after the first fit of a space, and hold every later one to it."""
    file, state = folder / FITTED, encoder.fingerprint()
    try:
        before = read_description(file)["state"]
    except (OSError, ValueError, KeyError):
        before = None
    if before == state:
        return
    if before is not None and shards(folder):
        raise UserError(
            f"{what}: fit() left another state than when the embeddings in {folder} were made, though audio and order "
            "are the same",
            "Make fit() deterministic (seed it, fix its number of threads), or delete them with 'bench cache prune "
            f"--encoder {encoder.name} --yes'",
        )
    try:
        replace_file(file, (json.dumps({"state": state}) + "\n").encode())
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}", "Make room and run again") from error
