"""Long lists in messages: what is shown, what is in the file, and a file that cannot be written."""

from benchmark.system.long_lists import SHOWN, shown


def test_a_short_list_is_shown_and_written_nowhere(tmp_path):
    lines = [f"line {i}" for i in range(SHOWN)]
    assert shown(lines, tmp_path / "deep" / "list.txt") == [f"  {line}" for line in lines]
    assert list(tmp_path.iterdir()) == []


def test_a_long_list_is_in_the_file_whole(tmp_path):
    lines, file = [f"line {i}" for i in range(SHOWN + 3)], tmp_path / "deep" / "list.txt"
    found = shown(lines, file)
    assert found[:-1] == [f"  {line}" for line in lines[:SHOWN]]
    assert found[-1] == f"  … and 3 more: all are listed in {file}"
    assert file.read_text(encoding="utf-8").splitlines() == lines
    shown(lines, file, [line.upper() for line in lines])
    assert file.read_text(encoding="utf-8").splitlines() == [line.upper() for line in lines]


def test_an_entry_is_one_line_whatever_it_holds(tmp_path):
    lines = [f"t{i}: /x/a\n  0 damaged.flac\x1b[2J" for i in range(SHOWN + 1)]
    found = shown(lines, tmp_path / "list.txt")
    assert found[0] == "  t0: /x/a 0 damaged.flac\\u001b[2J"
    assert len("\n".join(found).splitlines()) == SHOWN + 1
    assert len((tmp_path / "list.txt").read_text("utf-8").splitlines()) == SHOWN + 1
    assert shown(["two  spaces.flac"], tmp_path / "none") == ["  two  spaces.flac"]  # a path may have them


def test_where_the_file_cannot_be_written_all_is_shown(tmp_path):
    (tmp_path / "file").touch()
    lines = [f"line {i}" for i in range(SHOWN + 3)]
    found = shown(lines, tmp_path / "file" / "list.txt")
    assert found[:-1] == [f"  {line}" for line in lines]
    assert "the list cannot be written to" in found[-1]
