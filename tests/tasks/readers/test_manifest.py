import csv
import itertools
import os
import re
import subprocess
import sys

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.card import Columns, TaskCard
from tasks.errors import TaskError
from tasks.readers import manifest as folder
from tasks.readers.manifest import read_manifest
from tasks.sources.locations import missing_audio

HEADER = "track_id,path,split,pitch"
ROWS = ("a,a.wav,train,60", "b,a.wav,train,61", "c,a.wav,valid,60", "d,a.wav,test,61")


def card_of(kind="multiclass", metric=None, target="pitch", group=None, labels=None, **distinct):
    metric = metric or {"multiclass": "accuracy", "multilabel": "map", "regression": f"r2_{target}"}[kind]
    columns = Columns(id="track_id", audio="path", split="split", target=target, group=group)
    return TaskCard(
        id="mine",
        title="Mine",
        kind=kind,
        metrics=(metric,),
        columns=columns,
        manifest="m.csv",
        labels=labels,
        **distinct,
    )


PITCH = card_of()
TAGS = card_of("multilabel")
MOOD = card_of("regression", "r2_valence", ("valence", "arousal"))
KEY = card_of(metric="weighted_accuracy")


@pytest.fixture
def read(tmp_path):
    """Write a manifest (text, bytes or lines) beside the audio file a.wav, and read it."""
    (tmp_path / "a.wav").touch()

    def read(manifest, card=PITCH):
        text = manifest if isinstance(manifest, str | bytes) else "".join(f"{line}\n" for line in manifest)
        (tmp_path / "m.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_manifest(tmp_path / "m.csv", card)

    return read


@pytest.fixture
def refusal(read, tmp_path):
    """Return the lines that say what is wrong with a manifest; without lines, the sentence."""

    def refusal(manifest, card=PITCH):
        with pytest.raises(TaskError) as error:
            read(manifest, card)
        first, *lines = str(error.value).splitlines()
        assert str(tmp_path / "m.csv") in first
        return [line.strip() for line in lines] or first

    return refusal


def labelled(*cells):
    """A manifest with these targets: train, then once more train, valid and test with the first."""
    rows = [f"t{i},a.wav,train,{cell}" for i, cell in enumerate(cells)]
    return [HEADER, *rows, f"v,a.wav,valid,{cells[0]}", f"u,a.wav,test,{cells[0]}"]


# what is read


def test_a_manifest_is_read_in_its_own_order(read, tmp_path):
    items = read([HEADER, *ROWS])
    assert items.track_ids == ("a", "b", "c", "d")
    assert items.splits == ("train", "train", "valid", "test")
    assert items.audio == (tmp_path / "a.wav",) * 4  # four items may well be of one file
    assert items.groups is None
    assert items.labels == ("60", "61")
    assert items.targets.tolist() == [0, 1, 0, 1]
    assert items.targets.dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + "\n".join([HEADER, *ROWS]),
        "\r\n".join([HEADER, *ROWS]) + "\r\n",
        "\r".join([HEADER, *ROWS]),
        "\n\n".join([HEADER, *ROWS, "", "", ",,,", "   "]),
        "\ufeff" + '"track_id","path","split","pitch"\n' + "\n".join(ROWS),
        "\n".join([HEADER, *ROWS]).replace(",", " , ").replace("\n", " \n\t"),
        "\n".join(f'"{line}"'.replace(",", '", "') for line in (HEADER, *ROWS)),
    ],
    ids=["BOM", "CRLF", "CR", "blank lines", "BOM and quotes", "spaces", "spaces before quotes"],
)
def test_how_the_file_is_written_does_not_matter(read, text):
    found, expected = read(text), read([HEADER, *ROWS])
    assert found.digest() == expected.digest()
    assert found.audio == expected.audio


def test_columns_that_the_card_does_not_name_are_passed_over(read):
    rows = [f"{line},{extra},," for line, extra in zip((HEADER, *ROWS), ("note", *'xy,"'), strict=True)]
    text = "\n".join(rows).replace(',",,', ',"1, ""2""",,').replace(",,,,", ',",",,')
    assert read(text).digest() == read([HEADER, *ROWS]).digest()


def test_cells_may_hold_commas_quotes_and_lines(read):
    items = read(labelled('"a, b"', '"say ""c"""', '"d\ne"'))
    assert items.labels == ("a, b", "d\ne", 'say "c"')
    assert items.targets.tolist() == [0, 2, 1, 0, 0]


def test_ids_may_be_any_text(read):
    ids = ["Ünïcode", "音楽", "a/b", "a b", "-1", "🎵", "#1"]
    splits = ["train", "valid", "test", *["train"] * 4]
    items = read([HEADER, *(f"{name},a.wav,{split},60" for name, split in zip(ids, splits, strict=True))])
    assert items.track_ids == tuple(ids)


def test_audio_paths_are_relative_to_the_manifest_or_absolute(read, tmp_path, monkeypatch):
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "ü.wav").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "e.wav").touch()
    monkeypatch.chdir(elsewhere)
    paths = ["sub dir/ü.wav", str(elsewhere / "e.wav"), "sub dir/../a.wav"]
    splits = ["train", "valid", "test"]
    items = read([HEADER, *(f"{i},{p},{s},60" for i, (p, s) in enumerate(zip(paths, splits, strict=True)))])
    assert [os.path.realpath(path) for path in items.audio] == [
        str(tmp_path / "sub dir" / "ü.wav"),
        str(elsewhere / "e.wav"),
        str(tmp_path / "a.wav"),
    ]
    assert "row 2: missing file e.wav" in _problems(read, [HEADER, "1,e.wav,fold,60"])


def _problems(read, manifest):
    with pytest.raises(TaskError) as error:
        read(manifest)
    return str(error.value)


def test_groups_are_read_where_the_card_names_them(read):
    rows = [f"{line},{artist}" for line, artist in zip((HEADER, *ROWS), ("artist", "x", " x ", "y", "z"), strict=True)]
    assert read(rows, card_of(group="artist")).groups == ("x", "x", "y", "z")


# labels


def test_whole_numbers_are_sorted_by_value_and_other_labels_as_text(read):
    assert read(labelled("9", "10", "-2", "100")).labels == ("-2", "9", "10", "100")
    assert read(labelled("9", "10", "x")).labels == ("10", "9", "x")
    assert read(labelled("b", "Z", "a")).labels == ("Z", "a", "b")


def test_labels_with_one_value_are_two_labels_in_one_order_whatever_the_hash_seed():
    command = "from tasks.readers.manifest import _sorted_labels as f; print(*f({'1', '01', '001', '2', '-0', '0'}))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", command],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in range(4)
    }
    assert outputs == {"-0 0 001 01 1 2"}


def test_the_cards_order_of_labels_is_kept(read):
    items = read([HEADER, *ROWS], card_of(labels=("61", "60")))
    assert items.labels == ("61", "60")
    assert items.targets.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_label_of_the_card_that_no_item_has_keeps_its_place(read, kind):
    items = read([HEADER, *ROWS], card_of(kind, labels=("59", "60", "61")))
    assert items.labels == ("59", "60", "61")
    if kind == "multiclass":
        assert items.targets.tolist() == [1, 2, 1, 2]
    else:
        assert items.targets.tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]]


def test_a_label_that_is_not_the_cards_is_refused_row_by_row(refusal):
    assert refusal([HEADER, *ROWS], card_of(labels=("60", "62"))) == [
        "row 3: label '61' is not in the card's labels",
        "row 5: label '61' is not in the card's labels",
    ]
    rows = labelled("rock|pop", "rock|Pop|jazz")
    assert refusal(rows, card_of("multilabel", labels=("rock", "pop"))) == [
        "row 3: label 'Pop' is not in the card's labels; 'pop' is, and differs only in spelling",
        "row 3: label 'jazz' is not in the card's labels",
    ]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_label_that_train_never_has_is_refused(refusal, split):
    rows = [HEADER, *ROWS, f"e,a.wav,{split},62", f"f,a.wav,{split},60"]
    problem = f"row 6: label '62' is in {split} but never in train"
    assert refusal(rows) == [problem]
    assert refusal(rows, TAGS) == [problem]
    assert refusal(rows, card_of(labels=("60", "61", "62"))) == [problem]


def test_a_label_that_only_train_has_is_kept(read):
    assert read([HEADER, *ROWS, "e,a.wav,train,62"]).labels == ("60", "61", "62")


def test_tags_are_split_at_bars_and_untagged_items_are_kept(read):
    items = read(labelled("rock|pop", "", " | ", "pop | jazz |", "jazz|jazz"), TAGS)
    assert items.labels == ("jazz", "pop", "rock")
    assert items.targets.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert items.targets.dtype == np.float32


def test_a_bar_is_part_of_a_class(read):
    assert read(labelled("rock|pop")).labels == ("rock|pop",)


def test_a_manifest_of_untagged_items_only_is_refused(refusal):
    assert refusal(labelled("", "|"), TAGS) == ["no row has a label in 'pitch'"]


def test_an_item_without_a_class_is_refused(refusal):
    assert refusal(labelled("60", "", "  ")) == ["row 3: the pitch is empty", "row 4: the pitch is empty"]


# keys

CANDIDATES = [
    *(f"{tonic}{accidental} {mode}" for tonic in "ABCDEFGHabcdefghXx" for accidental in ("", "#", "b", "B", "##")
      for mode in ("major", "minor", "other", "Major", "dorian")),
    *("C", "X", "x", "X major", "major", "Cmajor", "C  major", "C\tminor", "C major minor", "C:major", "C♯ major"),
]  # fmt: skip


@pytest.mark.parametrize("key", CANDIDATES)
def test_a_key_is_accepted_just_where_mir_eval_accepts_it(read, refusal, key):
    try:
        mir_eval.key.validate_key(key)
    except ValueError:
        assert refusal(labelled("C major", key), card_of(metric="weighted_accuracy", distinct_labels=True)) == [
            f"row 3: label {key!r} is not a key that mir_eval knows, such as 'Db major' or 'F# minor'"
        ]
        assert (
            key in read(labelled("C major", key), card_of(distinct_labels=True)).labels
        )  # without the metric any goes
    else:
        card = card_of(metric="weighted_accuracy", distinct_labels=True)
        assert set(read(labelled("C major", key), card).labels) == {"C major", key}


def test_a_key_that_only_the_card_has_is_refused_without_a_row(refusal):
    card = card_of(metric="weighted_accuracy", labels=("C major", "H major"))
    (problem,) = refusal(labelled("C major"), card)
    assert problem.startswith("label 'H major' is not a key")


# regression

MOODS = ("track_id,path,split,valence,arousal", "a,a.wav,train,0.5,-1", "b,a.wav,valid,1e-3, 2 ", "c,a.wav,test,3,4.25")


def test_regression_reads_one_column_a_target(read):
    items = read(MOODS, MOOD)
    assert items.labels == ("valence", "arousal")
    np.testing.assert_array_equal(items.targets, np.array([[0.5, -1], [1e-3, 2], [3, 4.25]], np.float32))
    assert items.targets.dtype == np.float32
    alone = read(MOODS, card_of("regression", target="arousal"))
    assert alone.labels == ("arousal",)
    assert alone.targets.tolist() == [[-1], [2], [4.25]]


@pytest.mark.parametrize("cell", ["", "high", "nan", "NaN", "inf", "-inf", "1e300", "-3.5e38", '"1,5"', "1.2.3"])
def test_a_target_that_is_no_finite_number_is_refused(refusal, cell):
    rows = [*MOODS[:2], f"b,a.wav,valid,1,{cell}", MOODS[3]]
    assert refusal(rows, MOOD) == ["row 3: arousal is {!r}, not a finite number".format(cell.strip('"'))]


@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_any_finite_number_is_read_as_it_was_written(tmp_path_factory, number):
    path = tmp_path_factory.getbasetemp() / "numbers"
    path.mkdir(exist_ok=True)
    (path / "a.wav").touch()
    with (path / "m.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER.split(","), *([s, "a.wav", s, repr(number)] for s in folder.SPLITS)])
    assert read_manifest(path / "m.csv", card_of("regression")).targets.tolist() == [[number]] * 3


# rows that are refused


def test_an_id_in_two_rows_is_refused_with_both(refusal):
    assert refusal([HEADER, *ROWS, "b,a.wav,train,60", " a ,a.wav,test,60", "b,a.wav,test,60"]) == [
        "row 6: duplicate id 'b', first seen in row 3",
        "row 7: duplicate id 'a', first seen in row 2",
        "row 8: duplicate id 'b', first seen in row 3",
    ]


@pytest.mark.parametrize(("split", "meant"), [("dev", "valid"), ("Validation", "valid"), ("val", "valid"),
                                              ("Train", "train"), ("TEST", "test"), ("testing", "test")])  # fmt: skip
def test_other_names_of_splits_are_understood(read, split, meant):
    items = read([HEADER, *ROWS, f"e,a.wav,{split},60"])
    assert items.splits == ("train", "train", "valid", "test", meant)
    assert items.digest() == read([HEADER, *ROWS, f"e,a.wav,{meant},60"]).digest()


@pytest.mark.parametrize("split", ["", "held-out", "validate", "fold1", "train valid", "eval"])
def test_an_unknown_split_is_refused(refusal, split):
    assert refusal([HEADER, *ROWS, f"e,a.wav,{split},60"]) == [
        f"row 6: unknown split {split!r}: it is one of train, valid, test"
    ]


def test_empty_cells_are_refused(refusal):
    rows = [f"{line},{artist}" for line, artist in zip((HEADER, *ROWS), ("artist", *"xyzw"), strict=True)]
    assert refusal([*rows, " ,a.wav,train,60,x", ",a.wav,train,60,x"], card_of(group="artist")) == [
        "row 6: the track_id is empty",
        "row 7: the track_id is empty",
    ]
    assert refusal([*rows, "e,,train,60,x"], card_of(group="artist")) == ["row 6: the path is empty"]
    assert refusal([*rows, "e,a.wav,train,60, "], card_of(group="artist")) == [
        "row 6: the group column 'artist' is empty"
    ]


LONG = "x" * 300 + ".wav"  # longer than any file system takes


@pytest.mark.parametrize("name", ["none.wav", "A.WAV/none.wav", "folder.wav", "/no/such/file.wav", LONG, "a.wav\0"])
def test_missing_audio_is_an_item_and_is_named_beside_problems(read, refusal, tmp_path, name):
    (tmp_path / "folder.wav").mkdir()
    rows = [HEADER, *ROWS, f"e,{name},train,60"]
    items = read(rows)
    assert items.track_ids[4] == "e"
    assert items.audio[4] == tmp_path / name
    assert missing_audio(items) == [4]
    assert refusal([*rows, "f,a.wav,fold1,60"]) == [
        "row 7: unknown split 'fold1': it is one of train, valid, test",
        f"row 6: missing file {name}",
    ]
    assert refusal([*rows, "f,a.wav,test,62"])[1] == f"row 6: missing file {name}"


@pytest.mark.parametrize("split", folder.SPLITS)
def test_an_empty_split_is_refused(refusal, split):
    rows = [line for line in ROWS if f",{split}," not in line]
    problems = refusal([HEADER, *rows])
    advice = "" if split == "train" else "; bench data split CARD takes it out of train"
    assert f"the split {split!r} is empty: the task needs train, valid and test{advice}" in problems
    assert sum("is empty" in problem for problem in problems) == 1


def test_ragged_rows_are_refused_all_of_them(refusal):
    assert refusal([HEADER, *ROWS, "e,a.wav,train", "f,a.wav,train,60,x", "g,a.wav,train,61", "h"]) == [
        "row 6: 3 cells where the header has 4",
        "row 7: 5 cells where the header has 4",
        "row 9: 1 cells where the header has 4",
    ]


def test_a_row_is_what_a_spreadsheet_shows_as_one(refusal):
    # A cell of three lines, a blank line, a row of empty cells: the bad row is the seventh, in line 9 of the file.
    rows = [HEADER, 'a,a.wav,train,"x\ny\nz"', "", ",,,", *ROWS[1:3], "d,a.wav,odd,60"]
    assert refusal(rows) == ["row 7: unknown split 'odd': it is one of train, valid, test"]
    assert refusal("\r\n".join(rows)) == ["row 7: unknown split 'odd': it is one of train, valid, test"]
    with_lines_in_header = ['track_id,path,split,pitch,"two\nlines"', *(f"{row}," for row in ROWS), "e,a.wav,odd,60,"]
    assert refusal(with_lines_in_header) == ["row 6: unknown split 'odd': it is one of train, valid, test"]


def test_all_problems_of_a_row_are_told(refusal):
    assert refusal([HEADER, *ROWS, "a,none.wav,odd,60"]) == [
        "row 6: duplicate id 'a', first seen in row 2",
        "row 6: unknown split 'odd': it is one of train, valid, test",
        "row 6: missing file none.wav",
    ]


@pytest.mark.parametrize(
    ("count", "more"),
    [(4, None), (5, "and 2 more rows like this: 5, 6"), (100, "and 97 more rows like this: 5, 6, 7, 8, 9, …")],
)
def test_problems_that_many_rows_have_alike_are_told_once(refusal, count, more):
    problems = refusal([HEADER, *(f"{i},a.wav,odd{i},60" for i in range(count))])
    told = [f"row {row}: unknown split 'odd{row - 2}': it is one of train, valid, test" for row in range(2, count + 2)]
    assert problems == (told if more is None else [*told[:3], more])


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["a.wav", "none.wav"]), st.sampled_from(["train", "odd"])),
        min_size=1,
        max_size=8,
    )
)
def test_every_bad_row_is_named_and_no_good_one(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows"
    path.mkdir(exist_ok=True)
    (path / "a.wav").touch()
    (path / "m.csv").write_text("\n".join([HEADER, *(f"{i},{p},{s},60" for i, p, s in rows)]))
    bad = {
        number
        for number, (name, audio, split) in enumerate(rows, start=2)
        if name in [row[0] for row in rows[: number - 2]] or audio == "none.wav" or split == "odd"
    }
    with pytest.raises(TaskError) as error:  # valid and test are empty at best
        read_manifest(path / "m.csv", PITCH)
    lines = str(error.value).splitlines()
    numbers = [int(line.split(":")[0].split()[-1]) for line in lines if line.startswith("  row ")]
    numbers += [int(row) for line in lines if "like this:" in line for row in re.findall(r"\d+", line.split(":")[1])]
    assert set(numbers) == bad


# files that are no manifests


def test_a_manifest_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(TaskError, match=r"no manifest at .*none\.csv: check 'manifest' in the card"):
        read_manifest(tmp_path / "none.csv", PITCH)


def test_a_folder_is_no_manifest(tmp_path):
    with pytest.raises(TaskError, match=f"cannot read {tmp_path}: it is a folder"):
        read_manifest(tmp_path, PITCH)


@pytest.mark.parametrize("lines", [0, 5000])
def test_text_that_is_not_utf8_is_refused_with_its_line(refusal, lines):
    rows = [HEADER, *(f"{i},a.wav,train,60" for i in range(lines)), "e,é.wav,train,60", "f,a.wav,train,60", ""]
    assert f"in line {lines + 2}): save it as UTF-8" in refusal("\n".join(rows).encode("latin-1"))
    assert "is not UTF-8 text" in refusal("\n".join(rows).encode("utf-16"))


@pytest.mark.parametrize(("text", "problem"), [("", "no header"), ("\n" + HEADER, "no header"), (HEADER, "no rows")])
def test_a_manifest_without_header_or_rows_is_refused(refusal, text, problem):
    assert f"has {problem}" in refusal(text)
    assert f"has {problem}" in refusal(text + "\n,,,\n\n")


@pytest.mark.parametrize(
    ("rows", "row"),
    [((*ROWS, '"e"e,a.wav,train,60'), 6), ((*ROWS, 'e,a.wav,train,"60'), 6), (('"e"e,a.wav,train,60', *ROWS), 2)],
)
def test_quotes_that_do_not_match_are_refused_with_their_row(refusal, rows, row):
    assert f"m.csv, row {row}: " in refusal([HEADER, *rows])


def test_quotes_that_do_not_match_in_the_header_are_refused(refusal):
    assert "m.csv, row 1: " in refusal(['"track_id"x,path,split,pitch', *ROWS])


def test_missing_columns_are_named_with_those_that_are_there(refusal):
    found = refusal(["id,path,Split,pitch", *ROWS])
    assert "lacks the column(s) track_id, split that the card 'mine' names; it has id, path, Split, pitch" in found
    assert "lacks the column(s) artist " in refusal([HEADER, *ROWS], card_of(group="artist"))
    assert "lacks the column(s) valence, arousal " in refusal([HEADER, *ROWS], MOOD)
    assert "lacks the column(s) track_id, path, split, pitch " in refusal(ROWS)


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator_is_named_with_the_command_that_takes_it(refusal, sign, name):
    found = refusal([line.replace(",", sign) for line in (HEADER, *ROWS)])
    assert f"are separated by {name}, and those of a manifest by commas" in found
    assert "bench tasks new m.csv" in found


def test_a_manifest_without_a_split_is_told_how_to_get_one(refusal):
    assert "make a split with bench data split CARD" in refusal(["track_id,path,pitch", "a,a.wav,60"])


@pytest.mark.parametrize("name", ["track_id", "path", "split", "pitch"])
def test_a_column_that_is_there_twice_is_refused(refusal, name):
    rows = [f"{line},{extra}" for line, extra in zip((HEADER, *ROWS), (name, *"abcd"), strict=True)]
    assert f"has the column(s) {name} more than once" in refusal(rows)


def test_one_column_may_serve_twice(read, tmp_path):
    for name in "xyz":
        (tmp_path / f"{name}.wav").touch()
    columns = Columns(id="path", audio="path", split="split", target="pitch", group="pitch")
    card = TaskCard(
        id="mine", title="Mine", kind="multiclass", metrics=("accuracy",), columns=columns, manifest="m.csv"
    )
    items = read([HEADER, *(f",{n}.wav,{s},60" for n, s in zip("xyz", folder.SPLITS, strict=True))], card)
    assert items.track_ids == ("x.wav", "y.wav", "z.wav")
    assert items.groups == ("60", "60", "60")


def test_nothing_is_filtered(read):
    tags = ["", "x", "x|y"]
    rows = [f"{i},a.wav,{s},{t}" for i, (s, t) in enumerate(itertools.product(folder.SPLITS, tags))]
    assert read([HEADER, *rows], TAGS).counts() == {"train": 3, "valid": 3, "test": 3}


# spellings

NFC, NFD = "h\u00f6ch", "ho\u0308ch"


def test_unicode_forms_of_ids_labels_groups_and_columns_are_one(read):
    rows = [f"t{i},a.wav,{split},{label},{label}" for i, (split, label) in enumerate(
        [("train", NFC), ("train", NFD), ("train", "tief"), ("valid", NFD), ("test", NFC)])]  # fmt: skip
    items = read([f"{HEADER},{NFD}", *rows], card_of(group=NFC))
    assert items.labels == (NFC, "tief")
    assert items.targets.tolist() == [0, 0, 1, 0, 0]
    assert set(items.groups) == {NFC, "tief"}
    assert read([f"{HEADER},{NFD}", *rows], card_of(group=NFC, labels=("tief", NFD))).targets.tolist() == [
        1,
        1,
        0,
        1,
        1,
    ]


def test_an_id_in_two_unicode_forms_is_a_duplicate(refusal, read):
    assert refusal([HEADER, *ROWS, f"{NFC},a.wav,train,60", f"{NFD},a.wav,train,60", "a\u200b,a.wav,train,60"]) == [
        f"row 7: duplicate id {NFC!r}, first seen in row 6",
        "row 8: duplicate id 'a\\u200b', first seen in row 2",
    ]
    assert read([HEADER, *ROWS, f"{NFD},a.wav,train,60", "A,a.wav,train,60"]).track_ids[4:] == (NFC, "A")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("rock", "Rock", "differ only in case"),
        ("hip hop", "hip  hop", "differ only in white space or signs that do not show"),
        ("hip hop", "hip\u00a0hop", "differ only in white space or signs that do not show"),
        ("hiphop", "hip\u200bhop", "differ only in white space or signs that do not show"),
        ("A# minor", "Bb minor", "are one key in two spellings"),
        ("C major", "c major", "differ only in case"),
    ],
)
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_labels_in_two_spellings_are_refused_with_both_rows_unless_the_card_says_so(
    read, refusal, kind, first, second, why
):
    rows = labelled(first, "other", second)
    assert refusal(rows, card_of(kind)) == [
        f"row 4: the label {second!r} and {first!r} in row 2 {why}: write them alike, or set distinct_labels = true in "
        "the card if they are two"
    ]
    assert len(read(rows, card_of(kind, distinct_labels=True)).labels) == 3
    assert len(read(rows, card_of(kind, labels=(first, "other", second), distinct_labels=True)).labels) == 3


def test_groups_in_two_spellings_are_refused_unless_the_card_says_so(read, refusal):
    rows = [f"{line},{artist}" for line, artist in zip((HEADER, *ROWS), ("artist", *"xyz", "X"), strict=True)]
    assert refusal(rows, card_of(group="artist")) == [
        "row 5: the group 'X' and 'x' in row 2 differ only in case: write them alike, or set distinct_groups = true in "
        "the card if they are two"
    ]
    assert read(rows, card_of(group="artist", distinct_groups=True)).groups == ("x", "y", "z", "X")


def test_cells_of_signs_that_do_not_show_are_empty(refusal):
    assert refusal([HEADER, *ROWS, "\u200b,a.wav,train,60"]) == ["row 6: the track_id is empty"]
    assert refusal(labelled("60", "\u200b")) == ["row 3: the pitch is empty"]


@pytest.mark.parametrize(("disk", "named"), [(NFC, NFD), (NFD, NFC)])
def test_audio_is_found_in_another_unicode_form(read, tmp_path, disk, named):
    (tmp_path / disk).mkdir()
    (tmp_path / disk / f"{disk}.wav").touch()
    items = read([HEADER, *ROWS, f"e,{named}/{named}.wav,train,60"])
    assert items.audio[-1] == tmp_path / disk / f"{disk}.wav"


def test_audio_in_two_other_unicode_forms_is_named(refusal, tmp_path):
    for name in ("\u00e9\u00f6.wav", "e\u0301o\u0308.wav"):
        (tmp_path / name).touch()
    (problem,) = refusal([HEADER, *ROWS, "e,\u00e9o\u0308.wav,train,60"])
    assert "2 files of the name" in problem
    assert "other Unicode forms (NFD, NFC)" in problem


# separators


@pytest.mark.parametrize("sign", [",", ";", "、"])
def test_cells_that_seem_to_be_separated_otherwise_are_refused(refusal, read, sign):
    cells = [f'"rock{sign} pop"', "rock", f'"jazz{sign} pop{sign} rock"']
    (problem,) = refusal(labelled(*cells), TAGS)
    assert problem.startswith(
        f"row 2: the pitch is 'rock{sign} pop': labels stand between '|', so that 3 labels arise, of which 2 hold "
        f"{sign!r}; parted there too, they are 3. Write '|' for {sign!r}, or"
    )
    named = (f"rock{sign} pop", "rock", f"jazz{sign} pop{sign} rock")
    assert read(labelled(*cells), card_of("multilabel", labels=named)).labels == named


def test_one_cell_that_is_separated_otherwise_is_found_among_others(refusal):
    (problem,) = refusal(labelled("rock|pop", "jazz", '"rock,jazz"'), TAGS)
    assert problem.startswith("row 4: the pitch is 'rock,jazz'")


def test_commas_that_belong_to_names_are_left_alone_beside_bars(read):
    names = '"Folk, World, & Country"'
    assert read(labelled(f'{names[:-1]}|Rock"', "Folk", names), TAGS).labels == (
        "Folk",
        "Folk, World, & Country",
        "Rock",
    )
    assert read(labelled('"a, b"', "c")).labels == ("a, b", "c")  # one class is one cell


def test_a_name_in_another_unicode_form_is_told_of_where_a_manifest_is_refused(refusal, tmp_path):
    (tmp_path / f"{NFD}.wav").touch()
    assert refusal([HEADER, *ROWS, f"e,{NFC}.wav,valid,62"]) == [
        "row 6: label '62' is in valid but never in train",
        f"(not a problem: row 6: a file of the name '{NFC}.wav' is there in another Unicode form (NFD))",
    ]


# manifests that would take the machine


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_no_manifest(tmp_path, kind):
    path = tmp_path / "m.csv"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(TaskError, match=f"cannot read {path}: it is a {kind}, not a file"):
        read_manifest(path, PITCH)


def test_a_manifest_of_ten_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "m.csv").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(TaskError, match="it has 10,000,000,000 bytes"):
        read_manifest(tmp_path / "m.csv", PITCH)


def test_rows_and_problems_are_bounded(read, refusal, monkeypatch):
    monkeypatch.setattr(folder, "ROWS", 5)
    assert "has more than 5 rows" in refusal([HEADER, *ROWS, "e,a.wav,train,60", "f,a.wav,train,60"])
    assert len(read([HEADER, *ROWS, "e,a.wav,train,60"])) == 5
    monkeypatch.setattr(folder, "ROWS", 10**6)
    monkeypatch.setattr(folder, "FAULTS", 30)
    lines = refusal([HEADER, *(f"{i},a.wav,nowhere,60" for i in range(1000))])
    assert lines[3:] == ["and 28 more rows like this: 5, 6, 7, 8, 9, …"]


def test_a_header_of_many_columns_is_not_repeated(refusal):
    header = ",".join(f"c{i}" for i in range(10_000))
    assert refusal([header, ",".join(["x"] * 10_000)]).partition(" Mend the names")[0].endswith("c19, …")
