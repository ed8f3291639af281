"""Every form of a file of embeddings, whole and broken."""

import io
import json
import os
import tracemalloc
import unicodedata
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.encoders.precomputed.files import read_rows
from benchmark.errors import UserError

IDS = ["b/2", "a.1", "ü 3"]
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def write_npz(path, **arrays):
    np.savez(path, **{"ids": np.array(IDS), "embeddings": MATRIX, **arrays})
    return path


def write_npy(path):
    np.save(path, MATRIX)
    path.with_name(path.stem + ".ids.txt").write_text("\n".join(IDS) + "\n", "utf-8")
    return path


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def write_folder(path, matrix=MATRIX, ids=IDS):
    for one, row in zip(ids, matrix, strict=True):
        file = path / f"{one}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, row)
    return path


def lists(matrix=MATRIX):
    return pa.array(list(matrix), pa.list_(pa.float32()))


FORMS = {
    "npz": lambda folder: write_npz(folder / "x.npz"),
    "npy": lambda folder: write_npy(folder / "x.npy"),
    "parquet": lambda folder: write_parquet(folder / "x.parquet", track_id=IDS, embedding=lists(), year=[1, 2, 3]),
    "parquet of columns": lambda folder: write_parquet(
        folder / "x.parquet", d0=MATRIX[:, 0], id=IDS, **{f"d{i}": MATRIX[:, i] for i in (1, 2, 3)}
    ),
    "folder": lambda folder: write_folder(folder / "x"),
}


@pytest.mark.parametrize("form", FORMS)
class TestForms:
    def test_gives_ids_and_rows(self, tmp_path, form):
        found = read_rows(FORMS[form](tmp_path))
        assert sorted(found.ids) == sorted(IDS)
        assert found.dim == 4
        rows = [found.ids.index(one) for one in IDS]
        assert np.array_equal(found.take(np.array(rows)), MATRIX)
        assert found.take(np.array(rows[:0], np.int64)).shape == (0, 4)

    def test_content_is_in_the_digest(self, tmp_path, form):
        before, again = (read_rows(FORMS[form](tmp_path)).digests for _ in range(2))
        path = next(path for path in sorted(tmp_path.rglob("*.np*")) or sorted(tmp_path.rglob("*.parquet")))
        content = path.read_bytes()
        assert before == again
        path.write_bytes(content.replace(MATRIX[1].tobytes()[4:], MATRIX[1].tobytes()[4:][::-1]) + b"\0")
        try:
            assert read_rows(path if form != "folder" else tmp_path / "x").digests != before
        except UserError:  # the form notices by itself
            assert form in ("npz", "parquet", "parquet of columns")


def refused(path, match):
    with pytest.raises(UserError, match=match):
        read_rows(path)


class TestNpz:
    def test_numbers_and_bytes_are_ids_as_they_are_written(self, tmp_path):
        assert read_rows(write_npz(tmp_path / "x.npz", ids=np.array([2, 10, 3]))).ids == ("2", "10", "3")
        assert read_rows(write_npz(tmp_path / "x.npz", ids=np.array([b"a", b"b", b"c"]))).ids == ("a", "b", "c")

    @pytest.mark.parametrize("ids", [[1.0, 2.0, 3.0], [True, False, True], ["a", "", "b"], [b"\xff", b"a", b"b"]])
    def test_other_ids_are_refused(self, tmp_path, ids):
        refused(write_npz(tmp_path / "x.npz", ids=np.array(ids)), r"'ids': id \d is .*(write ids as texts|not UTF-8)")

    def test_no_object_is_unpickled(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (pytest.fail, ("code was run",))

        for name in ("ids", "embeddings"):
            path = write_npz(tmp_path / "x.npz", **{name: np.array([Bomb()] * 3, dtype=object)})
            refused(path, r"holds Python objects, which could run code: write ids as np.array\(ids, dtype=str\)")

    def test_shapes_that_cannot_be_are_refused(self, tmp_path):
        path = tmp_path / "x.npz"
        refused(
            write_npz(path, embeddings=np.zeros((3, 5, 4))), r"\[3, 5, 4\].*average over it: embeddings.mean\(axis=1\)"
        )
        refused(write_npz(path, embeddings=np.zeros(3)), r"the shape \[3\]: write \[n, D\], one row a track")
        refused(write_npz(path, embeddings=np.zeros((3, 0))), r"the shape \[3, 0\]")
        refused(write_npz(path, embeddings=np.zeros((2, 4))), "has 2 rows, but there are 3 ids")
        refused(write_npz(path, ids=np.array([IDS])), r"'ids' has the shape \[1, 3\]")
        refused(write_npz(path, ids=np.zeros(0, str), embeddings=np.zeros((0, 4))), "has no rows")

    @pytest.mark.parametrize("kind", [complex, bool, "U3", "datetime64[s]"])
    def test_what_is_no_number_is_refused(self, tmp_path, kind):
        refused(write_npz(tmp_path / "x.npz", embeddings=np.zeros((3, 4)).astype(kind)), "write real numbers")

    def test_missing_arrays_are_named(self, tmp_path):
        np.savez(tmp_path / "x.npz", X=MATRIX, ids=np.array(IDS))
        refused(tmp_path / "x.npz", r"no array 'embeddings', only X, ids: write it as np.savez\(path, ids=ids")

    def test_a_broken_file_is_refused(self, tmp_path):
        path = write_npz(tmp_path / "x.npz")
        path.write_bytes(path.read_bytes()[:-40])
        refused(path, "cannot read .*x.npz")
        path.write_bytes(b"")
        refused(path, "cannot read .*x.npz")
        with path.open("wb") as file:
            np.save(file, MATRIX)
        refused(path, "is one array, not a .npz")


class TestNpy:
    def test_is_not_read_into_memory(self, tmp_path, monkeypatch):
        seen = []
        load = np.load
        monkeypatch.setattr(np, "load", lambda *args, **chosen: seen.append(chosen) or load(*args, **chosen))
        read_rows(write_npy(tmp_path / "x.npy"))
        assert seen == [{"mmap_mode": "r", "allow_pickle": False}]

    def test_ids_may_be_json_or_shared(self, tmp_path):
        np.save(tmp_path / "x.npy", MATRIX)
        (tmp_path / "ids.txt").write_text("1\n2\n3")
        assert read_rows(tmp_path / "x.npy").ids == ("1", "2", "3")
        (tmp_path / "x.ids.json").write_text(json.dumps(["a", 2, "c"]))
        assert read_rows(tmp_path / "x.npy").ids == ("a", "2", "c")
        (tmp_path / "x.ids.txt").write_text("a\nb\nc\n")
        refused(tmp_path / "x.npy", "both are ids of .*x.npy: remove one")

    @pytest.mark.parametrize(
        ("name", "text", "match"),
        [
            ("x.ids.txt", "a\n\nb\n", "id 2 is ''"),
            ("x.ids.txt", "a\nb\n", "has 3 rows, but there are 2 ids"),
            ("x.ids.json", '{"a": 1}', "is not a JSON list of ids"),
            ("x.ids.json", "[1, 2", "is not a list of ids"),
            ("x.ids.json", "[1, 2, null]", "id 3 is None"),
            ("x.ids.json", "[1, 2, 3.5]", "id 3 is 3.5"),
        ],
    )
    def test_ids_that_are_none_are_refused(self, tmp_path, name, text, match):
        np.save(tmp_path / "x.npy", MATRIX)
        (tmp_path / name).write_text(text)
        refused(tmp_path / "x.npy", match)

    def test_without_ids_the_message_says_where_they_go(self, tmp_path):
        np.save(tmp_path / "x.npy", MATRIX)
        refused(tmp_path / "x.npy", r"put them into x\.ids\.txt beside it, one a line")

    def test_objects_and_archives_are_refused(self, tmp_path):
        np.save(tmp_path / "x.npy", np.array([{}] * 3, dtype=object), allow_pickle=True)
        (tmp_path / "x.ids.txt").write_text("a\nb\nc\n")
        refused(tmp_path / "x.npy", "cannot read .*x.npy")
        write_npz(tmp_path / "y.npz").rename(tmp_path / "x.npy")
        refused(tmp_path / "x.npy", "is an archive of arrays, not one array: call it .npz")


class TestParquet:
    @pytest.mark.parametrize(
        "ids", [pa.array(IDS).dictionary_encode(), pa.array(IDS, pa.large_string()), pa.array([3, 1, 2], pa.int64())]
    )
    def test_ids_of_any_text_or_whole_number(self, tmp_path, ids):
        found = read_rows(write_parquet(tmp_path / "x.parquet", id=ids, embedding=lists()))
        assert found.ids == tuple(map(str, ids.to_pylist()))

    @pytest.mark.parametrize("kind", [pa.list_(pa.float64(), 4), pa.large_list(pa.float16()), pa.list_(pa.int32())])
    def test_lists_of_any_number(self, tmp_path, kind):
        values = pa.array(MATRIX.astype(np.float16 if "half" in str(kind) else np.float64).tolist())
        path = write_parquet(tmp_path / "x.parquet", id=IDS, embedding=values.cast(kind))
        assert np.array_equal(read_rows(path).take(np.arange(3)), MATRIX)

    def test_row_groups_are_one_file(self, tmp_path):
        table = pa.table({"id": [str(i) for i in range(50)], "embedding": lists(np.arange(200).reshape(50, 4))})
        pq.write_table(table, tmp_path / "x.parquet", row_group_size=7)
        assert np.array_equal(
            read_rows(tmp_path / "x.parquet").take(np.array([49, 0])), [[196, 197, 198, 199], [0, 1, 2, 3]]
        )

    def test_an_empty_cell_is_not_a_number(self, tmp_path):
        holes = pa.array([[1, 2], [None, 4], [5, 6]], pa.list_(pa.float32()))
        found = read_rows(write_parquet(tmp_path / "x.parquet", id=IDS, embedding=holes)).take(np.arange(3))
        assert np.isnan(found).tolist() == [[False, False], [True, False], [False, False]]
        path = write_parquet(tmp_path / "x.parquet", id=IDS, d=pa.array([1, None, 3], pa.int64()), e=[1.0, 2.0, 3.0])
        assert np.isnan(read_rows(path).take(np.arange(3))[:, 0]).tolist() == [False, True, False]

    @pytest.mark.parametrize(
        ("columns", "match"),
        [
            ({"embedding": lists()}, "has the columns embedding: write exactly one of 'track_id' and 'id'"),
            ({"id": IDS, "track_id": IDS, "embedding": lists()}, "write exactly one of"),
            ({"id": [1.0, 2.0, 3.0], "embedding": lists()}, "'id' is of the type double"),
            ({"id": ["a", None, "c"], "embedding": lists()}, "id 2 is None"),
            ({"id": IDS, "embedding": [[1.0], [1.0, 2.0], [3.0]]}, "'a.1' has 2 numbers, but 'b/2' has 1"),
            ({"id": IDS, "embedding": [[1.0], None, [3.0]]}, "'a.1' has no embedding"),
            ({"id": IDS, "embedding": [None, [1.0], [3.0]]}, "'b/2' has no embedding"),
            ({"id": IDS, "embedding": [["x"], ["y"], ["z"]]}, "not a list of numbers"),
            ({"id": IDS, "embedding": [[[1.0]], [[1.0]], [[1.0]]]}, "average over time first"),
            ({"id": IDS, "embedding": [1.0, 2.0, 3.0]}, "'embedding' is of the type double, not a list"),
            ({"id": IDS, "d0": [1.0, 2.0, 3.0], "split": ["a", "b", "c"]}, "but it has split: write one list column"),
            ({"id": IDS, "d0": [1.0, 2.0, 3.0], "__index_level_0__": [0, 1, 2]}, "but it has __index_level_0__"),
            ({"id": IDS}, "but it has none"),
        ],
    )
    def test_what_cannot_be_is_refused(self, tmp_path, columns, match):
        refused(write_parquet(tmp_path / "x.parquet", **columns), match)

    def test_a_broken_file_is_refused(self, tmp_path):
        path = FORMS["parquet"](tmp_path)
        path.write_bytes(path.read_bytes()[:-9])
        refused(path, "cannot read .*x.parquet")


class TestFolder:
    def test_hidden_files_and_others_are_no_tracks(self, tmp_path):
        path = write_folder(tmp_path / "x")
        (path / "._a.1.npy").write_bytes(b"\0")
        (path / "readme.txt").touch()
        assert sorted(read_rows(path).ids) == sorted(IDS)

    def test_rows_of_one_row_are_rows(self, tmp_path):
        path = write_folder(tmp_path / "x", MATRIX[:, None])
        assert np.array_equal(read_rows(path).take(np.array([1])), MATRIX[:1])

    def test_frames_are_refused_with_advice(self, tmp_path):
        path = write_folder(tmp_path / "x", np.zeros((3, 7, 4)))
        refused(path, r"has the shape \[7, 4\], not \[D\]: average over time, array.mean\(axis=0\)")

    def test_another_width_is_named_when_it_is_read(self, tmp_path):
        path = write_folder(tmp_path / "x")
        np.save(path / "b/2.npy", np.zeros(5))
        with pytest.raises(UserError, match=r"b/2.npy has 5 of float64, but .*a.1.npy has 4 numbers"):
            read_rows(path).take(np.array([0, 1]))

    def test_without_files_it_is_refused(self, tmp_path):
        refused(tmp_path, "has no .npy files: give a .npz")

    @pytest.mark.parametrize("data", [np.lib.format.magic(1, 0) + b"\x10\x00 no header at al", b"", b"\x93NUMPY"])
    def test_a_file_that_is_no_array_is_refused(self, tmp_path, data):
        path = write_folder(tmp_path / "x")
        (path / "b/2.npy").write_bytes(data)
        with pytest.raises(UserError, match=r"cannot read .*b/2.npy"):
            read_rows(path).take(np.array([0, 1]))

    @pytest.mark.parametrize(
        "error", [MemoryError("too much"), RuntimeError("odd"), NotImplementedError(), OverflowError()]
    )
    def test_whatever_numpy_raises_names_the_file(self, tmp_path, monkeypatch, error):
        path = write_folder(tmp_path / "x")
        monkeypatch.setattr(np, "load", lambda *_, **__: (_ for _ in ()).throw(error))
        refused(path, "cannot read .*npy")


def header(shape):
    """Return an array's beginning that promises more than any machine has."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


class TestHostileArchives:
    def make(self, path, data, method=zipfile.ZIP_DEFLATED):
        ids = io.BytesIO()
        np.save(ids, np.array(IDS))
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("ids.npy", ids.getvalue())
            archive.writestr("embeddings.npy", data)
        return path

    def test_an_impossible_size(self, tmp_path):
        refused(self.make(tmp_path / "x.npz", header((2**40, 2**18))), "cannot read .*x.npz")

    def test_damaged_compression(self, tmp_path):
        path = self.make(tmp_path / "x.npz", bytes(1000) + np.random.default_rng(0).bytes(9000))
        data = bytearray(path.read_bytes())
        begin = data.index(b"embeddings.npy") + len(b"embeddings.npy")
        data[begin : begin + 20] = b"\xff" * 20
        path.write_bytes(data)
        refused(path, "cannot read .*x.npz")

    @pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)])  # encrypted; compressed by an unknown method
    def test_flags_and_methods_that_are_not_known(self, tmp_path, offset, value):
        path = self.make(tmp_path / "x.npz", header((3, 4)) + bytes(48))
        data = bytearray(path.read_bytes())
        data[data.rindex(b"PK\x01\x02") + offset] = value
        path.write_bytes(data)
        refused(path, "cannot read .*x.npz")

    def test_a_member_that_is_no_array(self, tmp_path):
        refused(self.make(tmp_path / "x.npz", b"plain text"), "(cannot read .*x.npz|'embeddings' is no array)")


class TestPaths:
    def test_what_is_not_there_or_not_known_is_refused_with_the_forms(self, tmp_path):
        refused(tmp_path / "nowhere.npz", "no embeddings at .*nowhere.npz: give a .npz")
        (tmp_path / "x.csv").touch()
        refused(tmp_path / "x.csv", "not a file of embeddings that is known: give a .npz")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_ids_and_files_are_found_in_any_unicode_form(tmp_path, form):
    name, other = (unicodedata.normalize(each, "Señorita") for each in ("NFC", form))
    np.savez(tmp_path / f"{other}.npz", ids=np.array([other, "b"]), embeddings=np.eye(2, dtype=np.float32))
    assert read_rows(tmp_path / f"{name}.npz").ids == (name, "b")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / f"{other}.npy", np.ones(3, np.float32))
    rows = read_rows(tmp_path / "folder")
    assert rows.ids == (name,)
    assert rows.take(np.array([0])).shape == (1, 3)


def peak_of(call):
    """Run ``call`` and return the peak of Python's and NumPy's memory meanwhile."""
    tracemalloc.start()
    try:
        call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


class TestBombs:
    def test_an_npz_of_zeros_is_not_inflated(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            buffer = io.BytesIO()
            np.save(buffer, np.array(["a"]))
            archive.writestr("ids.npy", buffer.getvalue())
            with archive.open("embeddings.npy", "w", force_zip64=True) as file:
                for _ in range(400):
                    file.write(bytes(1_000_000))
        assert (tmp_path / "x.npz").stat().st_size < 1_000_000
        assert peak_of(lambda: refused(tmp_path / "x.npz", "400,000,[0-9]{3} in memory are a bomb")) < 10**8

    @pytest.mark.parametrize("name", ["ids", "embeddings"])
    def test_a_header_that_claims_more_than_there_is(self, tmp_path, name):
        path = write_npz(tmp_path / "x.npz")
        with zipfile.ZipFile(path) as archive:
            members = {each: archive.read(each) for each in archive.namelist()}
        old = members[f"{name}.npy"]
        head = old.replace(b"(3,", b"(9" + b"9" * 12 + b",", 1)
        members[f"{name}.npy"] = head[:10] + head[10:].replace(b" " * 12, b"", 1)
        assert len(members[f"{name}.npy"]) == len(old)
        with zipfile.ZipFile(path, "w") as archive:
            for each, content in members.items():
                archive.writestr(each, content)
        assert peak_of(lambda: refused(path, rf"'{name}' is not a NumPy array .*9999999999999")) < 10**8

    def test_parquet_that_repeats_one_long_text(self, tmp_path):
        ids = pa.array(["x" * 1_000_000] * 2000).dictionary_encode()
        pq.write_table(pa.table({"id": ids.cast(pa.string()), "a": np.zeros(2000)}), tmp_path / "x.parquet")
        assert (tmp_path / "x.parquet").stat().st_size < 5_000_000
        refused(tmp_path / "x.parquet", "in memory are a bomb")

    def test_parquet_of_a_hundred_million_zeros(self, tmp_path):
        path = tmp_path / "x.parquet"
        batch = pa.record_batch({"id": np.zeros(1_000_000, np.int64), "a": np.zeros(1_000_000)})
        with pq.ParquetWriter(path, batch.schema) as writer:
            for _ in range(50):
                writer.write_batch(batch)
        assert path.stat().st_size < 1_000_000
        refused(path, "800,000,000 in memory are a bomb")

    def test_parquet_with_any_bit_flipped_ends_no_process(self, tmp_path):
        path = write_parquet(tmp_path / "x.parquet", id=IDS, embedding=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        whole, refusals = path.read_bytes(), 0
        for bit in range(8 * (len(whole) - 1500), 8 * len(whole), 7):  # some end pyarrow's process in its own reader
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            try:
                read_rows(path)
            except UserError:
                refusals += 1
        assert refusals > 100

    def test_parquet_text_that_is_not_utf_8(self, tmp_path):
        raw = pa.array([b"\xff", b"b", b"c"]).cast(pa.binary())
        ids = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
        pq.write_table(pa.table({"id": ids, "a": np.zeros(3)}), tmp_path / "x.parquet")
        refused(tmp_path / "x.parquet", "holds text that is not UTF-8")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
    @pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.parquet", "x.ids.txt"])
    def test_a_pipe_is_refused_at_once(self, tmp_path, name):
        if name == "x.ids.txt":
            np.save(tmp_path / "x.npy", MATRIX)
            (tmp_path / "ids.txt").symlink_to("/dev/zero")
            refused(tmp_path / "x.npy", "no ids|not a list of ids|ids")
            return
        os.mkfifo(tmp_path / name)
        refused(tmp_path / name, "it is a pipe, not a file")

    def test_ids_nested_too_deep(self, tmp_path):
        np.save(tmp_path / "x.npy", MATRIX)
        (tmp_path / "x.ids.json").write_text("[" * 100_000)
        refused(tmp_path / "x.npy", "nested too deep")
