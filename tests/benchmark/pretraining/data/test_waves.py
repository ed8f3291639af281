"""Waveforms and captions of a store: with it or later, resumed, redone, damaged; without them it stays as it was."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.audio.decode import load
from benchmark.errors import UserError
from benchmark.pretraining.data import features, shards
from benchmark.pretraining.data.features import RULE
from benchmark.pretraining.data.hashes import NAME as SEEN
from benchmark.pretraining.data.prepare import prepare
from benchmark.pretraining.data.shards import DESCRIPTION, WIDER_FORMAT
from benchmark.pretraining.data.store import open_store

KILLED = """
import os, signal, sys
from pathlib import Path
from benchmark.pretraining.data import prepare, shards, waves
shards.SHARD_BYTES = 900 * shards.FRAME_BYTES
last, write = int(sys.argv[3]), shards.write_index
def killing(folder, shard):
    if shard.wave and shard.name == shards.shard_name(last):
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, shard)
shards.write_index = waves.write_index = killing
prepare.prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=0, waveforms=True)
"""

PINNED = [
    (True, None, "8042b2b98262a7b3be7d94cfe174ce64f283d0a062d60c5eda41f3ab6a9fd4c9"),
    (False, None, "43bb049dbacf0b16a066d1d1b7ae073035babf157b6f50920ae7e80cfc78053b"),
    (True, 4.0, "99053403486950f1621e30a744bc61325343d40ccd3df71439236a430f63ea62"),
]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    """Let a shard hold two of the recordings."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 900 * shards.FRAME_BYTES)


@pytest.fixture
def captions(tmp_path) -> Path:
    path = tmp_path / "captions.csv"
    path.write_text("track_id,caption\nalbum0/0.wav,slow\nalbum0/0.wav,calm\nalbum1/5.wav,fl\u00fbte\n", "utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (SEEN, ".lock")}


def log_mels_written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-?????.f16")}


class TestContents:
    def test_a_waveform_is_what_the_front_end_heard_frame_by_frame(self, audio, tmp_path):
        done = prepare(audio, tmp_path / "store", workers=0, waveforms=True)
        store = open_store(tmp_path / "store")
        assert (done.waveforms, store.has_waveforms, store.has_captions) == (True, True, False)
        for row, track_id in enumerate(store.track_ids(range(6))):
            samples = load(audio / track_id, RULE).samples[0]
            frames = int(store.frames(np.array([row]))[0])
            found = store.waveforms(np.array([row]), np.array([0]), frames)[0]
            assert (found.dtype, found.shape) == (np.float32, (160 * frames,))
            np.testing.assert_array_equal(found[: len(samples)], samples.astype(np.float16))
            assert 1 <= len(found) - len(samples) <= 160
            assert not found[len(samples) :].any()

    def test_both_are_made_by_one_command_or_later_to_the_same_bytes(self, audio, tmp_path, captions):
        one, later = tmp_path / "one", tmp_path / "later"
        first = prepare(audio, one, workers=0, waveforms=True, captions=captions, cut=3.0)
        prepare(audio, later, workers=0)
        before = log_mels_written(later)
        added = prepare(audio, later, workers=0, waveforms=True)
        assert (added.made, added.waveforms_made) == (0, 6)
        assert "waveforms of 6 made now" in added.summary()
        prepare(audio, later, workers=0, waveforms=True, captions=captions)
        last = prepare(audio, later, workers=0, waveforms=True, captions=captions, cut=3.0)
        assert (last.waveforms_made, last.captioned, last.fingerprint) == (0, 2, first.fingerprint)
        assert contents(later) == contents(one)
        assert log_mels_written(later) == before
        assert (
            prepare(audio, later, workers=0, waveforms=True, captions=captions, cut=3.0).summary().count("there") == 1
        )

    @pytest.mark.parametrize(("labelled", "cut", "fingerprint"), PINNED)
    def test_a_store_without_them_is_what_it_was_before_there_were_any(self, make_store, labelled, cut, fingerprint):
        """Its fingerprint, which is of all that it says, is that of the version before."""
        labels = {f"t{i}": ["odd"] if i % 2 else [] for i in range(8)}
        lengths = [300, 301, 450, 1000, 1001, 2500, 4000, 800]
        store = make_store(lengths, labels if labelled else None, cut_seconds=cut)
        assert store.fingerprint == fingerprint
        content = (Path(store.path) / DESCRIPTION).read_bytes()
        assert b"waveforms" not in content
        assert b"captions" not in content

    def test_the_format_and_the_fingerprint_say_what_a_store_has(self, make_store):
        lengths = [300, 400]
        stores = [
            make_store(lengths, name="none"),
            make_store(lengths, name="waves", waveforms=True),
            make_store(lengths, name="texts", captions={"t0": ["calm"]}),
            make_store(lengths, name="others", captions={"t1": ["calm"]}),
            make_store(lengths, name="both", captions={"t0": ["calm"]}, waveforms=True),
        ]
        assert len({store.fingerprint for store in stores}) == 5
        formats = [f'"format": {WIDER_FORMAT}' in (Path(store.path) / DESCRIPTION).read_text() for store in stores]
        assert formats == [False, True, True, True, True]


class TestInterruptions:
    @pytest.mark.parametrize("begun", ["from nothing", "from log-mels"])
    def test_a_killed_run_goes_on_behind_the_last_shard_that_has_waveforms(self, audio, tmp_path, begun):
        whole, store = tmp_path / "whole", tmp_path / "store"
        prepare(audio, whole, workers=0, waveforms=True)
        if begun == "from log-mels":
            prepare(audio, store, workers=0)
        command = [sys.executable, "-c", KILLED, str(audio), str(store), "1"]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        before = (store / "shard-00000.wave.f16").stat().st_mtime_ns
        if begun == "from log-mels":
            assert not open_store(store).has_waveforms  # until it is finished, the store is what it was
        again = prepare(audio, store, workers=0, waveforms=True)
        assert (again.made, again.waveforms_made) == ((4, 0) if begun == "from nothing" else (0, 4))
        assert contents(store) == contents(whole)
        assert (store / "shard-00000.wave.f16").stat().st_mtime_ns == before

    def test_a_full_disk_says_so_and_keeps_what_was_there(self, audio, tmp_path, monkeypatch):
        prepare(audio, tmp_path / "whole", workers=0, waveforms=True)
        store = tmp_path / "store"
        prepare(audio, store, workers=0)
        before, write, calls = open_store(store).fingerprint, shards.GrowingFile.write, []

        def full(self, rows):
            calls.append(rows)
            if len(calls) == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(self, rows)

        with monkeypatch.context() as patch:
            patch.setattr(shards.GrowingFile, "write", full)
            with pytest.raises(UserError, match=r"No space left on device. Finished shards are kept: make room"):
                prepare(audio, store, workers=0, waveforms=True)
        assert not list(store.glob(".*.tmp"))
        assert open_store(store).fingerprint == before
        assert prepare(audio, store, workers=0, waveforms=True).waveforms_made == 4
        assert contents(store) == contents(tmp_path / "whole")


class TestWhatWouldBeLost:
    def test_waveforms_and_captions_go_only_where_that_is_asked_for(self, audio, tmp_path, captions):
        store = tmp_path / "store"
        prepare(audio, store, workers=0, waveforms=True, captions=captions)
        before = contents(store)
        with pytest.raises(UserError, match=r"has waveforms, and --waveforms is not given.*--redo to remove them"):
            prepare(audio, store, workers=0, captions=captions)
        with pytest.raises(UserError, match=r"has captions, and --captions is not given.*--redo"):
            prepare(audio, store, workers=0, waveforms=True)
        captions.write_text("track_id,caption\nalbum0/0.wav,fast\n")
        with pytest.raises(UserError, match=r"has captions, and those of --captions are others.*--redo"):
            prepare(audio, store, workers=0, waveforms=True, captions=captions)
        assert contents(store) == before
        prepare(audio, store, workers=0, redo=True)
        prepare(audio, tmp_path / "plain", workers=0)
        assert contents(store) == contents(tmp_path / "plain")

    def test_other_captions_are_written_without_decoding(self, audio, tmp_path, captions, monkeypatch):
        store = tmp_path / "store"
        prepare(audio, store, workers=0, captions=captions)
        captions.write_text("track_id,caption\nalbum0/0.wav,fast\n")
        monkeypatch.setattr(features, "decode_all", None)
        again = prepare(audio, store, workers=0, captions=captions, redo=True)
        assert (again.made, again.captioned) == (0, 1)
        assert open_store(store).captions(np.arange(6)) == ("fast", None, None, None, None, None)

    def test_a_torn_waveform_is_refused_and_made_again_alone(self, audio, tmp_path):
        store = tmp_path / "store"
        prepare(audio, store, workers=0, waveforms=True)
        before, written = contents(store), log_mels_written(store)
        wave = store / "shard-00001.wave.f16"
        for damage in (lambda: wave.write_bytes(wave.read_bytes()[:-320]), wave.unlink):
            damage()
            with pytest.raises(
                UserError, match=r"shard-00001.wave.f16 is missing or is not what was written. Give --redo"
            ):
                prepare(audio, store, workers=0, waveforms=True)
            again = prepare(audio, store, workers=0, waveforms=True, redo=True)
            assert (again.made, again.waveforms_made) == (0, 2)
            assert contents(store) == before
            assert log_mels_written(store) == written

    def test_a_file_that_is_heard_otherwise_now_is_refused(self, audio, tmp_path, monkeypatch):
        store = tmp_path / "store"
        prepare(audio, store, workers=0)
        heard = features.waveform_float16
        monkeypatch.setattr(features, "SAMPLES", 80)
        monkeypatch.setattr(features, "waveform_float16", lambda samples: heard(samples))
        with pytest.raises(UserError, match=r"is not what its log-mel was made of .* frames are heard of it"):
            prepare(audio, store, workers=0, waveforms=True)

    def test_tracks_left_out_have_no_waveform(self, audio, tmp_path, song):
        song(audio / "album0" / "1_short.wav", 1.0)
        (audio / "album1" / "page.mp3").write_text("<html>")
        one, later = tmp_path / "one", tmp_path / "later"
        prepare(audio, one, workers=0, waveforms=True)
        prepare(audio, later, workers=0)
        assert prepare(audio, later, workers=0, waveforms=True).waveforms_made == 6
        assert contents(one) == contents(later)
