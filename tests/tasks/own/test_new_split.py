"""A manifest gets a split: whole, or only what it lacks."""

import csv
import io
from collections import Counter

import pytest

from tasks.card import Columns, TaskCard
from tasks.errors import TaskError
from tasks.own.new_split import new_split, parse_shares
from tasks.own.tables import read_table

SHARES = (0.8, 0.1, 0.1)


@pytest.fixture
def split(tmp_path):
    """Split a table of dictionaries; return its rows with the split, and the notes."""

    def split(rows, kind="multiclass", target="mood", by=None, group=None, anew=False, seed=0, labels=None):
        with (tmp_path / "m.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        metrics = {"multiclass": "accuracy", "multilabel": "map", "regression": f"r2_{target}"}
        card = TaskCard(
            id="mine", title="Mine", kind=kind, metrics=(metrics[kind],), manifest="m.csv", labels=labels,
            columns=Columns(id="id", audio="path", split="split", target=target, group=group),
        )  # fmt: skip
        found = new_split(read_table(tmp_path / "m.csv"), card, by, SHARES, seed, anew=anew)
        return list(csv.DictReader(io.StringIO(found.manifest))), found.notes

    return split


def items(count=40, **columns):
    rows = []
    for i in range(count):
        row = {"id": f"t{i}", "path": f"{i}.wav", "mood": ["calm", "wild"][i % 2], "artist": f"a{i // 4}"}
        rows.append(row | {name: value(i) if callable(value) else value for name, value in columns.items()})
    return rows


def test_every_item_keeps_its_cells_and_gets_a_split(split):
    rows, notes = split(items(note="a,b"))
    assert [{key: row[key] for key in row if key != "split"} for row in rows] == items(note="a,b")
    counts = Counter((row["mood"], row["split"]) for row in rows)
    assert counts == {(m, s): n for m in ("calm", "wild") for s, n in (("train", 16), ("valid", 2), ("test", 2))}
    assert any("--by COLUMN keeps them together" in note for note in notes)


@pytest.mark.parametrize(("by", "group"), [("artist", None), (None, "artist")])
def test_groups_stay_together(split, by, group):
    rows, _ = split(items(), by=by, group=group)
    assert all(len({row["split"] for row in rows if row["artist"] == f"a{i}"}) == 1 for i in range(10))
    assert {row["split"] for row in rows} == {"train", "valid", "test"}


def test_items_of_one_file_stay_together_and_join_their_groups(split):
    rows, _ = split(items(path=lambda i: f"{i // 2}.wav"))
    assert all(one["split"] == other["split"] for one, other in zip(rows[::2], rows[1::2], strict=True))
    rows, notes = split(items(path=lambda i: "same.wav" if i in (3, 4) else f"{i}.wav"), by="artist")
    assert len({row["split"] for row in rows if row["artist"] in ("a0", "a1")}) == 1
    assert any("1 group(s) share an audio file" in note for note in notes)


def test_what_a_split_lacks_is_taken_out_of_train(split):
    rows, notes = split(items(split=lambda i: "Test" if i % 5 == 0 else "train"))
    assert all((row["split"] == "test") == (i % 5 == 0) for i, row in enumerate(rows))
    assert Counter(row["split"] for row in rows)["valid"] == pytest.approx(32 / 9, abs=1)
    assert "test stays as it was; train and valid" in notes[0] or "valid is taken out of train" in notes[0]
    rows, _ = split(items(split=lambda i: "dev" if i % 5 == 0 else "train"))
    assert {row["split"] for row in rows} == {"train", "valid", "test"}


def test_an_empty_split_column_is_filled_and_one_of_train_alone_is_split(split):
    for given in ("", "train"):
        rows, _ = split(items(split=given))
        assert Counter(row["split"] for row in rows) == {"train": 32, "valid": 4, "test": 4}


def test_several_labels_and_numbers(split):
    rows, _ = split(
        items(120, mood=lambda i: "|".join(n for j, n in enumerate("abc") if i % (j + 2) == 0)), "multilabel"
    )
    for label in "abc":
        assert all(any(label in row["mood"] for row in rows if row["split"] == s) for s in ("train", "valid", "test"))
    rows, _ = split(items(100, mood=lambda i: str(i / 7)), "regression")
    test = [float(row["mood"]) for row in rows if row["split"] == "test"]
    assert (len(test), min(test) < 100 / 35, max(test) > 80 / 7) == (10, True, True)


WHOLE = {"split": lambda i: ["train", "valid", "test"][i % 3]}


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (items(**WHOLE), {}, "has a split already (train 14, valid 13, test 13). Run it as it is, or make"),
        (items(split=lambda i: str(i % 5)), {}, "'0' in rows 2, 3, 4, 5, 6 and 35 more is no split. Mend it"),
        (items(split=lambda i: ["valid", "test"][i % 2]), {}, "it has no train"),
        (items(), {"by": "artst"}, "--by artst: "),
        (items(), {"by": "artst"}, "did you mean 'artist'?"),
        (items(), {"group": "album"}, "names the group 'album': "),
        (items(artist=""), {"by": "artist"}, "which is empty in rows 2, 3, 4, 5, 6 and 35 more: fill these cells"),
        (items(artist=lambda i: f"a{i % 4}"), {"by": "artist"}, "it has 4 groups (artist), and 5 are the least"),
        (items(4), {}, "it has 4 items, and 5 are the least"),
        (items(mood=lambda i: "" if i == 3 else "x"), {}, "row 5: the mood is empty"),
        (items(mood="x"), {}, "all items of 'mine' are of one class"),
        (items(mood=lambda i: "1" if i else "?"), {"kind": "regression"}, "row 2: mood is '?', not a finite number"),
        (items(), {"labels": ("calm", "dark")}, "label 'wild' is not in the card's labels"),
        (items(), {"target": "tempo"}, "lacks the column(s) tempo that the card 'mine' names"),
        (items(6, mood=lambda i: f"m{i}", artist=str), {}, "label(s) would be in valid or test"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_says_what_to_do(split, rows, options, words):
    with pytest.raises(TaskError) as error:
        split(rows, **options)
    assert words in str(error.value)


def test_another_split_is_made_where_that_is_asked_for(split):
    rows, _ = split(items(**WHOLE), anew=True)
    assert Counter(row["split"] for row in rows) == {"train": 32, "valid": 4, "test": 4}


@pytest.mark.parametrize(
    ("text", "shares"), [("0.8,0.1,0.1", SHARES), ("80,10,10", SHARES), (".5,.25,.25", (0.5, 0.25, 0.25))]
)
def test_shares(text, shares):
    assert parse_shares(text) == pytest.approx(shares)


@pytest.mark.parametrize("text", ["", "0.8,0.2", "0.8,0.2,0", "0.5,0.5,0.5", "a,b,c", "1.2,-0.1,-0.1", "nan,1,1"])
def test_shares_that_are_none_are_refused(text):
    with pytest.raises(TaskError, match=r"--shares .* three numbers above 0 whose sum is 1, such as 0\.8,0\.1,0\.1"):
        parse_shares(text)
