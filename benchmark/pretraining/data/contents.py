"""The files of a store: which there are, how large they are, and whether they belong together."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.errors import UserError
from benchmark.pretraining.data.caption_rows import CAPTION_ARRAYS, CaptionRows
from benchmark.pretraining.data.description import AGAIN, StoreCard
from benchmark.pretraining.data.shard_readers import ShardReader
from benchmark.pretraining.data.shards import ARRAYS, DESCRIPTION, FRAME_BYTES, INDEX, TRACKS, WAVE_BYTES, wave_name
from tasks.errors import TaskError
from tasks.files import check_npy, refuse_no_file


class Files(NamedTuple):
    """What a store reads of: shards of log-mels, of waveforms where it has them, and arrays by their names."""

    log_mels: ShardReader
    waveforms: ShardReader | None
    arrays: dict[str, np.ndarray]


def shard_files(card: StoreCard) -> tuple[dict[str, tuple[str, int]], dict[str, tuple[str, int]]]:
    """Return digest and bytes of the files of log-mels, and of those of waveforms, by their names."""
    log_mels = {f"{shard.name}.f16": (shard.sha256, shard.frames * FRAME_BYTES) for shard in card.shards}
    if card.waveforms is None:
        return log_mels, {}
    return log_mels, {
        wave_name(shard.name): (sha256, shard.frames * WAVE_BYTES)
        for shard, sha256 in zip(card.shards, card.waveforms, strict=True)
    }


def arrays_of(path: str, card: StoreCard, folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a store, which lie in ``folder``, memory-mapped.

    Raises:
        UserError: They do not belong to the rest.
    """
    found: dict[str, np.ndarray] = {}
    try:
        for name in card.arrays:
            with (folder / name).open("rb") as file:
                check_npy(file, refuse_no_file(folder / name), str(folder / name))
            found[name] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    except (ValueError, TaskError) as error:
        raise UserError(f"the index of the store {path} cannot be read ({error})", AGAIN) from None
    if not _belong(card, found):
        raise UserError(f"the index of the store {path} does not belong to its {DESCRIPTION}", AGAIN)
    return found


def _belong(card: StoreCard, arrays: dict[str, np.ndarray]) -> bool:
    """Say whether the arrays are those of which the card speaks, and of its tracks."""
    expected = {
        "index.npy",
        *(ARRAYS[1:] if card.labels is not None else ()),
        *((TRACKS,) if card.cut_seconds is not None else ()),
        *(CAPTION_ARRAYS if card.captions is not None else ()),
    }
    if set(arrays) != expected or arrays["index.npy"].dtype != INDEX or len(arrays["index.npy"]) != card.tracks:
        return False
    if card.labels is not None:
        starts, codes = (arrays[name] for name in ARRAYS[1:])
        if len(starts) != card.tracks + 1 or starts[-1] != len(codes):
            return False
    if card.captions is not None and not CaptionRows(*(arrays[name] for name in CAPTION_ARRAYS)).belong(card.tracks):
        return False
    return card.cut_seconds is None or len(arrays[TRACKS]) == card.tracks
