"""Preparation: the same bytes however interrupted, damage by rule and by name, and no two sources in one store."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from filelock import FileLock

from benchmark.audio.decode import load
from benchmark.encoders.published.mule.frontend import log_mel, standardised
from benchmark.errors import UserError
from benchmark.pretraining.data import features, finishing, shards
from benchmark.pretraining.data import prepare as preparation
from benchmark.pretraining.data.features import RULE, frontend_name
from benchmark.pretraining.data.hashes import NAME as SEEN
from benchmark.pretraining.data.prepare import prepare
from benchmark.pretraining.data.store import open_store
from benchmark.system.progress import Silent

KILLED = """
import os, signal, sys
from pathlib import Path
from benchmark.pretraining.data import prepare, shards
shards.SHARD_BYTES = 900 * shards.FRAME_BYTES
last, write = int(sys.argv[3]), shards.write_index
def killing(folder, shard):
    if shard.name == shards.shard_name(last):
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, shard)
shards.write_index = killing
prepare.prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=0)
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    """Let a shard hold two of the recordings."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 900 * shards.FRAME_BYTES)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (SEEN, ".lock")}


def left_out(folder: Path) -> dict[str, str]:
    lines = (folder / "left_out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "track,reason"
    return dict(line.split(",", 1) for line in lines[1:])


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[float] = []
        self.totals: list[float] = []

    @contextmanager
    def stage(self, title, total, unit):
        self.totals.append(total)
        yield lambda done, note="", total=None: self.steps.append(done)

    def say(self, text: str) -> None:
        self.lines.append(text)


class TestContents:
    def test_a_store_holds_the_published_log_mels_of_whole_tracks(self, audio, tmp_path):
        told = Told()
        done = prepare(audio, tmp_path / "store", workers=0, report=told)
        store = open_store(tmp_path / "store")
        assert (done.tracks, done.made, done.left_out, store.tracks) == (6, 6, 0, 6)
        assert done.fingerprint == store.fingerprint
        assert store.frontend == frontend_name()
        assert told.steps == [1, 2, 3, 4, 5, 6]
        assert "6 tracks" in told.lines[-1]
        for row, track_id in enumerate(store.track_ids(range(6))):
            waveform = torch.from_numpy(load(audio / track_id, RULE).samples)
            expected = log_mel(waveform)[0]
            assert store.frames(np.array([row])) == expected.shape[1] == 1 + waveform.shape[1] // 160
            found = store.crops(np.array([row]), np.array([0]), expected.shape[1])[0]
            np.testing.assert_array_equal(found, expected.numpy().astype(np.float16))

    def test_halves_move_a_standardised_slice_by_less_than_a_thousandth(self, reference_data):
        path = reference_data / "golden" / "mule" / "c_11.3s_44k_stereo.wav"
        exact = log_mel(torch.from_numpy(load(path, RULE).samples))[:, :, :300]
        moved = standardised(exact.half().float()) - standardised(exact)
        assert 0 < moved.square().mean().sqrt() < 1e-3

    def test_workers_give_the_same_bytes(self, audio, tmp_path):
        prepare(audio, tmp_path / "one", workers=0)
        prepare(audio, tmp_path / "two", workers=2)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    def test_a_shard_s_index_is_plain_parquet(self, audio, tmp_path):
        prepare(audio, tmp_path / "store", workers=0)
        table = pq.read_table(tmp_path / "store" / "shard-00001.parquet").to_pydict()
        assert table["track_id"] == ["album0/4.wav", "album1/1.wav"]
        assert table["frames"] == [461, 341]
        assert table["offset"] == [0, 461]
        assert [len(sha256) for sha256 in table["sha256"]] == [64, 64]

    def test_labels_come_along(self, audio, tmp_path):
        manifest = audio / "all.csv"
        manifest.write_text("track_id,path,labels\nx,album0/0.wav,b|a\ny,album1/1.wav,-\nz,album0/2.wav,b\n")
        done = prepare(manifest, tmp_path / "store", workers=0)
        store = open_store(tmp_path / "store")
        assert (store.labels, done.labels) == (("a", "b"), 2)
        assert store.label_rows(np.arange(3)).tolist() == [[1, 1], [0, 0], [0, 1]]

    def test_torch_keeps_its_threads(self, audio, tmp_path):
        before = torch.get_num_threads()
        prepare(audio, tmp_path / "store", workers=0)
        assert torch.get_num_threads() == before


class TestLeftOut:
    def test_damaged_and_short_files_are_named_and_the_rest_is_there(self, audio, tmp_path, song):
        (audio / "a_page.mp3").write_text("<html>not found</html>")
        (audio / "empty.wav").touch()
        song(audio / "short.wav", 2.99)
        song(audio / "just.wav", 3.0)
        cut = audio / "album0" / "2.wav"
        cut.write_bytes(cut.read_bytes()[:90_000])
        done = prepare(audio, tmp_path / "store", workers=0)
        assert left_out(tmp_path / "store") == {
            "a_page.mp3": "it is a web page saved as audio: fetch it again",
            "album0/2.wav": left_out(tmp_path / "store")["album0/2.wav"],
            "empty.wav": "the file is empty (0 bytes)",
            "short.wav": "shorter than 3 s (2.99 s)",
        }
        assert "its data chunk holds" in left_out(tmp_path / "store")["album0/2.wav"]
        assert (done.tracks, done.left_out) == (6, 4)
        assert "just.wav" in open_store(tmp_path / "store").track_ids(range(6))
        assert prepare(audio, tmp_path / "store", workers=0).made == 0

    def test_where_all_are_left_out_there_is_no_store(self, tmp_path, song):
        song(tmp_path / "audio" / "short.wav", 1.0)
        with pytest.raises(UserError, match=r"none of the 1 tracks .* can be used.*shorter than 3 s"):
            prepare(tmp_path / "audio", tmp_path / "store", workers=0)
        assert left_out(tmp_path / "store") == {"short.wav": "shorter than 3 s (1.00 s)"}
        with pytest.raises(UserError, match="there is no store"):
            open_store(tmp_path / "store")
        song(tmp_path / "audio" / "long.wav", 3.0)
        assert prepare(tmp_path / "audio", tmp_path / "store", workers=0).tracks == 1

    @pytest.mark.parametrize("loss", ["gone", "unreadable", "changed"])
    def test_a_file_that_vanishes_or_changes_stops_the_run(self, audio, tmp_path, song, monkeypatch, loss):
        whole, victim = tmp_path / "whole", audio / "album1" / "3.wav"
        prepare(audio, whole, workers=0)
        kept = victim.read_bytes(), victim.stat().st_mtime_ns
        all_of = features.decode_all

        def losing(paths, rule, workers):
            for path in paths:
                if path == victim and loss == "changed":
                    yield features.Decoded(path, None, None, "it changed while it was read", 4.2)
                    continue
                if path == victim and loss == "gone":
                    victim.unlink()
                elif path == victim:
                    victim.unlink()
                    victim.mkdir()
                yield from all_of([path], rule, workers)

        with monkeypatch.context() as patch:
            patch.setattr(features, "decode_all", losing)
            with pytest.raises(UserError, match=r"the file of the track 'album1/3.wav' c.*finished shards are kept"):
                prepare(audio, tmp_path / "store", workers=0)
        if victim.is_dir():
            victim.rmdir()
        victim.write_bytes(kept[0])
        os.utime(victim, ns=(kept[1], kept[1]))
        assert 0 < prepare(audio, tmp_path / "store", workers=0).made < 6
        assert contents(tmp_path / "store") == contents(whole)


class TestInterruptions:
    @pytest.mark.parametrize("stop", [1, 3, 6])
    def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(self, audio, tmp_path, monkeypatch, stop, song):
        song(audio / "album0" / "1_short.wav", 1.0)
        song(audio / "album1" / "zz_short.wav", 1.0)
        prepare(audio, tmp_path / "whole", workers=0)
        assert prepare(audio, tmp_path / "whole", workers=0).made == 0
        calls = 0
        of_track = features.log_mel_float16

        def interrupted(samples):
            nonlocal calls
            calls += 1
            if calls == stop:
                raise KeyboardInterrupt
            return of_track(samples)

        with monkeypatch.context() as patch:
            patch.setattr(features, "log_mel_float16", interrupted)
            with pytest.raises(KeyboardInterrupt):
                prepare(audio, tmp_path / "store", workers=0)
        assert not list((tmp_path / "store").glob(".*.tmp"))
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*.f16")}
        prepare(audio, tmp_path / "store", workers=0)
        assert contents(tmp_path / "store") == contents(tmp_path / "whole")
        for name, mtime_ns in before.items():
            assert (tmp_path / "store" / name).stat().st_mtime_ns == mtime_ns

    def test_a_killed_run_goes_on_behind_its_last_finished_shard(self, audio, tmp_path):
        prepare(audio, tmp_path / "whole", workers=0)
        command = [sys.executable, "-c", KILLED, str(audio), str(tmp_path / "store"), "1"]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        with pytest.raises(UserError, match="is not finished"):
            open_store(tmp_path / "store")
        (tmp_path / "store" / ".shard-00007.f16.abcd.tmp").write_bytes(b"left")
        told = Told()
        assert prepare(audio, tmp_path / "store", workers=0, report=told).made == 4
        assert told.steps == [3, 4, 5, 6]
        assert told.totals == [6]
        assert contents(tmp_path / "store") == contents(tmp_path / "whole")

    @pytest.mark.parametrize("name", ["index.npy", "left_out.csv", "store.json"])
    def test_a_run_that_ends_while_it_finishes(self, audio, tmp_path, monkeypatch, name):
        prepare(audio, tmp_path / "whole", workers=0)
        replace = finishing.replace_file

        def full(path, data):
            if path.name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(finishing, "replace_file", full)
            with pytest.raises(UserError, match="No space left on device"):
                prepare(audio, tmp_path / "store", workers=0)
        assert prepare(audio, tmp_path / "store", workers=0).made == 0
        assert contents(tmp_path / "store") == contents(tmp_path / "whole")

    def test_a_full_disk_says_so_and_the_run_goes_on_later(self, audio, tmp_path, monkeypatch):
        prepare(audio, tmp_path / "whole", workers=0)
        add = shards.ShardWriter.add

        def full(self, row, found, waveform=None):
            if row.track_id == "album1/1.wav":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            add(self, row, found, waveform)

        with monkeypatch.context() as patch:
            patch.setattr(shards.ShardWriter, "add", full)
            with pytest.raises(UserError, match=r"No space left on device. Finished shards are kept: make room"):
                prepare(audio, tmp_path / "store", workers=0)
        assert not list((tmp_path / "store").glob(".*.tmp"))
        prepare(audio, tmp_path / "store", workers=0)
        assert contents(tmp_path / "store") == contents(tmp_path / "whole")

    def test_a_second_run_decodes_nothing(self, audio, tmp_path, monkeypatch):
        first = prepare(audio, tmp_path / "store", workers=0)
        before = contents(tmp_path / "store")
        monkeypatch.setattr(features, "decode_all", None)
        told = Told()
        again = prepare(audio, tmp_path / "store", workers=0, report=told)
        assert (again.made, again.fingerprint) == (0, first.fingerprint)
        assert contents(tmp_path / "store") == before
        assert "all of it was there" in told.lines[-1]


class TestAnotherSource:
    @pytest.fixture
    def made(self, audio, tmp_path):
        prepare(audio, tmp_path / "store", workers=0)
        return tmp_path / "store"

    def change(self, audio: Path, what: str, song) -> None:
        victim = audio / "album0" / "4.wav"
        if what == "content":
            stat = victim.stat()
            data = bytearray(victim.read_bytes())
            data[-2000:-1000] = bytes(1000)
            victim.write_bytes(data)
            os.utime(victim, ns=(stat.st_mtime_ns, stat.st_mtime_ns + 1))
        elif what == "length":
            song(victim, 3.2)
        elif what == "damaged":
            victim.write_bytes(b"")
        elif what == "removed":
            victim.unlink()
        elif what == "last removed":
            (audio / "album1" / "5.wav").unlink()
        elif what == "added":
            song(audio / "album0" / "3.wav", 3.0, seed=9)
        elif what == "added last":
            song(audio / "z.wav", 3.0, seed=9)
        elif what == "renamed":
            victim.rename(audio / "album0" / "4b.wav")

    @pytest.mark.parametrize(
        "what", ["content", "length", "damaged", "removed", "last removed", "added", "added last", "renamed"]
    )
    def test_what_changed_is_refused_or_made_again_never_mixed(self, made, audio, tmp_path, what, song):
        before = contents(made)
        first = (made / "shard-00000.f16").stat().st_mtime_ns
        self.change(audio, what, song)
        with pytest.raises(UserError, match=r"was not made from what .* is now: .*--redo"):
            prepare(audio, made, workers=0)
        assert contents(made) == before
        prepare(audio, made, workers=0, redo=True)
        prepare(audio, tmp_path / "fresh", workers=0)
        assert contents(made) == contents(tmp_path / "fresh")
        assert ((made / "shard-00000.f16").stat().st_mtime_ns == first) == ("last" in what)
        assert prepare(audio, made, workers=0).made == 0

    def test_tracks_taken_away_from_an_interrupted_run(self, audio, tmp_path):
        command = [sys.executable, "-c", KILLED, str(audio), str(tmp_path / "store"), "3"]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        (audio / "album1" / "5.wav").unlink()
        prepare(audio, tmp_path / "store", workers=0)
        prepare(audio, tmp_path / "fresh", workers=0)
        assert contents(tmp_path / "store") == contents(tmp_path / "fresh")

    def test_a_file_that_was_only_touched_is_the_same(self, made, audio):
        before = open_store(made).fingerprint
        os.utime(audio / "album0" / "4.wav")
        again = prepare(audio, made, workers=0)
        assert (again.made, again.fingerprint) == (0, before)

    def test_other_labels_are_refused_or_redone_without_decoding(self, audio, tmp_path, monkeypatch):
        labels, out = tmp_path / "labels.csv", tmp_path / "store"
        ids = [f"album{i % 2}/{i}.wav" for i in range(6)]
        labels.write_text("track_id,labels\n" + "".join(f"{one},{'a' if i else 'b'}\n" for i, one in enumerate(ids)))
        first = prepare(audio, out, labels=labels, workers=0)
        assert first.labels == 2
        labels.write_text("track_id,labels\n" + "".join(f"{one},c\n" for one in ids))
        with monkeypatch.context() as patch:
            patch.setattr(features, "decode_all", None)
            for other in (labels, None):
                with pytest.raises(UserError, match=r"the labels are others.*--redo"):
                    prepare(audio, out, labels=other, workers=0)
            again = prepare(audio, out, labels=labels, workers=0, redo=True)
        assert again.fingerprint != first.fingerprint
        prepare(audio, tmp_path / "fresh", labels=labels, workers=0)
        assert contents(out) == contents(tmp_path / "fresh")

    def test_a_shard_that_is_not_what_was_written_is_refused_or_made_again(self, made, audio):
        before = contents(made)
        shard = made / "shard-00001.f16"
        for damage in (lambda: shard.write_bytes(bytes(shard.stat().st_size)), shard.unlink):
            damage()
            with pytest.raises(UserError, match=r"shard-00001.f16 is missing or is not what was written"):
                prepare(audio, made, workers=0)
            prepare(audio, made, workers=0, redo=True)
            assert contents(made) == before
        (made / "shard-00001.parquet").write_bytes(b"PAR1 torn PAR1")
        with pytest.raises(UserError, match=r"shard-00001.parquet cannot be read"):
            prepare(audio, made, workers=0)
        prepare(audio, made, workers=0, redo=True)
        assert contents(made) == before

    def test_an_index_that_is_not_what_was_written_is_refused_or_made_again(self, made, audio):
        before = contents(made)
        (made / "index.npy").write_bytes(b"torn")
        with pytest.raises(UserError, match=r"index.npy is not what was written"):
            prepare(audio, made, workers=0)
        assert prepare(audio, made, workers=0, redo=True).made == 0
        assert contents(made) == before

    def test_one_flipped_bit_of_a_shard_s_index_is_never_read(self, made):
        """Parquet's checksums cover its pages, and not what stands behind them."""
        path, refused = made / "shard-00000.parquet", 0
        sound, expected = path.read_bytes(), shards.read_index(made, 0)
        for byte in range(len(sound) - 2500, len(sound), 3):
            flipped = bytearray(sound)
            flipped[byte] ^= 1 << byte % 8
            path.write_bytes(flipped)
            try:
                assert shards.read_index(made, 0) == expected
            except shards.TornIndexError:
                refused += 1
        assert refused > 100

    @pytest.mark.parametrize("column", ["track_id", "sha256", "offset"])
    def test_a_shard_s_index_with_a_column_of_another_type_is_refused(self, made, column):
        """As one flipped bit of the schema makes it: texts are read as bytes then."""
        path = made / "shard-00000.parquet"
        table = pq.read_table(path)
        place = table.schema.get_field_index(column)
        other = pa.binary() if table.schema.field(column).type == pa.string() else pa.float64()
        cast = table.set_column(place, column, table.column(column).cast(other))
        pq.write_table(cast.replace_schema_metadata(table.schema.metadata), path)
        with pytest.raises(shards.TornIndexError, match=f"columns of another type: {column}"):
            shards.read_index(made, 0)

    def test_another_front_end_is_refused(self, made, audio, monkeypatch):
        monkeypatch.setattr(preparation, "frontend_name", lambda _: "another")
        with pytest.raises(UserError, match=r"its front end is 'mule log-mel 1; .* and this one is 'another'"):
            prepare(audio, made, workers=0)


class TestPlaces:
    def test_a_folder_of_other_files_is_refused(self, audio, tmp_path):
        with pytest.raises(UserError, match=r"holds files that are of no store .album0, album1."):
            prepare(audio, audio, workers=0)
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="is a file"):
            prepare(audio, tmp_path / "file", workers=0)

    def test_two_at_once_are_refused(self, audio, tmp_path):
        (tmp_path / "store").mkdir()
        with FileLock(tmp_path / "store" / ".lock"), pytest.raises(UserError, match="another process prepares"):
            prepare(audio, tmp_path / "store", workers=0)

    def test_stereo_and_other_rates_follow_the_decoding_rule(self, tmp_path):
        (tmp_path / "audio").mkdir()
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, (3 * 44_100, 2)).astype(np.float32)
        soundfile.write(tmp_path / "audio" / "cd.flac", samples, 44_100)
        prepare(tmp_path / "audio", tmp_path / "store", workers=0)
        assert open_store(tmp_path / "store").frames(np.array([0])).tolist() == [301]
