"""Embed a group of tracks in batches of equally long windows; where a batch fails, name the track that fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.audio.spool import release
from benchmark.encoders.base import Encoder
from benchmark.encoders.outputs import EncoderOutput, OutputError, as_rows, call_encoder
from benchmark.encoders.time_limit import HungError, TimeLimit
from benchmark.errors import UserError
from benchmark.system.terminal import said_by
from results.markdown import folded

NAMED = 5  # tracks in a message


@dataclass(frozen=True)
class TrackWindows:
    """The windows of a track, each [channels, n], with its id and its file for messages."""

    track_id: str
    path: Path
    windows: Sequence[np.ndarray]


class BatchEncoding:
    """Calls an encoder on one device: checks each output, its dtype across calls, and the time of each call.

    ``keep`` stores finished embeddings when a call does not end (:mod:`benchmark.encoders.time_limit`).
    """

    def __init__(
        self, encoder: Encoder, width: int, batch_size: int, device: str, keep: Callable[[], None] | None = None
    ) -> None:
        self._encoder, self._width, self._batch_size, self._device = encoder, width, batch_size, device
        self._dtype: str | None = None
        self._time = TimeLimit(encoder.name, keep)

    def embed(self, group: Sequence[TrackWindows]) -> list[np.ndarray]:
        """Return one embedding, float32 [width], a track: the mean over its windows.

        Raises:
            UserError: The encoder raised, did not return in time, broke its contract or gave values that are not
                finite; the track is named.
        """
        by_length: dict[int, list[tuple[int, int]]] = {}
        for i, track in enumerate(group):
            for j, window in enumerate(track.windows):
                by_length.setdefault(window.shape[1], []).append((i, j))
        embeddings = [np.empty((len(track.windows), self._width), np.float32) for track in group]
        for same in by_length.values():
            for start in range(0, len(same), self._batch_size):
                batch = same[start : start + self._batch_size]
                for (i, j), row in zip(batch, self._rows(group, batch), strict=True):
                    embeddings[i][j] = row
        for track, rows in zip(group, embeddings, strict=True):
            if not np.isfinite(rows).all():
                raise UserError(
                    f"the encoder {self._encoder.name!r} gave an embedding that is not finite for the track "
                    f"{track.track_id!r} ({folded(str(track.path))})",
                    "fix the encoder; finished tracks are kept",
                )
        return [rows.mean(axis=0, dtype=np.float64).astype(np.float32) for rows in embeddings]

    def _rows(self, group: Sequence[TrackWindows], batch: Sequence[tuple[int, int]]) -> np.ndarray:
        try:
            return self._call(group, batch)
        except (Exception, SystemExit) as error:
            # A batch that hangs is tried track by track too, to name the track.
            tracks = list(dict.fromkeys(i for i, _ in batch))
            if len(tracks) > 1:
                for i in tracks:
                    alone = [position for position in batch if position[0] == i]
                    try:
                        self._call(group, alone)
                    except (Exception, SystemExit) as own:
                        raise self._named([group[i]], own) from own
            raise self._named([group[i] for i in tracks], error) from error

    def _call(self, group: Sequence[TrackWindows], batch: Sequence[tuple[int, int]]) -> np.ndarray:
        waveforms = np.stack([group[i].windows[j] for i, j in batch])
        for i in {i for i, _ in batch}:
            release(group[i].windows[0])  # of a long track, only this batch's part has been read
        where = _where([group[i] for i in dict.fromkeys(i for i, _ in batch)])
        with self._time.over(where, len(batch) * waveforms.shape[2] / self._encoder.sample_rate):
            output = call_encoder(self._encoder, waveforms, self._device)
        rows = as_rows(self._encoder, output, len(batch))
        self._refuse_another_kind(output)
        return rows

    def _refuse_another_kind(self, output: EncoderOutput) -> None:
        if self._dtype is None:
            self._dtype = output.dtype
        elif output.dtype != self._dtype:
            raise OutputError("dtype", f"returned {output.dtype} where it had returned {self._dtype} before")

    def _named(self, tracks: Sequence[TrackWindows], error: BaseException) -> UserError:
        if isinstance(error, HungError):  # its message names the tracks
            return error
        where = f"on {_where(tracks)}" + (" in one batch, though on none of them alone," if len(tracks) > 1 else "")
        who, again = (
            f"the encoder {self._encoder.name!r} {where}",
            "and run the same command again: finished tracks are kept",
        )
        if isinstance(error, UserError):
            return UserError(f"{who} says: {error.what}", error.do, error.rows)
        what = str(error) if isinstance(error, OutputError) else f"raised {said_by(error)}"
        return UserError(f"{who} {what}", f"Mend the encoder, {again}")


def _where(tracks: Sequence[TrackWindows]) -> str:
    """Return the tracks for a message, to follow 'on'; a single one with its file."""
    ids = ", ".join(repr(track.track_id) for track in tracks[:NAMED])
    if len(tracks) == 1:
        return f"the track {ids} ({folded(str(tracks[0].path))})"
    return f"the tracks {ids}" + (f" and {len(tracks) - NAMED} more" if len(tracks) > NAMED else "")
