"""The index of audio hashes: a fast check that never answers for a file that has changed in size or time."""

import errno
import os
import resource
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.audio import index as audio_index
from benchmark.audio.decode import AudioRule
from benchmark.audio.index import MERGE_ABOVE, AudioIndex, HashedFile, identify, inspect_again
from benchmark.audio.inspection import INSPECTION_VERSION
from benchmark.audio.reader import decode_one
from benchmark.errors import UserError
from benchmark.system.files import content_hash
from benchmark.system.progress import Silent
from tests.benchmark.sound_bytes import mp3


def seen(path: Path, key: str = "a" * 64) -> HashedFile:
    stat = path.stat()
    return HashedFile(str(path), stat.st_size, stat.st_mtime_ns, key)


@pytest.fixture
def song(tmp_path) -> Path:
    path = tmp_path / "Ünï ♪.wav"
    path.write_bytes(b"some audio")
    return path


def files(home: Path) -> list[Path]:
    return sorted((home / "audio-index").iterdir())


def test_a_bomb_among_its_files_is_not_unpacked(tmp_path, song):
    AudioIndex(tmp_path).add([seen(song)])
    (file,) = files(tmp_path)
    columns = {"path": ["x" * 1000], "size": [1], "mtime_ns": [1], "key": ["a" * 64], "note": [""], "looked": [1]}
    rows = pa.array([0] * 3_000_000, pa.int32())
    table = pa.table({name: pa.DictionaryArray.from_arrays(rows, pa.array(of)) for name, of in columns.items()})
    pq.write_table(table, file.with_name("bomb.parquet"), write_page_checksum=True)
    assert file.with_name("bomb.parquet").stat().st_size < 500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert AudioIndex(tmp_path).key(song) == "a" * 64
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB; its paths alone would take 3 GB


class TestKey:
    def test_a_file_is_unknown_until_it_is_added(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        assert index.key(song) is None
        index.add([seen(song)])
        assert index.key(song) == "a" * 64

    def test_it_is_kept(self, tmp_path, song):
        AudioIndex(tmp_path).add([seen(song)])
        assert AudioIndex(tmp_path).key(song) == "a" * 64

    def test_a_touched_file_is_unknown(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        index.add([seen(song)])
        os.utime(song, ns=(1, song.stat().st_mtime_ns + 1))
        assert index.key(song) is None

    def test_a_longer_file_is_unknown(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        index.add([seen(song)])
        stat = song.stat()
        song.write_bytes(b"some other audio")
        os.utime(song, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert index.key(song) is None

    def test_a_missing_file_is_unknown(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        index.add([seen(song)])
        song.unlink()
        assert index.key(song) is None

    def test_a_change_that_keeps_size_and_time_goes_unseen(self, tmp_path, song):
        """The price of the fast check: only who sets the time back on purpose pays it."""
        index = AudioIndex(tmp_path)
        index.add([seen(song)])
        stat = song.stat()
        song.write_bytes(b"same audio")
        os.utime(song, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert index.key(song) == "a" * 64

    def test_the_latest_entry_counts(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        index.add([seen(song)])
        os.utime(song, ns=(1, 1))
        index.add([seen(song, "b" * 64)])
        assert index.key(song) == AudioIndex(tmp_path).key(song) == "b" * 64


class TestFiles:
    def test_nothing_new_writes_nothing(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        index.add([])
        assert not (tmp_path / "audio-index").exists()
        index.add([seen(song)])
        index.add([seen(song)])
        assert len(files(tmp_path)) == 1

    def test_it_is_plain_parquet(self, tmp_path, song):
        AudioIndex(tmp_path).add([seen(song)])
        (file,) = files(tmp_path)
        (row,) = pq.read_table(file).to_pylist()
        stat = song.stat()
        assert row == {
            "path": str(song),
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "key": "a" * 64,
            "note": "",
            "looked": 0,
        }

    def test_many_files_are_merged_and_nothing_is_lost(self, tmp_path):
        songs = []
        for i in range(3 * MERGE_ABOVE):
            songs.append(tmp_path / f"{i}.wav")
            songs[-1].write_bytes(bytes(i + 1))
            AudioIndex(tmp_path).add([seen(songs[-1], f"{i:064x}")])
        assert len(files(tmp_path)) <= MERGE_ABOVE
        index = AudioIndex(tmp_path)
        assert [index.key(song) for song in songs] == [f"{i:064x}" for i in range(len(songs))]

    def test_one_index_merges_its_own_files(self, tmp_path):
        index = AudioIndex(tmp_path)
        songs = []
        for i in range(2 * MERGE_ABOVE):
            songs.append(tmp_path / f"{i}.wav")
            songs[-1].write_bytes(bytes(i + 1))
            index.add([seen(songs[-1], f"{i:064x}")])
        assert len(files(tmp_path)) <= MERGE_ABOVE
        assert [AudioIndex(tmp_path).key(song) for song in songs] == [f"{i:064x}" for i in range(len(songs))]

    def test_merging_spares_what_another_process_has_added_since(self, tmp_path):
        songs = [tmp_path / f"{i}.wav" for i in range(MERGE_ABOVE + 2)]
        for i, song in enumerate(songs):
            song.write_bytes(bytes(i + 1))
        for song in songs[:MERGE_ABOVE]:
            AudioIndex(tmp_path).add([seen(song)])
        mine = AudioIndex(tmp_path)
        audio_index_of_another = AudioIndex(tmp_path)
        audio_index_of_another._files.clear()  # it does not merge
        audio_index_of_another.add([seen(songs[-1], "b" * 64)])
        mine.add([seen(songs[-2], "c" * 64)])
        index = AudioIndex(tmp_path)
        assert index.key(songs[-1]) == "b" * 64
        assert index.key(songs[-2]) == "c" * 64
        assert index.key(songs[0]) == "a" * 64

    @pytest.mark.parametrize("torn", [b"", b"PAR1", b"not parquet" * 100])
    def test_a_torn_file_is_passed_over_and_merged_away(self, tmp_path, song, torn):
        AudioIndex(tmp_path).add([seen(song)])
        (tmp_path / "audio-index" / "0-torn.parquet").write_bytes(torn)
        for i in range(MERGE_ABOVE):
            assert AudioIndex(tmp_path).key(song) == "a" * 64
            other = tmp_path / f"{i}.wav"
            other.write_bytes(b"x")
            AudioIndex(tmp_path).add([seen(other)])
        assert AudioIndex(tmp_path).key(song) == "a" * 64
        assert not (tmp_path / "audio-index" / "0-torn.parquet").exists()

    def test_a_cut_file_costs_only_its_own_entries(self, tmp_path, song):
        index = AudioIndex(tmp_path)
        index.add([seen(song)])
        other = tmp_path / "other.wav"
        other.write_bytes(b"x")
        index.add([seen(other)])
        last = files(tmp_path)[-1]
        last.write_bytes(last.read_bytes()[:-100])
        again = AudioIndex(tmp_path)
        assert (again.key(song), again.key(other)) == ("a" * 64, None)

    def test_a_full_disk_is_a_message(self, tmp_path, song, monkeypatch):
        def full(path, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        index = AudioIndex(tmp_path)
        monkeypatch.setattr(audio_index, "replace_file", full)
        with pytest.raises(UserError, match=r"cannot write to .*audio-index: No space left on device"):
            index.add([seen(song)])
        assert not (tmp_path / "audio-index").exists()


class TestLooks:
    """What was hashed before it was looked at is looked at, once, and found under another key where that matters."""

    def old(self, home: Path, path: Path) -> str:
        key = content_hash(path)
        AudioIndex(home).add([seen(path, key)])
        return key

    def put(self, folder: Path, name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    def test_an_index_without_the_columns_is_read(self, tmp_path, song):
        self.old(tmp_path, song)
        (file,) = files(tmp_path)
        table = pq.read_table(file)
        pq.write_table(table.drop_columns(["note", "looked"]), file)
        assert AudioIndex(tmp_path).entry(song) == seen(song, content_hash(song))

    def test_sound_files_keep_their_key(self, tmp_path):
        path = self.put(tmp_path, "a.mp3", mp3())
        key = self.old(tmp_path, path)
        inspect_again(AudioIndex(tmp_path), [path], Silent())
        assert AudioIndex(tmp_path).entry(path) == replace(seen(path, key), looked=INSPECTION_VERSION)

    def test_what_is_refused_now_loses_its_embedding(self, tmp_path):
        path = self.put(tmp_path, "a.mp3", mp3() + mp3())
        key = self.old(tmp_path, path)
        inspect_again(AudioIndex(tmp_path), [path], Silent())
        assert AudioIndex(tmp_path).key(path) == f"{key}-refused"

    def test_what_is_heard_otherwise_has_a_key_of_its_own(self, tmp_path):
        path = self.put(tmp_path, "a.mp3", b"\xff\xfb\x90\xc4" + b"\x55" * 60 + mp3(tag=False))
        key = self.old(tmp_path, path)
        inspect_again(AudioIndex(tmp_path), [path], Silent())
        assert AudioIndex(tmp_path).key(path) == f"{key}-mpeg2"
        assert identify(path).key == f"{key}-mpeg2"
        assert decode_one(path, AudioRule(16000)).hashed == identify(path)

    def test_a_note_is_kept(self, tmp_path):
        path = self.put(tmp_path, "a.mp3", mp3(tag=False)[:-50])
        self.old(tmp_path, path)
        inspect_again(AudioIndex(tmp_path), [path], Silent())
        assert AudioIndex(tmp_path).entry(path).note.startswith("it ends inside an MPEG frame")
        assert decode_one(path, AudioRule(16000)).hashed == AudioIndex(tmp_path).entry(path)

    def test_no_file_is_inspected_twice(self, tmp_path, monkeypatch):
        path = self.put(tmp_path, "a.mp3", mp3())
        self.old(tmp_path, path)
        inspect_again(AudioIndex(tmp_path), [path, path], Silent())
        monkeypatch.setattr(audio_index, "inspect_file", None)
        inspect_again(AudioIndex(tmp_path), [path], Silent())

    def test_a_file_that_has_gone_is_left_to_the_extraction(self, tmp_path):
        path = self.put(tmp_path, "a.mp3", mp3())
        self.old(tmp_path, path)
        path.unlink()
        inspect_again(AudioIndex(tmp_path), [path], Silent())
        assert AudioIndex(tmp_path).entry(path) is None


def test_a_flipped_bit_is_never_read(tmp_path):
    """Wherever it is: the file is then hashed again, and no key of one bit's difference is believed."""
    song = tmp_path / "song.wav"
    song.write_bytes(b"x" * 100)
    stat = song.stat()
    index = AudioIndex(tmp_path)
    index.add([HashedFile(str(song), stat.st_size, stat.st_mtime_ns, "a" * 64)])
    (file,) = (tmp_path / "audio-index").glob("*.parquet")
    sound, found = file.read_bytes(), set()
    for byte in range(len(sound)):
        flipped = bytearray(sound)
        flipped[byte] ^= 1 << byte % 8
        file.write_bytes(flipped)
        found.add(AudioIndex(tmp_path).key(song))
    assert found == {None, "a" * 64}
