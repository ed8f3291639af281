import csv
import os

import pyarrow.parquet as pq
import pytest

from benchmark.errors import UserError
from benchmark.jobs.label_files import open_labels, refuse_output
from benchmark.jobs.label_rows import Columns, LabelledFile
from benchmark.jobs.predict import stamp_of

COLUMNS = Columns(("calm", "wild"), decided=True, made_by="abc")


@pytest.fixture
def files(tmp_path):
    """Five files, two of one name."""
    found = [tmp_path / "songs" / name for name in ("a.wav", "b.wav", "c.wav", "x/same.wav", "y/same.wav")]
    for path in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))
    return found


def made(path, problem=""):
    size, mtime_ns = stamp_of(path)
    values = None if problem else (0.75, 0.25)
    return LabelledFile(
        str(path), 1.0, problem, () if problem else ("calm",), None if problem else 0.5, values, size, mtime_ns
    )


def fill(out, files, stop=None, columns=COLUMNS):
    """Write the rows that are missing, or ``stop`` of them and be killed; return the names of those computed."""
    computed = []

    def rows(missing):
        for path in missing:
            if len(computed) == stop:
                raise KeyboardInterrupt
            computed.append(path.parent.name + "/" + path.name)
            yield made(path)

    try:
        with open_labels(out, columns, files) as opened:
            list(opened.filled(rows(opened.missing)))
    except KeyboardInterrupt:
        assert stop is not None
    return computed


def paths_of(out):
    if out.suffix == ".parquet":
        return pq.read_table(out)["path"].to_pylist()
    with out.open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


@pytest.fixture(params=["labels.csv", "labels.parquet"])
def out(request, tmp_path):
    return tmp_path / "deep" / request.param


def test_a_row_for_each_file_in_order_and_nothing_else(out, files):
    assert len(fill(out, files)) == 5
    assert paths_of(out) == [str(path) for path in files]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_second_call_computes_nothing_and_changes_nothing(out, files):
    fill(out, files)
    before = out.read_bytes()
    assert fill(out, files) == []
    assert out.read_bytes() == before


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_an_interrupted_call_is_continued_to_the_bytes_of_an_unbroken_one(out, files, stop):
    assert len(fill(out, files, stop)) == stop
    assert len(fill(out, files)) == 5 - stop
    whole = out.with_name(f"whole{out.suffix}")
    fill(whole, files)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("left", [1, 30, -1])
def test_what_a_killed_writer_left_of_a_row_is_written_anew(tmp_path, files, left):
    out = tmp_path / "labels.csv"
    fill(out, files)
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:3]) + lines[3][:left])
    assert fill(out, files) == ["songs/c.wav", "x/same.wav", "y/same.wav"]
    assert out.read_bytes() == whole
    out.write_bytes(lines[0][:10])  # killed within the head
    fill(out, files)
    assert out.read_bytes() == whole
    out.write_bytes(whole + b"\0" * 20)  # a power cut
    assert fill(out, files) == []
    assert out.read_bytes() == whole


def test_a_changed_file_is_computed_again_and_the_other_rows_are_kept(out, files):
    fill(out, files)
    files[1].write_text("changed")
    assert fill(out, files) == ["songs/b.wav"]
    assert paths_of(out) == [str(path) for path in files]
    os.utime(files[0], ns=(1, 1))
    assert fill(out, files) == ["songs/a.wav"]


def test_a_file_that_changed_alone_is_no_other_file(out, files):
    fill(out, files[:1])
    files[0].write_text("changed")
    assert fill(out, files[:1]) == ["songs/a.wav"]


def test_more_and_fewer_files_in_another_order_keep_the_rows_that_they_have(out, files):
    fill(out, [files[4], files[2]])
    assert fill(out, files) == ["songs/a.wav", "songs/b.wav", "x/same.wav"]
    assert paths_of(out) == [str(path) for path in files]
    with open_labels(out, COLUMNS, files[:2]) as opened:
        assert (opened.unnamed, opened.missing) == (3, [])
        list(opened.filled(()))
    assert paths_of(out) == [str(path) for path in files[:2]]


def test_rows_that_wait_for_their_turn_survive_a_second_kill(out, files):
    fill(out, files[2:])
    assert fill(out, files, stop=1) == ["songs/a.wav"]
    assert fill(out, files, stop=0) == []
    assert fill(out, files) == ["songs/b.wav"]
    assert paths_of(out) == [str(path) for path in files]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_file_that_is_not_there_is_looked_for_again(out, files):
    files[1].unlink()
    fill(out, files)
    assert fill(out, files) == ["songs/b.wav"]


def test_rows_of_another_probe_or_of_other_files_are_not_replaced(out, files):
    fill(out, files)
    before = out.read_bytes()
    other = Columns(COLUMNS.labels, decided=True, made_by="xyz raw")
    with pytest.raises(UserError, match=r"rows of another probe, or of another choice: .*'abc', not by 'xyz raw'"):
        fill(out, files, columns=other)
    with pytest.raises(UserError, match=rf"{out} is not what 'bench predict' writes for this probe"):
        fill(out, files, columns=Columns(("calm",), decided=True, made_by="abc"))
    foreign = files[0].with_name("foreign.wav")
    foreign.write_text("x")
    with pytest.raises(UserError, match=rf"{out} holds the rows of 5 other files.*choose another -o"):
        fill(out, [foreign])
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_file_that_is_to_be_removed_is_named(tmp_path, files):
    fill(tmp_path / "l.parquet", files, stop=1)
    other = Columns(COLUMNS.labels, decided=True, made_by="xyz")
    with pytest.raises(UserError, match=r"\.l\.parquet\.rows holds rows of another probe"):
        fill(tmp_path / "l.parquet", files, columns=other)


def test_what_holds_something_else_is_not_replaced(out, files):
    out.parent.mkdir()
    out.write_text("path,mood\na.wav,calm\n")
    with pytest.raises(UserError, match="choose another -o, or remove it"):
        fill(out, files)
    assert out.read_text() == "path,mood\na.wav,calm\n"


def test_what_cannot_be_an_output_is_refused(tmp_path):
    (tmp_path / "labels.csv").mkdir()
    (tmp_path / "file").write_text("x")
    for name, words in (
        ("labels.csv", "is a folder: name a file in it"),
        ("labels.txt", r"written as .csv or .parquet. Name it .*labels\.csv"),
        ("file/labels.csv", "cannot be written"),
    ):
        with pytest.raises(UserError, match=words):
            refuse_output(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match="no ordinary file"):
        refuse_output(tmp_path / "pipe.csv")


def test_two_writers_at_once_are_refused(out, files):
    with open_labels(out, COLUMNS, files) as opened:
        with pytest.raises(UserError, match="another process writes"):
            fill(out, files)
        list(opened.filled(map(made, opened.missing)))


def test_parquet_has_names_as_they_are_and_numbers_as_numbers(tmp_path, files):
    out, odd = tmp_path / "l.parquet", tmp_path / "songs" / "=1\n\x1b.wav"
    odd.write_text("x")
    with open_labels(out, Columns(("=1+1", "path"), decided=True, made_by="abc"), [odd]) as opened:
        list(opened.filled([made(odd)]))
    table = pq.read_table(out)
    assert table["path"].to_pylist() == [str(odd)]
    assert table.column_names[5:7] == ["=1+1", "label:path"]
    assert table["=1+1"].to_pylist() == [0.75]
    assert str(table.schema.field("mtime_ns").type) == "int64"
