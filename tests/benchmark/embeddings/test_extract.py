"""Extraction: the same bytes whatever interrupts it, every damaged file found, and no encoder trusted blindly."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import benchmark
from benchmark.audio.decode import AudioRule
from benchmark.audio.index import AudioIndex
from benchmark.embeddings import extract as extraction
from benchmark.embeddings import store as stores
from benchmark.embeddings.extract import Extraction, extract
from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import EmbeddingStore, shards
from benchmark.embeddings.tracks import Track
from benchmark.encoders.base import Encoder
from benchmark.errors import UserError

RATE = 2000


class Stub(Encoder):
    """Gives the mean and the largest sample of a window, and remembers what it was given."""

    name, version, sample_rate, dim, arrays = "stub", "1", RATE, 2, "numpy"
    window_seconds, hop_seconds, minimum_seconds = 1.0, 0.5, 0.25
    not_in_fingerprint = ("batches", "change", "device")

    def __init__(self, change=None, **declared) -> None:
        vars(self).update(declared)
        self.batches: list[np.ndarray] = []
        self.change = change

    def embed(self, waveforms):
        self.batches.append(waveforms)
        answer = np.stack([waveforms.mean((1, 2)), waveforms.max((1, 2))], axis=1)
        return answer if self.change is None else self.change(answer)


class Mixing(Stub):
    """Lets every row of a batch depend on all others, so that another batch gives other numbers."""

    def embed(self, waveforms):
        rows = super().embed(waveforms)
        return rows + rows.mean(axis=0) * len(rows)


def song(path: Path, seconds: float = 1.0, level: float = 0.5, seed: int = 0) -> Path:
    samples = level * np.random.default_rng(seed).uniform(-1, 1, int(seconds * RATE))
    soundfile.write(path, samples.astype(np.float32), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def tracks(tmp_path) -> list[Track]:
    """Return 13 tracks of five lengths: under a window, one window, and more."""
    folder = tmp_path / "audio"
    folder.mkdir()
    lengths = [0.1, 0.6, 1.0, 1.4, 3.2]
    return [Track(f"t{i}", "songs", song(folder / f"{i}.wav", lengths[i % 5], seed=i)) for i in range(13)]


class Bench:
    """An encoder with a home of its own."""

    def __init__(self, home: Path, encoder: Encoder | None = None, batch_size: int = 4) -> None:
        self.home, self.encoder, self.batch_size = home, encoder or Stub(), batch_size
        self.store = self.open()

    def open(self) -> EmbeddingStore:
        return EmbeddingStore(self.home, space_of(self.encoder, None, None))

    def extract(self, tracks: list[Track], workers: int = 0, **options) -> Extraction:
        """Embed what is missing, as a new process would."""
        self.store, index = self.open(), AudioIndex(self.home)
        todo = self.store.missing(tracks, index)
        return extract(
            self.encoder, todo, self.store, index, workers=workers, batch_size=self.batch_size, device="cpu", **options
        )

    def missing(self, tracks: list[Track]) -> list[str]:
        return [track.track_id for track in self.open().missing(tracks, AudioIndex(self.home))]

    def read(self, tracks: list[Track]) -> np.ndarray:
        index = AudioIndex(self.home)
        return self.open().read([index.key(track.path) for track in tracks])


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path / "home")


@pytest.fixture
def eager(monkeypatch) -> None:
    """Make every group a shard of its own, and small."""
    monkeypatch.setattr(extraction, "SHARD_SECONDS", -1.0)
    monkeypatch.setattr(extraction, "GROUP_BATCHES", 1)


def pooled(track: Track) -> np.ndarray:
    """Return what Stub says of a track, by the definition of windows."""
    samples, _ = soundfile.read(track.path, dtype="float32")
    if len(samples) < RATE // 4:
        samples = np.tile(samples, 10)[: RATE // 4]
    starts = [*range(0, len(samples) - RATE + 1, RATE // 2)] or [0]
    if starts[-1] + RATE < len(samples):
        starts.append(len(samples) - RATE)
    windows = [samples[start : start + RATE] for start in starts]
    return np.mean([(window.mean(dtype=np.float32), window.max()) for window in windows], axis=0)


class TestEmbedding:
    def test_an_embedding_is_the_mean_over_the_windows_of_a_track(self, bench, tracks):
        done = bench.extract(tracks)
        assert (done.embedded, done.damaged) == (13, [])
        assert done.audio_seconds == pytest.approx(sum(soundfile.info(track.path).duration for track in tracks))
        np.testing.assert_allclose(bench.read(tracks), np.stack([pooled(track) for track in tracks]), atol=1e-6)

    def test_rows_tell_of_the_audio(self, bench, tracks):
        song(tracks[4].path, 3.2, level=2.0)
        bench.extract(tracks)
        (shard,) = shards(bench.store.folder)
        columns = stores.read_shard(shard, stores.COLUMNS, 2)
        assert columns[1] == [track.track_id for track in tracks]
        assert columns[2] == ["songs"] * 13
        assert columns[3][:5] == [0.1, 0.6, 1.0, 1.4, 3.2]
        assert columns[4][:5] == [1, 1, 1, 2, 6]
        assert columns[5] == [i == 4 for i in range(13)]

    @pytest.mark.parametrize("padding", ["repeat", "zero"])
    def test_a_batch_never_holds_padded_audio(self, tmp_path, tracks, padding):
        bench = Bench(tmp_path / "home", Stub(padding=padding), batch_size=5)
        bench.extract(tracks)
        lengths = {batch.shape[2] for batch in bench.encoder.batches}
        assert lengths == {RATE // 4, int(0.6 * RATE), RATE}  # the minimum, one's own, a window
        assert all(batch.shape[1] == 1 and len(batch) <= 5 for batch in bench.encoder.batches)
        assert sum(map(len, bench.encoder.batches)) == sum([1, 1, 1, 2, 6][i % 5] for i in range(13))
        for batch in bench.encoder.batches:
            silent = (batch == 0).sum(axis=2)
            assert (silent > 0).any() == (padding == "zero" and batch.shape[2] == RATE // 4)

    def test_whole_tracks_are_not_padded_to_one_length(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home", Stub(window_seconds=None))
        bench.extract(tracks)
        assert {batch.shape[2] / RATE for batch in bench.encoder.batches} == {0.25, 0.6, 1.0, 1.4, 3.2}

    def test_a_batch_is_full_where_it_can_be(self, bench, tracks):
        bench.extract(tracks)
        sizes = [len(batch) for batch in bench.encoder.batches if batch.shape[2] == RATE]
        assert max(sizes) == 4
        assert sizes.count(4) >= 3

    def test_stereo(self, tmp_path):
        path = tmp_path / "a.wav"
        both = np.stack([np.full(RATE, 0.1), np.full(RATE, 0.3)], axis=1).astype(np.float32)
        soundfile.write(path, both, RATE, subtype="FLOAT")
        bench = Bench(tmp_path / "home", Stub(channels=2))
        bench.extract([Track("a", "songs", path)])
        np.testing.assert_array_equal(bench.encoder.batches[0][0], both.T)

    def test_whole_long_tracks_are_held_in_smaller_groups(self, tmp_path, tracks, monkeypatch):
        monkeypatch.setattr(extraction, "GROUP_SAMPLES", 4 * RATE)
        monkeypatch.setattr(extraction, "SHARD_SECONDS", -1.0)
        bench = Bench(tmp_path / "home", Stub(window_seconds=None), batch_size=100)
        bench.extract(tracks)
        groups = [stores.read_shard(shard, ("seconds",), None)[0] for shard in shards(bench.store.folder)]
        assert len(groups) == 3
        assert all(sum(group) - group[-1] < 4 <= sum(group) for group in groups[:-1])

    def test_workers_change_nothing(self, tmp_path, tracks):
        one, other = Bench(tmp_path / "one", Mixing()), Bench(tmp_path / "other", Mixing())
        one.extract(tracks)
        other.extract(tracks, workers=2)
        assert one.read(tracks).tobytes() == other.read(tracks).tobytes()


class TestOnce:
    def test_nothing_is_missing_afterwards(self, bench, tracks):
        assert bench.missing(tracks) == [track.track_id for track in tracks]
        bench.extract(tracks)
        assert bench.missing(tracks) == []
        calls = len(bench.encoder.batches)
        assert bench.extract(tracks).embedded == 0
        assert len(bench.encoder.batches) == calls

    def test_one_content_under_two_names_is_embedded_once(self, bench, tracks):
        twin = Track("twin", "other", tracks[2].path.with_name("twin.wav"))
        twin.path.write_bytes(tracks[2].path.read_bytes())
        assert bench.extract([tracks[2], twin]).embedded == 1
        assert bench.missing([tracks[2], twin]) == []
        one, other = bench.read([tracks[2], twin])
        np.testing.assert_array_equal(one, other)

    def test_one_file_asked_for_twice_is_read_once(self, bench, tracks):
        again = Track("again", "songs", tracks[0].path)
        assert bench.missing([tracks[0], again]) == ["t0"]

    def test_a_touched_file_is_hashed_and_not_embedded(self, bench, tracks):
        bench.extract(tracks)
        calls = len(bench.encoder.batches)
        tracks[3].path.touch()
        assert bench.missing(tracks) == ["t3"]
        assert bench.extract(tracks).embedded == 0
        assert len(bench.encoder.batches) == calls
        assert bench.missing(tracks) == []

    def test_a_moved_file_is_hashed_and_not_embedded(self, bench, tracks):
        bench.extract(tracks)
        moved = Track("moved", "songs", tracks[3].path.rename(tracks[3].path.with_name("moved.wav")))
        assert bench.extract([moved]).embedded == 0
        assert bench.missing([moved]) == []

    def test_changed_content_at_the_same_path_is_embedded_anew(self, bench, tracks):
        bench.extract(tracks)
        before = bench.read(tracks)
        song(tracks[3].path, 1.4, seed=99)
        assert bench.missing(tracks) == ["t3"]
        assert bench.extract(tracks).embedded == 1
        after = bench.read(tracks)
        assert [i for i in range(13) if not np.array_equal(before[i], after[i])] == [3]
        np.testing.assert_allclose(after[3], pooled(tracks[3]), atol=1e-6)

    def test_another_encoder_or_version_starts_afresh(self, tmp_path, tracks):
        Bench(tmp_path / "home").extract(tracks)
        for other in (Stub(version="2"), Stub(name="renamed"), Stub(weights=np.ones(2)), Mixing()):
            assert len(Bench(tmp_path / "home", other).missing(tracks)) == 13

    def test_more_tracks_are_added_to_the_old(self, bench, tracks):
        bench.extract(tracks[:5])
        before = bench.read(tracks[:5])
        assert bench.extract(tracks).embedded == 8
        np.testing.assert_array_equal(bench.read(tracks[:5]), before)


class TestDamage:
    def test_all_damaged_tracks_are_found_and_the_others_embedded(self, bench, tracks):
        tracks[1].path.write_bytes(b"")
        tracks[4].path.write_bytes(tracks[4].path.read_bytes()[:-RATE])
        tracks[7].path.unlink()
        tracks[12].path.write_bytes(b"<html>404</html>")
        done = bench.extract(tracks)
        assert [(damage.track_id, damage.path) for damage in done.damaged] == [
            (track.track_id, track.path) for track in (tracks[1], tracks[4], tracks[7], tracks[12])
        ]
        assert done.damaged[1].seconds_recovered == pytest.approx(3.2 - 0.25)
        assert "chunk holds" in done.damaged[1].problem
        assert done.embedded == 9
        assert bench.missing(tracks) == ["t1", "t4", "t7", "t12"]
        assert [damage.track_id for damage in bench.extract(tracks).damaged] == ["t1", "t4", "t7", "t12"]

    def test_too_short_for_an_encoder_that_refuses(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home", Stub(padding="refuse"))
        done = bench.extract(tracks)
        assert [damage.track_id for damage in done.damaged] == ["t0", "t5", "t10"]
        assert done.damaged[0].problem == "too short: 200 samples, but the encoder takes at least 500"
        assert done.damaged[0].seconds_recovered == 0.1
        assert done.embedded == 10

    def test_a_mended_track_is_embedded(self, bench, tracks):
        sound = tracks[1].path.read_bytes()
        tracks[1].path.write_bytes(sound[:-100])
        bench.extract(tracks)
        tracks[1].path.write_bytes(sound)
        done = bench.extract(tracks)
        assert (done.embedded, done.damaged) == (1, [])

    def test_damage_does_not_move_the_batches(self, tmp_path, tracks):
        """Or else a run that is repeated after an interruption would not repeat its numbers."""
        bad = Track("bad", "songs", tmp_path / "bad.wav")
        bad.path.write_bytes(b"not audio")
        with_damage, without = Bench(tmp_path / "one", Mixing()), Bench(tmp_path / "other", Mixing())
        with_damage.extract([bad, *tracks[:6], bad, *tracks[6:]])
        without.extract(tracks)
        assert with_damage.read(tracks).tobytes() == without.read(tracks).tobytes()


class Stop:
    """Stops an extraction when its ``at``-th track is heard."""

    def __init__(self, at: int) -> None:
        self.at, self.heard = at, []

    def __call__(self, seconds: float) -> None:
        self.heard.append(seconds)
        if len(self.heard) == self.at:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("eager")
class TestResuming:
    def test_progress_hears_every_track(self, bench, tracks):
        tracks[0].path.write_bytes(b"")
        heard = []
        bench.extract(tracks, progress=heard.append)
        assert heard == [0.0, *(soundfile.info(track.path).duration for track in tracks[1:])]

    @pytest.mark.parametrize("at", [1, 2, 5, 9, 13])
    def test_stopped_and_resumed_gives_the_same_bytes(self, tmp_path, tracks, at):
        tracks[3].path.write_bytes(b"damaged")
        tracks[6].path.write_bytes(tracks[5].path.read_bytes())
        sound = [track for i, track in enumerate(tracks) if i != 3]
        unbroken, broken = Bench(tmp_path / "one", Mixing()), Bench(tmp_path / "other", Mixing())
        unbroken.extract(tracks)
        with pytest.raises(KeyboardInterrupt):
            broken.extract(tracks, progress=Stop(at))
        kept = 13 - len(broken.missing(tracks))
        assert kept < 13
        done = broken.extract(tracks)
        assert len(done.damaged) == 1
        assert broken.read(sound).tobytes() == unbroken.read(sound).tobytes()
        names = [stores.read_shard(shard, ("track_id",), None) for shard in shards(unbroken.store.folder)]
        assert [stores.read_shard(shard, ("track_id",), None) for shard in shards(broken.store.folder)] == names

    def test_stopped_over_and_over(self, tmp_path, tracks):
        unbroken, broken = Bench(tmp_path / "one", Mixing()), Bench(tmp_path / "other", Mixing())
        unbroken.extract(tracks)
        stops = 0
        while broken.missing(tracks):
            try:
                broken.extract(tracks, progress=Stop(6))
            except KeyboardInterrupt:
                stops += 1
        assert stops > 1
        assert broken.read(tracks).tobytes() == unbroken.read(tracks).tobytes()

    def test_what_was_finished_is_kept_when_it_is_stopped(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home")
        with pytest.raises(KeyboardInterrupt):
            bench.extract(tracks, progress=Stop(9))
        assert bench.missing(tracks)[0] != "t0"
        assert bench.missing(tracks)[-1] == "t12"

    def test_a_torn_shard_is_embedded_again(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home", Stub())
        bench.extract(tracks)
        before = bench.read(tracks)
        torn = shards(bench.store.folder)[1]
        names = stores.read_shard(torn, ("track_id",), None)[0]
        torn.write_bytes(torn.read_bytes()[:-50])
        assert bench.missing(tracks) == names
        assert bench.extract(tracks).embedded == len(names)
        np.testing.assert_array_equal(bench.read(tracks), before)

    def test_a_full_disk_keeps_earlier_groups(self, tmp_path, tracks, monkeypatch):
        bench, shards_written = Bench(tmp_path / "home"), []
        replace_file = stores.replace_file

        def full(path, data):
            if path.suffix == ".parquet":
                shards_written.append(path)
            if len(shards_written) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            replace_file(path, data)

        monkeypatch.setattr(stores, "replace_file", full)
        with pytest.raises(UserError, match="No space left on device"):
            bench.extract(tracks)
        monkeypatch.undo()
        assert 0 < len(bench.missing(tracks)) < 13
        bench.extract(tracks)
        assert bench.missing(tracks) == []

    def test_a_full_disk_under_the_index_is_a_message(self, tmp_path, tracks, monkeypatch):
        def full(path, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("benchmark.audio.index.replace_file", full)
        with pytest.raises(UserError, match="No space left on device"):
            Bench(tmp_path / "home").extract(tracks)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from benchmark import Encoder
from benchmark.embeddings import extract as extraction
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.extract import extract
from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Track

extraction.SHARD_SECONDS, extraction.GROUP_BATCHES = -1.0, 1

class Net(Encoder):
    name, sample_rate, dim, window_seconds, hop_seconds = "net", 2000, 16, 1.0, 0.5

    def __init__(self):
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(2000, 64), torch.nn.GELU(), torch.nn.Linear(64, 16))

    def embed(self, waveforms):
        rows = self.net(waveforms[:, 0])
        return rows + rows.mean(dim=0) * len(rows)

home, die_at, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tracks = [Track(Path(name).stem, "songs", Path(name)) for name in sys.argv[4:]]
encoder = Net()
store, index = EmbeddingStore(home, space_of(encoder, None, None)), AudioIndex(home)
todo, heard = store.missing(tracks, index), []
print(len(todo), flush=True)

def progress(seconds):
    heard.append(seconds)
    if len(heard) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

extract(encoder, todo, store, index, workers=workers, batch_size=4, device="cpu", progress=progress)
print(store.read([AudioIndex(home).key(track.path) for track in tracks]).tobytes().hex())
"""


class TestKilled:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_killed_and_resumed_gives_the_same_bytes(self, tmp_path, tracks, workers):
        names = [str(track.path) for track in tracks]

        def run(home: str, die_at: int, workers: int) -> subprocess.CompletedProcess:
            command = [sys.executable, "-c", KILLED, str(tmp_path / home), str(die_at), str(workers), *names]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        unbroken = run("one", 0, 0)
        assert unbroken.returncode == 0, unbroken.stderr
        todo = []
        for die_at in (8, 6):
            killed = run("other", die_at, workers)
            assert killed.returncode == -signal.SIGKILL
            todo.append(int(killed.stdout))
        resumed = run("other", 0, workers)
        assert resumed.returncode == 0, resumed.stderr
        todo.append(int(resumed.stdout.splitlines()[0]))
        assert 13 == todo[0] > todo[1] > todo[2] > 0
        assert resumed.stdout.splitlines()[1] == unbroken.stdout.splitlines()[1]


class TestAnswers:
    """What an encoder may answer, for a batch of B windows and dim 2."""

    ALLOWED = (
        ("float32", lambda a: a),
        ("float64", lambda a: a.astype(np.float64)),
        ("float16", lambda a: a.astype(np.float16)),
        ("a list", lambda a: a.tolist()),
        ("a tensor", lambda a: torch.from_numpy(a)),
        ("a half tensor", lambda a: torch.from_numpy(a).half()),
        ("a bfloat16 tensor", lambda a: torch.from_numpy(a).bfloat16()),
        ("a view", lambda a: np.repeat(a, 2, axis=0)[::2]),
        ("frames", lambda a: np.stack([a - 1, a, a + 1], axis=1)),
        ("one frame", lambda a: a[:, None]),
        ("half frames", lambda a: np.repeat(a[:, None], 3000, axis=1).astype(np.float16)),
    )

    @pytest.mark.parametrize(("name", "change"), ALLOWED, ids=[name for name, _ in ALLOWED])
    def test_allowed(self, tmp_path, tracks, name, change):
        bench = Bench(tmp_path / "home", Stub(change))
        bench.extract(tracks)
        tolerance = 1e-2 if "bfloat" in name else 1e-3 if "half" in name or name == "float16" else 1e-6
        np.testing.assert_allclose(bench.read(tracks), np.stack([pooled(t) for t in tracks]), atol=tolerance)

    def test_layers_are_laid_side_by_side(self, tmp_path, tracks):
        encoder = Stub(lambda a: np.stack([a, a * 10, a * 100], axis=1), layers=("x", "y", "z"))
        bench = Bench(tmp_path / "home", encoder)
        bench.extract(tracks)
        found, wanted = bench.read(tracks), np.stack([pooled(track) for track in tracks])
        np.testing.assert_allclose(found, np.hstack([wanted, wanted * 10, wanted * 100]), rtol=1e-4, atol=1e-6)

    REFUSED = (
        ("a row too few", lambda a: a[:-1], r"returned shape \[3, 2\] where \[4, 2\] was declared"),
        ("a row too many", lambda a: np.vstack([a, a[:1]]), r"returned shape \[5, 2\]"),
        ("one row", lambda a: a.mean(axis=0), r"returned shape \[2\]"),
        ("another width", lambda a: a[:, :1], r"returned shape \[4, 1\]"),
        ("transposed", lambda a: a.T, r"returned shape \[2, 4\]"),
        ("frames last", lambda a: np.repeat(a[:, :, None], 3, axis=2), r"returned shape \[4, 2, 3\]"),
        ("no frames", lambda a: a[:, None][:, :0], r"returned shape \[4, 0, 2\]"),
        ("four axes", lambda a: a[:, None, None], r"returned shape \[4, 1, 1, 2\]"),
        ("ints", lambda a: (a * 100).astype(int), "returned int64, not floats"),
        ("frames of ints", lambda a: (a[:, None] * 100).astype(int), "returned int64, not floats"),
        ("an int tensor", lambda a: torch.from_numpy(a).long(), "returned int64, not floats"),
        ("complex", lambda a: a + 0j, "not floats"),
        ("bools", lambda a: a > 0, "returned bool, not floats"),
        ("nothing", lambda a: None, "returned object, not floats"),
        ("a dictionary", lambda a: {"x": a}, "returned object, not floats"),
        ("ragged lists", lambda a: [[1.0], [1.0, 2.0]], "raised ValueError"),
        ("text", lambda a: "embedding", "not floats"),
        ("a graph", lambda a: torch.from_numpy(a).requires_grad_() * 2, r"carries a graph \(requires_grad\)"),
    )

    @pytest.mark.parametrize(("name", "change", "problem"), REFUSED, ids=[name for name, _, _ in REFUSED])
    def test_refused(self, tmp_path, tracks, name, change, problem):
        bench = Bench(tmp_path / "home", Stub(change))
        with pytest.raises(UserError, match=rf"the encoder 'stub' on the track 't4' \({tracks[4].path}\) .*{problem}"):
            bench.extract(tracks[4:5])
        assert bench.missing(tracks[4:5]) == ["t4"]

    def test_layers_that_are_not_there_are_refused(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home", Stub(lambda a: a[:, None], layers=("x", "y", "z")))
        with pytest.raises(UserError, match=r"returned shape \[4, 1, 2\] where \[4, 3, 2\] was declared"):
            bench.extract(tracks[4:5])

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
    def test_an_embedding_that_is_not_finite_names_its_track(self, tmp_path, tracks, bad):
        loud = song(tracks[8].path, 1.4, level=0.9)

        def change(answer):
            answer = answer.astype(np.float64)
            answer[answer[:, 1] > 0.6, 0] = bad
            return answer

        bench = Bench(tmp_path / "home", Stub(change))
        with pytest.raises(UserError, match=rf"not finite for the track 't8' \({loud}\)"):
            bench.extract(tracks)

    @pytest.mark.usefixtures("eager")
    @pytest.mark.parametrize("error", [ValueError("bad input"), RuntimeError("out of memory"), AssertionError("no")])
    def test_an_encoder_that_raises_names_its_tracks_and_keeps_the_groups_before(self, tmp_path, tracks, error):
        def change(answer):
            if len(bench.encoder.batches) == 7:
                raise error
            return answer

        bench = Bench(tmp_path / "home", Stub(change))
        with pytest.raises(
            UserError, match=rf"the encoder 'stub' on the tracks? .*raised {type(error).__name__}"
        ) as caught:
            bench.extract(tracks)
        assert caught.value.__cause__ is error
        missing = bench.missing(tracks)
        assert 0 < len(missing) < 13
        assert any(f" {name!r}" in str(caught.value) for name in missing)
        assert not any(repr(track.track_id) in str(caught.value) for track in tracks if track.track_id not in missing)
        bench.encoder.change = None
        bench.extract(tracks)
        np.testing.assert_allclose(bench.read(tracks), np.stack([pooled(track) for track in tracks]), atol=1e-6)

    def test_no_more_than_five_tracks_are_named(self, tmp_path, tracks):
        same = [Track(f"s{i}", "songs", song(tmp_path / f"s{i}.wav", seed=i)) for i in range(8)]
        bench = Bench(tmp_path / "home", Stub(lambda a: a[:1]), batch_size=8)
        with pytest.raises(
            UserError, match=r"on the tracks 's0', 's1', 's2', 's3', 's4' and 3 more in one .* returned"
        ):
            bench.extract(same)

    def test_an_encoders_own_message_is_passed_on(self, tmp_path, tracks):
        def change(answer):
            raise UserError("no weights", "fetch the weights first")

        with pytest.raises(UserError, match=r"on the track .* says: no weights: fetch the weights first$"):
            Bench(tmp_path / "home", Stub(change)).extract(tracks)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: 1 / 0, "raised ZeroDivisionError"),
        (lambda rows: rows[:-1], "returned shape"),
        (lambda rows: rows[:, :1], "returned shape"),
        (lambda rows: rows.astype(np.float64), "returned float64 where it had returned float32 before"),
        (lambda rows: rows.astype(np.float16), "returned float16 where it had returned float32 before"),
        (lambda rows: torch.from_numpy(rows).requires_grad_(), "carries a graph"),
        (lambda rows: np.where(rows > 0.8, np.nan, rows), "not finite"),
    ],
    ids=["raises", "rows", "dimension", "float64", "half", "graph", "nan"],
)
def test_the_track_that_an_encoder_fails_on_is_named_and_what_was_done_is_kept(
    tmp_path, tracks, change, problem, workers
):
    song(tracks[9].path, 3.2, level=0.9, seed=1)
    bench = Bench(tmp_path / "home", Stub(lambda rows: change(rows) if (rows[:, 1] > 0.8).any() else rows))
    with pytest.raises(UserError, match=problem) as caught:
        bench.extract(tracks, workers=workers)
    assert f"'t9' ({tracks[9].path})" in str(caught.value)
    assert not any(repr(track.track_id) in str(caught.value) for i, track in enumerate(tracks) if i != 9)
    kept = 13 - len(bench.missing(tracks))
    assert kept >= 7
    bench.encoder.change = None
    assert bench.extract(tracks, workers=workers).embedded == 13 - kept
    np.testing.assert_allclose(bench.read(tracks), np.stack([pooled(track) for track in tracks]), atol=1e-6)


def test_many_tracks_are_not_begun_with_an_encoder_that_breaks_a_rule(tmp_path, tracks, monkeypatch):
    monkeypatch.setattr("benchmark.embeddings.precheck.CHECKED_ABOVE", 12)
    bench = Bench(tmp_path / "home", Mixing())
    with pytest.raises(UserError, match=r"none of 13 tracks was embedded: .*\n  batch: relative difference"):
        bench.extract(tracks)
    assert len(bench.missing(tracks)) == 13
    assert bench.extract(tracks[:12]).embedded == 12


def test_what_an_encoder_prints_goes_to_stderr(tmp_path, tracks, capfd):
    def change(rows):
        print("progress 10 %")
        os.write(1, b"from C\n")
        return rows

    Bench(tmp_path / "home", Stub(change)).extract(tracks)
    print("result")
    out, err = capfd.readouterr()
    assert out == "result\n"
    assert "progress 10 %" in err
    assert "from C" in err


class Net(torch.nn.Module, Encoder):
    """An encoder that is a torch module, and would show a gradient or a dropout."""

    name, sample_rate, dim, minimum_seconds = "net", RATE, 2, 0.25
    not_in_fingerprint = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.dropout = torch.nn.Dropout(0.5)
        self.seen: list[tuple] = []

    def embed(self, waveforms):
        self.seen.append((type(waveforms), waveforms.dtype, waveforms.device.type, torch.is_grad_enabled()))
        return self.dropout(torch.stack([waveforms.mean((1, 2)), waveforms.amax((1, 2))], dim=1) * self.weight)


class TestTorch:
    def test_it_gets_tensors_on_its_device_and_no_gradient(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home", Net())
        bench.extract(tracks)
        assert set(bench.encoder.seen) == {(torch.Tensor, torch.float32, "cpu", False)}
        assert torch.is_grad_enabled()

    def test_it_is_evaluated_and_not_trained(self, tmp_path, tracks):
        bench = Bench(tmp_path / "home", Net())
        assert bench.encoder.training
        bench.extract(tracks[1:2])
        np.testing.assert_allclose(bench.read(tracks[1:2]), [pooled(tracks[1])], atol=1e-6)

    def test_parts_of_an_encoder_with_a_to_of_its_own_are_evaluated_too(self, tmp_path, tracks):
        class Own(Stub):
            not_in_fingerprint = (*Stub.not_in_fingerprint, "parts")

            def to(self, device):
                self.parts = [torch.nn.Dropout()]

        bench = Bench(tmp_path / "home", Own())
        bench.extract(tracks[1:2])
        assert not bench.encoder.parts[0].training

    def test_writing_into_its_input_harms_nobody(self, tmp_path, tracks):
        class Rude(Net):
            def embed(self, waveforms):
                answer = super().embed(waveforms)
                waveforms.zero_()
                return answer

        polite, rude = Bench(tmp_path / "one", Net()), Bench(tmp_path / "other", Rude())
        polite.extract(tracks)
        rude.extract(tracks)
        assert polite.read(tracks).tobytes() == rude.read(tracks).tobytes()


def test_the_audio_rule_is_the_encoders(bench):
    assert bench.store.space.audio == AudioRule(RATE, 1)


def test_an_encoder_that_changes_by_running_is_refused_and_nothing_of_it_is_kept(bands, make_task, tmp_path):
    class Lazy(type(bands)):
        name = "lazy"

        def embed(self, waveforms):
            self.weights = np.ones(3)  # loaded at the first call: the fingerprint could not know them
            return super().embed(waveforms)

    with pytest.raises(UserError, match=r"'lazy' is not what it was before it ran.*load weights in __init__"):
        benchmark.run(Lazy(), make_task(), home=tmp_path / "home", results=tmp_path / "results", workers=0)
    assert not list((tmp_path / "home").glob("embeddings/*/*.parquet"))
