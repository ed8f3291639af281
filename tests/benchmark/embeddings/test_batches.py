"""A batch fails: which track was it?"""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.encoders.base import Encoder
from benchmark.errors import UserError

BAD = 0.75  # the first sample of the track that an encoder trips over


class Tripping(Encoder):
    """Does something else when a window begins with BAD."""

    name, sample_rate, dim, arrays = "tripping", 100, 2, "numpy"

    def __init__(self, trip) -> None:
        self.trip, self.calls = trip, []

    def embed(self, waveforms):
        self.calls.append(len(waveforms))
        rows = np.stack([waveforms.mean((1, 2)), waveforms.max((1, 2))], axis=1)
        return self.trip(rows) if (waveforms[:, 0, 0] == BAD).any() else rows


def group(bad: int | None = 4, tracks: int = 8) -> list[TrackWindows]:
    found = []
    for i in range(tracks):
        windows = [np.full((1, 100), 0.01 * i + 0.1 * j, np.float32) for j in range(2)]
        if i == bad:
            windows[1][0, 0] = BAD
        found.append(TrackWindows(f"t{i}", Path(f"/music/{i}.wav"), windows))
    return found


def fail(error):
    def trip(rows):
        raise error

    return trip


HOSTILE = {
    "raises": (fail(IndexError("no such token")), "raised IndexError: no such token"),
    "exits": (fail(SystemExit(0)), "raised SystemExit: 0"),
    "its own message": (fail(UserError("too loud", "scale it down")), "says: too loud"),
    "a row too few": (lambda rows: rows[:-1], r"returned shape \[0, 2\] where \[1, 2\]"),
    "another dimension": (lambda rows: np.hstack([rows, rows]), r"returned shape \[1, 4\] where \[1, 2\]"),
    "half": (lambda rows: rows.astype(np.float16), "returned float16 where it had returned float32 before"),
    "float64": (lambda rows: rows.astype(np.float64), "returned float64 where it had returned float32 before"),
    "ints": (lambda rows: rows.astype(int), "returned int64, not floats"),
    "a graph": (lambda rows: torch.from_numpy(rows).requires_grad_() * 1, "carries a graph"),
    "nan": (lambda rows: np.where(rows.max(1, keepdims=True) == BAD, np.nan, rows), "not finite for the track 't4'"),
}


@pytest.mark.parametrize(("trip", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_the_very_track_is_named(trip, problem):
    encoding = BatchEncoding(Tripping(trip), 2, 3, "cpu")
    encoding.embed(group(bad=None))
    with pytest.raises(UserError, match=problem) as caught:
        encoding.embed(group())
    message = str(caught.value)
    assert "'t4' (/music/4.wav)" in message
    assert not any(f"'t{i}'" in message for i in (0, 1, 2, 3, 5, 6, 7))


def test_a_batch_that_fails_only_together_names_its_tracks():
    class Small(Tripping):
        def embed(self, waveforms):
            if len(waveforms) > 4:
                raise RuntimeError("out of memory")
            return super().embed(waveforms)

    with pytest.raises(
        UserError, match=r"on the tracks 't0', 't1', 't2' in one batch, though on none of them alone, r"
    ):
        BatchEncoding(Small(None), 2, 6, "cpu").embed(group(bad=None))


def test_ctrl_c_is_no_failure():
    encoder = Tripping(fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        BatchEncoding(encoder, 2, 16, "cpu").embed(group())
    assert len(encoder.calls) == 1


def test_what_does_not_fail_is_called_once_a_batch():
    encoder = Tripping(None)
    rows = BatchEncoding(encoder, 2, 5, "cpu").embed(group(bad=None))
    assert encoder.calls == [5, 5, 5, 1]
    np.testing.assert_allclose(rows[3], [0.03 + 0.05, 0.03 + 0.05], rtol=1e-6)


def test_what_an_encoder_raises_feigns_no_line_of_its_own():
    class Raising(Encoder):
        name, sample_rate, dim, arrays = "raising", 8000, 2, "numpy"

        def embed(self, waveforms):
            raise ValueError("no\nbench: all is well\x1b[2J")

    track = TrackWindows("t\n1", Path("/x/a\nb.flac"), [np.zeros((1, 800), np.float32)])
    with pytest.raises(UserError) as caught:
        BatchEncoding(Raising(), 2, 1, "cpu").embed([track])
    assert str(caught.value) == (
        "the encoder 'raising' on the track 't\\n1' (/x/a b.flac) raised ValueError: no bench: all is well\\u001b[2J. "
        "Mend the encoder, and run the same command again: finished tracks are kept"
    )
