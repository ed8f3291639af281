"""The embedding store: what was written comes back, to the bit; what is torn is found, named and set aside."""

import errno
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.audio.decode import AudioRule
from benchmark.audio.windows import WindowRule
from benchmark.embeddings import store as stores
from benchmark.embeddings.space import Space
from benchmark.embeddings.store import EmbeddingRow, EmbeddingStore, leftovers, shards
from benchmark.errors import UserError

WIDTH = 8
SPACE = Space(
    encoder="example",
    version="1",
    fingerprint="f" * 64,
    pipeline="1",
    audio=AudioRule(16000),
    windows=WindowRule(48000, 32000, 48000, "repeat"),
    pooling="mean",
    dim=WIDTH,
    layers=None,
)


def row(i: int, width: int = WIDTH, seed: int = 0) -> EmbeddingRow:
    embedding = np.random.default_rng([i, seed]).normal(size=width).astype(np.float32)
    return EmbeddingRow(f"{i:064x}", f"track {i} ♪", "somewhere", i + 0.5, i + 1, i % 2 == 0, embedding)


def rows(*numbers: int, **options) -> list[EmbeddingRow]:
    return [row(i, **options) for i in numbers]


def matrix(found: list[EmbeddingRow]) -> np.ndarray:
    return np.stack([one.embedding for one in found])


def keys(found: list[EmbeddingRow]) -> list[str]:
    return [one.key for one in found]


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, SPACE)


def again(store: EmbeddingStore) -> EmbeddingStore:
    return EmbeddingStore(store.folder.parent.parent, store.space)


class TestReading:
    def test_an_empty_store(self, store):
        assert store.places() == {}
        assert store.read([]).shape == (0, WIDTH)
        assert not store.folder.exists()

    def test_what_was_written_comes_back_to_the_bit(self, store):
        written = rows(1, 2, 3)
        written[1].embedding[:] = [-0.0, 1e-45, 3.4e38, -3.4e38, 1.1754944e-38, 1, np.pi, -1]
        store.append(written)
        for where in (store, again(store)):
            assert where.read(keys(written)).tobytes() == matrix(written).tobytes()

    def test_in_any_order_and_more_than_once(self, store):
        written = rows(*range(10))
        for start in (0, 3, 7):
            store.append(written[start : {0: 3, 3: 7, 7: 10}[start]])
        order = [9, 0, 0, 4, 8, 3, 9]
        found = store.read([written[i].key for i in order])
        np.testing.assert_array_equal(found, matrix([written[i] for i in order]))
        assert found.dtype == np.float32

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_it_agrees_with_a_dictionary(self, tmp_path_factory, data):
        store, oracle = EmbeddingStore(tmp_path_factory.mktemp("home"), SPACE), {}
        for shard in data.draw(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), max_size=4)):
            added = rows(*dict.fromkeys(shard), seed=len(oracle))
            store.append(added)
            for one in added:
                oracle.setdefault(one.key, one.embedding)
        wanted = data.draw(st.permutations(sorted(oracle)))
        assert set(store.places()) == set(oracle)
        for where in (store, again(store)):
            found = where.read(wanted)
            assert found.tobytes() == b"".join(oracle[key].tobytes() for key in wanted)

    def test_the_first_shard_counts_where_two_hold_one_key(self, store):
        first, second = row(1), row(1, seed=1)
        store.append([first])
        store.append([second])
        assert not np.array_equal(first.embedding, second.embedding)
        for where in (store, again(store)):
            np.testing.assert_array_equal(where.read([first.key]), [first.embedding])

    def test_a_key_that_is_not_there(self, store):
        store.append(rows(1))
        with pytest.raises(KeyError):
            store.read([row(2).key])

    def test_what_another_process_adds_is_seen(self, store):
        store.append(rows(1))
        assert len(store.places()) == 1
        again(store).append(rows(2))
        np.testing.assert_array_equal(store.read(keys(rows(2, 1))), matrix(rows(2, 1)))

    def test_places_tell_of_the_audio(self, store):
        path = store.append(rows(3, 4))
        place = store.places()[row(4).key]
        assert (place.shard, place.row, place.seconds, place.clipped) == (path.name, 1, 4.5, True)

    def test_a_memory_map_is_let_go_of_after_every_shard(self, tmp_path, monkeypatch):
        filled = EmbeddingStore(tmp_path, SPACE)
        keys = [f"{i:064x}" for i in range(3)]
        for key in keys:
            filled.append([EmbeddingRow(key, key, "songs", 1.0, 1, False, np.ones(SPACE.width, np.float32))])
        out = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (3, SPACE.width))
        released = []
        monkeypatch.setattr(stores, "release", released.append)
        assert filled.read(keys, out=out) is out
        assert [each is out for each in released] == [True] * 3

    def test_layers_are_read_side_by_side(self, tmp_path):
        layered = EmbeddingStore(tmp_path, replace(SPACE, layers=("a", "b", "c")))
        written = rows(1, 2, width=3 * WIDTH)
        layered.append(written)
        np.testing.assert_array_equal(again(layered).read(keys(written)), matrix(written))

    def test_a_large_shard(self, store):
        written = rows(*range(3000))
        store.append(written)
        np.testing.assert_array_equal(store.read(keys(written)[::-1]), matrix(written)[::-1])


class TestWriting:
    def test_the_columns_are_plain(self, store):
        path = store.append(rows(1, 2))
        table = pq.read_table(path)
        assert table.schema.field("embedding").type == pa.list_(pa.float32(), WIDTH)
        assert table.column_names == list(stores.COLUMNS)
        first = table.to_pylist()[0]
        np.testing.assert_array_equal(np.float32(first.pop("embedding")), row(1).embedding)
        assert first == {
            "key": row(1).key,
            "track_id": "track 1 ♪",
            "collection": "somewhere",
            "seconds": 1.5,
            "windows": 2,
            "clipped": False,
        }
        assert pq.read_table(path).to_pandas().shape == (2, 7)

    def test_the_space_is_described_beside_the_shards(self, store):
        store.append(rows(1))
        assert json.loads((store.folder / "space.json").read_text()) == json.loads(json.dumps(SPACE.describe()))

    def test_other_spaces_have_other_folders(self, tmp_path, store):
        other = EmbeddingStore(tmp_path, replace(SPACE, fingerprint="e" * 64))
        store.append(rows(1))
        assert other.places() == {}
        assert other.folder != store.folder

    def test_shards_are_only_ever_added(self, store):
        first = store.append(rows(1))
        before = (first.read_bytes(), first.stat().st_mtime_ns)
        second = store.append(rows(2))
        assert shards(store.folder) == [first, second]
        assert (first.read_bytes(), first.stat().st_mtime_ns) == before
        assert not list(leftovers(store.folder))

    def test_the_same_rows_are_the_same_bytes(self, store, tmp_path):
        other = EmbeddingStore(tmp_path / "other", SPACE)
        assert store.append(rows(1, 2)).read_bytes() == other.append(rows(1, 2)).read_bytes()

    @pytest.mark.parametrize("width", [WIDTH - 1, WIDTH + 1])
    def test_rows_of_another_width_are_refused(self, store, width):
        with pytest.raises(ValueError, match=f"rows of width {width}"):
            store.append(rows(1, width=width))
        assert not shards(store.folder)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_rows_that_are_not_finite_are_refused(self, store, bad):
        broken = row(1)
        broken.embedding[3] = bad
        with pytest.raises(ValueError, match="finite=False"):
            store.append([row(2), broken])
        assert not shards(store.folder)

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), PermissionError(13, "denied")])
    def test_a_full_disk_is_a_message_and_earlier_rows_are_kept(self, store, monkeypatch, error):
        store.append(rows(1))

        def full(path, data):
            raise error

        monkeypatch.setattr(stores, "replace_file", full)
        with pytest.raises(UserError, match=rf"cannot write embeddings to .*{error.strerror}.*bench cache prune"):
            store.append(rows(2))
        monkeypatch.undo()
        assert set(again(store).places()) == {row(1).key}
        store.append(rows(2))
        assert set(store.places()) == set(keys(rows(1, 2)))

    def test_a_write_that_is_cut_off_leaves_no_shard(self, store, monkeypatch):
        store.append(rows(1))

        def cut(descriptor):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("os.fsync", cut)
        with pytest.raises(UserError, match="Input/output error"):
            store.append(rows(2))
        monkeypatch.undo()
        assert len(shards(store.folder)) == 1
        assert not list(leftovers(store.folder))


def warned(caplog) -> str:
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    return record.getMessage()


class TestTorn:
    @pytest.fixture
    def two(self, store) -> list[Path]:
        return [store.append(rows(1, 2)), store.append(rows(3, 4))]

    @pytest.mark.parametrize("keep", [0, 3, 100, 0.5, -1])
    def test_a_cut_shard_is_set_aside_and_its_rows_are_missing(self, store, two, caplog, keep):
        data = two[0].read_bytes()
        two[0].write_bytes(data[: int(keep * len(data)) if keep == 0.5 else keep])
        found = again(store)
        assert set(found.places()) == set(keys(rows(3, 4)))
        assert str(two[0]) in warned(caplog)
        assert "set aside" in warned(caplog)
        assert [path.name for path in leftovers(store.folder)] == [two[0].name + ".torn"]
        found.append(rows(1, 2))
        np.testing.assert_array_equal(again(store).read(keys(rows(1, 2, 3, 4))), matrix(rows(1, 2, 3, 4)))

    def test_a_flipped_bit_in_an_embedding_fails_its_checksum(self, store, two):
        data = bytearray(two[0].read_bytes())
        at = data.index(row(1).embedding.tobytes())
        data[at + 5] ^= 1
        two[0].write_bytes(data)
        found = again(store)
        with pytest.raises(
            UserError, match=rf"{two[0]} is torn \(.*CRC.*\) and was set aside: run the same command again"
        ):
            found.read(keys(rows(1)))
        for where in (found, again(store)):
            assert set(where.places()) == set(keys(rows(3, 4)))
        found.append(rows(1, 2))
        np.testing.assert_array_equal(found.read(keys(rows(1, 4))), matrix(rows(1, 4)))

    def test_a_flipped_bit_anywhere_never_gives_other_numbers(self, store, two):
        data, wanted = two[0].read_bytes(), rows(1, 2)
        for at in range(0, len(data), 11):
            damaged = bytearray(data)
            damaged[at] ^= 1 << at % 8
            two[0].write_bytes(damaged)
            found = again(store)
            try:
                numbers = found.read(keys(wanted))
            except (KeyError, UserError):
                assert not two[0].exists()
                (store.folder / (two[0].name + ".torn")).unlink()
            else:
                assert numbers.tobytes() == matrix(wanted).tobytes()

    def test_a_shard_of_another_width_is_set_aside(self, tmp_path, store, two, caplog):
        wide = EmbeddingStore(tmp_path / "wide", replace(SPACE, dim=WIDTH + 1)).append(rows(5, width=WIDTH + 1))
        wide.rename(store.folder / "0-copied.parquet")
        assert set(again(store).places()) == set(keys(rows(1, 2, 3, 4)))
        assert "not 8 floats" in warned(caplog)

    def test_parquet_of_another_kind_is_set_aside(self, store, two, caplog):
        pq.write_table(pa.table({"a": [1]}), store.folder / "0-foreign.parquet")
        assert set(again(store).places()) == set(keys(rows(1, 2, 3, 4)))
        assert "0-foreign.parquet is torn" in warned(caplog)

    def test_a_shard_that_may_not_be_read_is_not_torn(self, store, two, monkeypatch):
        def denied(*_, **__):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(stores.pq, "read_schema", denied)
        with pytest.raises(UserError, match=rf"cannot read {two[0]}: Permission denied"):
            again(store).places()
        assert two[0].exists()

    def test_a_shard_that_goes_away_is_passed_over(self, store, two, monkeypatch):
        before = again(store)
        before.places()
        two[0].unlink()
        assert set(again(store).places()) == set(keys(rows(3, 4)))
        with pytest.raises(UserError, match=rf"{two[0]} is gone: run the same command again"):
            before.read(keys(rows(1)))

    def test_temporary_files_of_killed_writers_are_no_shards(self, store, two):
        temporary = store.folder / f".{two[0].name}.0a1b2c3d.tmp"
        temporary.write_bytes(two[0].read_bytes()[:50])
        (store.folder / f".{two[0].name}").write_bytes(b"hidden")
        assert set(again(store).places()) == set(keys(rows(1, 2, 3, 4)))
        assert list(leftovers(store.folder)) == [temporary]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from benchmark.audio.decode import AudioRule
from benchmark.embeddings.space import Space
from benchmark.embeddings.store import EmbeddingRow, EmbeddingStore
from benchmark.audio.windows import WindowRule

home, offset = Path(sys.argv[1]), int(sys.argv[2])
rule = WindowRule(48000, 32000, 48000, "repeat")
space = Space("example", "1", "f" * 64, "1", AudioRule(16000), rule, "mean", 8, None)
store = EmbeddingStore(home, space)
print("ready", flush=True)
sys.stdin.readline()
for start in range(offset, offset + 40, 2):
    numbers = (start, start + 1)
    rows = [EmbeddingRow(f"{i:064x}", str(i), "c", 1.0, 1, False, np.full(8, i + offset / 1000, "f4")) for i in numbers]
    store.append(rows)
    assert {row.key for row in rows} <= set(store.places())
"""


class TestTwoProcesses:
    def test_both_add_and_nothing_is_lost(self, store):
        home = store.folder.parent.parent
        offsets = (0, 20)  # 20 to 39 are written by both
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(home), str(offset)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for offset in offsets
        ]
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:
            writer.stdin.write(b"\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate()
            assert writer.returncode == 0
        assert len(shards(store.folder)) == 40
        assert not list(leftovers(store.folder))
        found = store.read([f"{i:064x}" for i in range(60)])
        assert (found == found[:, :1]).all()
        assert np.floor(found[:, 0]).tolist() == list(range(60))
        np.testing.assert_array_equal(found, again(store).read([f"{i:064x}" for i in range(60)]))
