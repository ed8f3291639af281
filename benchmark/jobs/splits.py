"""Stage 2 of a run: the items of a job that are scored, with their embeddings, split by split."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.filesize import decimal

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.tracks import Damage
from benchmark.errors import UserError
from benchmark.jobs.job import Job
from benchmark.jobs.options import TrainSubset
from benchmark.jobs.scoring import refuse_undefined
from benchmark.system.scratch import scratch_folder
from probes.data import SplitArrays, release
from probes.statistics.subsets import fraction_rows
from tasks.items import Items

#: Embeddings of a split beyond so many bytes are laid out in a file for the time of the run.
IN_MEMORY_BYTES = 2**31


@dataclass(frozen=True)
class JobData:
    """The items of a job that are scored, with the key of each one's embedding.

    Attributes:
        job: Encoder and task.
        items: The items, without those whose audio is damaged; of train, those of the job's part.
        keys: The key of each item's embedding.
        damaged: What was left out.
        scratch: A folder for what does not fit into memory.
        lost: Labels without an item in the part of train.
        notes: What is to be told of audio that is used nevertheless, by the id of its item.
        fold: The fold that is test, where the task has folds and the items are those of one of them.
    """

    job: Job
    items: Items
    keys: tuple[str, ...]
    damaged: tuple[Damage, ...]
    scratch: Path
    lost: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    fold: str | None = None

    @property
    def title(self) -> str:
        """What is probed, in words."""
        return self.job.name if self.fold is None else f"{self.job.name}, fold {self.fold}"

    def of_fold(self, fold: str) -> JobData:
        """Return the same items with ``fold`` as test; see :meth:`tasks.items.Items.of_fold`."""
        scratch = self.scratch / f"fold-{self.items.folds.index(fold)}"
        scratch.mkdir(exist_ok=True)
        return replace(self, items=self.items.of_fold(fold), fold=fold, scratch=scratch)

    def arrays(self, split: str, layer: int | None = None) -> SplitArrays:
        """Read one split's embeddings, all of them or one layer's.

        Raises:
            UserError: No item is left, or the store cannot be read.
        """
        rows = self.items.rows(split)
        if len(rows) == 0:
            raise UserError(
                f"no item of the {split} split is left: too many tracks are damaged",
                "mend them ('bench data verify' names them), or take in more with a larger --limit if there was one",
            )
        embeddings = self._read([self.keys[i] for i in rows], split, layer)
        return SplitArrays(tuple(self.items.track_ids[i] for i in rows), embeddings, self.items.targets[rows])

    def _read(self, keys: Sequence[str], split: str, layer: int | None) -> np.ndarray:
        source = self.job.source
        dim = source.space.width if layer is None else source.space.dim
        columns = slice(None) if layer is None else slice(layer * dim, (layer + 1) * dim)
        if len(keys) * dim * 4 <= IN_MEMORY_BYTES:
            return source.read(keys, columns=columns)
        path = self.scratch / f"{split}-{'all' if layer is None else layer}.npy"
        out = _mapped(path, (len(keys), dim))
        source.read(keys, columns=columns, out=out)
        out.flush()
        release(out)
        return out

    def groups(self, split: str) -> list[str] | None:
        """Return the groups of one split's items."""
        groups = self.items.groups
        return None if groups is None else [groups[i] for i in self.items.rows(split)]


def in_item_order(parts: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return what was computed fold by fold [n, L], in the order of the items.

    Args:
        parts: Of each fold, [its items, L].
        rows: Of each fold, the rows of its items among all n.
    """
    return np.concatenate(parts)[np.argsort(np.concatenate(rows))]


def _mapped(path: Path, shape: tuple[int, int]) -> np.memmap:
    """Return a new float32 memory map, whose place on the disk is taken: a page without one would end the process."""
    size = shape[0] * shape[1] * 4
    try:
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            _reserve(file.fileno(), file.tell() + size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UserError(
            f"cannot lay out {decimal(size)} of embeddings in {path}: {error.strerror or error}. What was embedded is "
            "kept",
            "make room (see 'bench cache ls' and 'bench cache prune'), or give a --home on another disk, and run the "
            "same command again",
        ) from error
    return np.lib.format.open_memmap(path, "r+")


def _reserve(descriptor: int, size: int) -> None:
    """Make an open file ``size`` bytes long, on the disk already where the system can do that."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # else a file system that cannot
                raise
        else:
            return
    os.ftruncate(descriptor, size)


@contextmanager
def open_job_data(job: Job, damaged: Mapping[Path, Damage]) -> Iterator[JobData]:
    """Yield what a job's probe is trained and scored on, once its embeddings are in the store.

    Raises:
        UserError: Files changed meanwhile, or too little is left.
    """
    job.home.mkdir(parents=True, exist_ok=True)
    with scratch_folder(job.home) as scratch:
        data = _job_data(job, damaged, scratch)
        yield data if job.subset is None else _subset_of(data, job.subset)


def _job_data(job: Job, damaged: Mapping[Path, Damage], scratch: Path) -> JobData:
    index = AudioIndex(job.home)
    if not job.source.reads_audio:
        return JobData(job, job.data.items, tuple(key or "" for key in job.keys(index)), (), scratch)
    items, places = job.data.items, job.store.places()
    sound = np.array([path not in damaged for path in items.audio])
    left_out = tuple(damaged[path] for path, ok in zip(items.audio, sound, strict=True) if not ok)
    items = items.take(np.flatnonzero(sound))
    if left_out:
        refuse_undefined(job.card, items)
    keys = [index.key(path) for path in items.audio]
    for path, key in zip(items.audio, keys, strict=True):
        if key is None or key not in places:
            raise UserError(f"{path} changed while the run was under way", "run the same command again")
    notes = {
        name: entry.note
        for name, path in zip(items.track_ids, items.audio, strict=True)
        if (entry := index.entry(path)) is not None and entry.note
    }
    return JobData(job, items, tuple(key for key in keys if key), left_out, scratch, notes=notes)


def _subset_of(data: JobData, subset: TrainSubset) -> JobData:
    """Return a job's data with a part of train; valid and test stay whole."""
    items, card = data.items, data.job.card
    train = items.rows("train")
    seed = subset_seed(data.job, subset)
    try:
        sample = fraction_rows(items.targets[train], data.groups("train"), card.kind, subset.fraction, seed)
    except ValueError as error:
        raise UserError(
            f"--train-fraction {subset.fraction:g} of {card.id}: {error}", "Give a larger fraction"
        ) from None
    others = np.flatnonzero(np.array([split != "train" for split in items.splits]))
    rows = np.sort(np.concatenate([train[sample.rows], others]))
    return replace(
        data,
        items=items.take(rows),
        keys=tuple(data.keys[i] for i in rows),
        lost=tuple(items.labels[i] for i in sample.lost),
    )


def subset_seed(job: Job, subset: TrainSubset) -> int:
    """Return the seed of a repeat's sample of train."""
    return job.search.seed + subset.repeat
