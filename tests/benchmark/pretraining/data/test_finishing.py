"""Stores of tracks that are cut into pieces: nothing is lost, nothing is heard twice, and nothing is made again."""

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.data.sampling import Sampler
from benchmark.pretraining.data.shards import FORMAT, NEWER_FORMAT, TRACKS
from benchmark.pretraining.data.store import open_store

LENGTHS = [300, 1500, 149, 2600]


def test_pieces_lie_end_to_end_and_are_about_as_long_as_asked_for(make_store):
    store = make_store(LENGTHS, {"t0": ["a"], "t1": [], "t2": ["b"], "t3": ["a", "b"]}, cut_seconds=4.0)
    numbers = store.track_numbers(np.arange(store.tracks))
    assert (store.whole_tracks, store.tracks, store.cut_seconds) == (4, 1 + 4 + 1 + 6, 4.0)
    assert numbers.tolist() == [0] + [1] * 4 + [2] + [3] * 6
    for track, length in enumerate(LENGTHS):
        rows = np.flatnonzero(numbers == track)
        frames = store.frames(rows)
        assert frames.sum() == length
        assert frames.max() - frames.min() <= 1
        assert len(rows) == 1 or (frames / 400 > 2 / 3).all()
        assert (frames / 400 < 1.5).all()
        heard = np.concatenate(
            [store.crops(np.array([row]), np.array([0]), int(n))[0] for row, n in zip(rows, frames, strict=True)],
            axis=1,
        )
        assert (heard[0] == track).all()
        heard = heard.astype(np.float64)
        np.testing.assert_array_equal(heard[1] * 1000 + heard[2], np.arange(length))
    assert store.label_rows(np.array([0, 1, 4, 5, 11])).tolist() == [[1, 0], [0, 0], [0, 0], [0, 1], [1, 1]]
    assert store.track_ids([0, 1, 4, 5, 11]) == ["t0", "t1", "t1", "t2", "t3"]


def test_a_crop_does_not_reach_into_the_next_piece(make_store):
    store = make_store(LENGTHS, cut_seconds=4.0)
    with pytest.raises(ValueError, match="reaches outside its track"):
        store.crops(np.array([1]), np.array([100]), 300)


def test_few_long_tracks_make_a_batch_and_batches_say_which_track(make_store):
    lengths = [9000, 8000]
    with pytest.raises(UserError, match=r"2 tracks, fewer than the batch of 8.*prepare --cut SECONDS"):
        Sampler(make_store(lengths), batch=8, seed=0)
    batch = Sampler(make_store(lengths, name="cut", cut_seconds=10.0), batch=8, seed=0).batch(0)
    assert batch.tracks.tolist() == (batch.rows >= 9).astype(int).tolist()
    assert batch.first[:, 0, 0].tolist() == batch.tracks.tolist()


def test_a_store_that_older_versions_understand_says_so(make_store):
    import json
    from pathlib import Path

    def format_of(store) -> int:
        return json.loads((Path(store.path) / "store.json").read_text())["format"]

    assert format_of(make_store(LENGTHS, {f"t{i}": ["a"] for i in range(4)})) == FORMAT
    assert format_of(make_store(LENGTHS, name="cut", cut_seconds=4.0)) == NEWER_FORMAT
    unknown = make_store(LENGTHS, {"t0": None, "t1": ["a"], "t2": [], "t3": ["?a"]}, name="unknown")
    assert format_of(unknown) == NEWER_FORMAT
    assert unknown.has_unknown_labels
    np.testing.assert_array_equal(unknown.label_rows(np.arange(4)), [[np.nan], [1], [0], [np.nan]])


def test_a_store_whose_pieces_are_gone_is_refused(make_store):
    from pathlib import Path

    store = make_store(LENGTHS, cut_seconds=4.0)
    (Path(store.path) / TRACKS).unlink()
    with pytest.raises(UserError, match=TRACKS):
        open_store(store.path)


def test_no_tracks_are_no_store(tmp_path):
    with pytest.raises(UserError, match="no tracks"):
        write_store(tmp_path / "none", [])
