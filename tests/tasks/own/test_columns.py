"""What the columns of a table are taken for, and what is said where that is not clear."""

import pytest

from tasks.errors import TaskError
from tasks.own.audio_paths import AudioBelow
from tasks.own.columns import labels_in, roles_of
from tasks.own.tables import read_table
from tasks.own.targets import Named


@pytest.fixture
def roles(tmp_path):
    """Write a table of rows and the audio files that its cells name, and look at it."""

    def roles(text, **named):
        path = tmp_path / "t.csv"
        path.write_text(text, encoding="utf-8")
        table = read_table(path)
        for cell in {cell for row in table.rows for cell in row if cell.endswith((".wav", ".mp3"))}:
            (tmp_path / cell).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / cell).touch()
        return roles_of(table, Named(**named), AudioBelow(tmp_path))

    return roles


@pytest.fixture
def refusal(roles):
    def refusal(text, **named):
        with pytest.raises(TaskError) as error:
            roles(text, **named)
        return str(error.value)

    return refusal


def rows(header, *cells):
    """A table whose columns repeat the given cells, row by row; ``{}`` is the number of the row."""
    lines = [",".join(column[i % len(column)].format(i) for column in cells) for i in range(12)]
    return "\n".join([header, *lines, ""])


WAV, MOOD, SPLIT, ARTIST = ["a{}.wav"], ["calm", "wild"], ["train", "train", "Val", "test"], ["x", "x", "y", "y", "z"]


def test_every_role_is_found_and_explained(roles):
    found = roles(rows("track_id,path,mood,split,artist,title", ["t{}"], WAV, MOOD, SPLIT, ARTIST, ["song {}"]))
    assert (found.audio, found.id, found.split, found.group) == ("path", "track_id", "split", "artist")
    assert (found.targets, found.kind, found.found.count) == (("mood",), "multiclass", 12)
    assert set(found.told) == {"audio", "id", "split", "target", "kind", "group"}
    assert found.told["split"] == "split: it holds Val, test, train"


def test_audio_may_be_named_without_ending_and_ids_may_be_paths(roles, tmp_path):
    for i in range(12):
        (tmp_path / f"t{i}.mp3").touch()
    found = roles(rows("track,genre", ["t{}"], MOOD))
    assert (found.audio, found.id, found.targets) == ("track", "track", ("genre",))
    found = roles(rows("file,genre", WAV, MOOD))
    assert (found.audio, found.id) == ("file", "file")


def test_ids_are_made_where_nothing_is_different_in_each_row(roles):
    found = roles(rows("file,genre", ["a.wav", "b.wav"], MOOD))
    assert found.id is None


def test_two_columns_of_the_same_files_are_no_question(roles):
    assert roles(rows("name,full,genre", ["a{}.wav"], ["a{}.wav"], MOOD)).audio == "name"


@pytest.mark.parametrize(
    ("text", "targets", "kind"),
    [
        (rows("path,a,genre", WAV, ["p", "q"], MOOD), ("genre",), "multiclass"),
        (rows("path,word", WAV, MOOD), ("word",), "multiclass"),
        (rows("path,valence,arousal", WAV, ["0.1", "2"], ["1", "0.5"]), ("valence", "arousal"), "regression"),
        (
            rows("path,rock,pop,jazz", WAV, ["0", "1"], ["1", "0", "0"], ["0", "0", "1"]),
            ("rock", "pop", "jazz"),
            "multilabel",
        ),
        (rows("path,genre,rock,pop", WAV, MOOD, ["0", "1"], ["1", "0", "0"]), ("genre",), "multiclass"),
        (rows("path,artist,tempo", WAV, ARTIST, ["90", "120.5"]), ("tempo",), "regression"),
    ],
)
def test_targets_that_are_clear(roles, text, targets, kind):
    found = roles(text)
    assert (found.targets, found.kind) == (targets, kind)


def test_labels_of_columns_of_0_and_1(roles, tmp_path):
    found = roles(rows("path,rock,pop", WAV, ["0", "1"], ["1", "0", "0"]))
    assert found.binary
    assert labels_in(read_table(tmp_path / "t.csv"), found)[:4] == [["pop"], ["rock"], [], ["rock", "pop"]]


@pytest.mark.parametrize(
    ("text", "named", "words"),
    [
        (rows("path,a,b", WAV, MOOD, ["p", "q"]), {}, "a, b may be it. Name it with --target a"),
        (rows("path,genre,mood", WAV, MOOD, ["p", "q"]), {}, "genre, mood may be it. Name it with --target genre"),
        (rows("path,x", WAV, ["1", "2", "3"]), {}, "--kind multiclass (they name classes) or --kind regression"),
        (rows("path,title", WAV, ["song {}"]), {}, "no column is left for it"),
        (rows("a,b,genre", ["x{}.wav"], ["y{}.wav"], MOOD), {}, "Name it with --audio COLUMN"),
        (rows("a,genre", ["x{}"], MOOD), {}, "Name it with --audio COLUMN, and the folder with --root DIR"),
        (
            rows("path,genre,s,t", WAV, MOOD, SPLIT, ["test", "train"]),
            {},
            "s, t may be it. Name it with --split COLUMN",
        ),
        (rows("path,genre,s", WAV, MOOD, ["train", "held"]), {"split": "s"}, "the split: s has 'held' in rows 3, 5"),
        (
            rows("path,genre", WAV, MOOD),
            {"target": "gnre"},
            "--target gnre: {path} has no such column: did you mean 'genre'?",
        ),
        (rows("path,genre", WAV, MOOD), {"target": " "}, "--target is empty"),
        (rows("path,genre", WAV, MOOD), {"id": "genre"}, "'calm' stands in rows 2 and 4"),
        (rows("path,genre,artist", WAV, MOOD, ["x", ""]), {"group": "artist"}, "artist is empty in rows 3, 5, 7"),
        (rows("path,genre", WAV, MOOD), {"kind": "regression"}, "genre holds 'calm', which is no number"),
        (rows("path,a,b", WAV, MOOD, ["1", "2"]), {"target": "a,b"}, "of several targets each is a column of numbers"),
    ],
)
def test_what_is_not_clear_is_asked_by_naming_the_option(refusal, tmp_path, text, named, words):
    assert words.replace("{path}", str(tmp_path / "t.csv")) in refusal(text, **named)


def test_all_that_is_not_clear_is_asked_at_once(refusal):
    message = refusal(rows("a,b,x", ["x{}.wav"], ["y{}.wav"], ["1", "2", "3"]))
    assert [name for name in ("--audio", "--split", "--kind") if name in message] == ["--audio", "--kind"]


def test_what_is_named_is_taken(roles):
    text = rows("path,a,b,artist,album", WAV, MOOD, ["1", "2", "3"], ARTIST, ["p", "q"])
    found = roles(text, target="b", kind="regression", group="album")
    assert (found.targets, found.kind, found.group) == (("b",), "regression", "album")
    assert roles(text, target="artist").group == "album"


def test_thousands_of_different_labels_are_no_classes(refusal):
    lines = "\n".join(f"a{i % 3}.wav,label {i}" for i in range(5000))
    message = refusal(f"path,genre\n{lines}\n")
    assert "no column is left for it" in message
    message = refusal(f"path,genre\n{lines}\n", target="genre")
    assert "genre has 5,000 different texts in 5,000 rows, of which 5,000 stand in one row alone" in message
    assert "Name another column with --target" in message


def test_a_group_with_empty_cells_is_passed_over_and_that_is_told(roles):
    found = roles(rows("path,genre,artist,album", WAV, MOOD, ["x", "y", ""], ["p", "q"]))
    assert found.group == "album"
    assert (
        roles(rows("path,genre,artist", WAV, MOOD, ["x", "y", ""])).told["group"].startswith("none: artist is empty in")
    )
    assert "different in every row" in roles(rows("path,genre,artist", WAV, MOOD, ["x{}"])).told["group"]


def test_a_column_named_split_that_holds_something_else_is_told(roles):
    found = roles(rows("path,genre,split", WAV, MOOD, ["1", "2", "3"]), target="genre")
    assert found.split is None
    assert "split holds 1, 2, 3" in found.told["split"]
