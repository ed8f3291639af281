"""Cards, manifests and splits of one's own are written, and nothing of the user's is written over."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.datasets.data import verify
from benchmark.datasets.own import new_card, quoted, split_beside, split_card
from benchmark.errors import UserError
from tasks import registry
from tasks.errors import TaskError
from tasks.own.targets import Named

ASKED = {"root": None, "allow_unlabelled": 0, "overwrite": False}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of twelve short tones of two labels by six artists, with a table; the test runs beside it."""
    monkeypatch.chdir(tmp_path)
    rows = ["path;tone;artist"]
    for label, pitch in (("low", 220), ("high tone", 1760)):
        (tmp_path / "tones" / label).mkdir(parents=True)
        for i in range(6):
            soundfile.write(tmp_path / "tones" / label / f"{i}.wav", np.sin(np.arange(4000) * pitch / 1273), 8000)
            rows.append(f"{label}\\{i}.wav;{label};artist {i}")
    (tmp_path / "tones" / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def split(**options):
    asked = {"by": None, "shares": "0.5,0.25,0.25", "seed": 0, "overwrite": False} | options
    return split_card("card.toml", asked.pop("by"), asked.pop("shares"), asked.pop("seed"), **asked)


@pytest.mark.parametrize(("source", "by"), [("tones", None), ("tones/t.csv", "artist")])
def test_from_a_source_to_items_with_a_split(folder, source, by):
    text = new_card(Path(source), Path("card.toml"), Named(), **ASKED)
    assert "card.toml and card.manifest.csv written" in text
    assert text.endswith("Next: bench data split card.toml")
    text = split(by=by)
    assert text.startswith("card.split.csv written, with the column 'split'; card.toml names it as its manifest")
    assert "card.manifest.csv is as it was." in text
    assert "Next: bench run -e logmel -t card.toml" in text
    (task,) = registry.find("card.toml")
    items = task.items(folder / "home")
    assert items.counts() == {"train": 6, "valid": 3, "test": 3} if by is None else sum(items.counts().values()) == 12
    assert (items.groups is not None) == (by is not None)
    assert task.card.manifest == "card.split.csv"


def test_counts_by_class_are_printed_and_thin_splits_warned_about(folder):
    new_card(Path("tones"), Path("card.toml"), Named(), **ASKED)
    lines = split().splitlines()
    assert [line.split() for line in lines if line.startswith(("high tone", "low", "items"))][-1] == [
        "items",
        "6",
        "3",
        "3",
    ]
    assert any(line.startswith("warning: test has 3 items: a score of so few says little") for line in lines)


def test_nothing_is_written_over_unless_that_is_asked_for(folder):
    source, card = Path("tones"), Path("card.toml")
    new_card(source, card, Named(), **ASKED)
    before = card.read_bytes()
    with pytest.raises(UserError, match=r"card\.toml and card\.manifest\.csv are there already: .*--overwrite"):
        new_card(source, card, Named(), **ASKED)
    card.unlink()
    with pytest.raises(UserError, match=r"card\.manifest\.csv is there already"):
        new_card(source, card, Named(), **ASKED)
    assert not card.exists()
    new_card(source, card, Named(), **ASKED | {"overwrite": True})
    assert card.read_bytes() == before
    Path("card.split.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"card\.split\.csv is there already: write it anew with --overwrite"):
        split()
    assert Path("card.split.csv").read_text(encoding="utf-8") == "mine"
    assert card.read_bytes() == before


def test_a_split_again_needs_a_word_and_differs_with_the_seed(folder):
    new_card(Path("tones"), Path("card.toml"), Named(), **ASKED)
    split()
    first = Path("card.split.csv").read_bytes()
    with pytest.raises(TaskError, match=r"has a split already \(train 6, valid 3, test 3\)"):
        split(seed=1)
    split(seed=1, overwrite=True)
    assert Path("card.split.csv").read_bytes() != first
    split(overwrite=True)
    assert Path("card.split.csv").read_bytes() == first


def test_the_users_table_is_never_changed(folder):
    table = Path("tones") / "mine.csv"
    table.write_text("path,tone\n" + "".join(f"low/{i}.wav,{'ab'[i % 2]}\n" for i in range(6)), encoding="utf-8")
    before = table.read_bytes()
    text = new_card(table, Path("card.toml"), Named(), **ASKED)
    assert text.splitlines()[-2].startswith("card.toml written")
    assert "tones/mine.csv is as it was." in split()
    assert table.read_bytes() == before
    assert (Path("tones") / "mine.split.csv").is_file()


@pytest.mark.parametrize(
    ("source", "card", "named", "options", "words"),
    [
        ("tones", "card.csv", {}, {}, "the file of a card ends in .toml: write it such as card.toml"),
        ("tones", "c.toml", {"target": "x"}, {}, "--target: tones is a folder"),
        ("tones", "c.toml", {}, {"root": "tones"}, "--root: tones is a folder"),
        ("tones/t.csv", "c.toml", {}, {"root": "none"}, "--root none: there is no such folder"),
        ("tones", "tones/t.csv/c.toml", {}, {}, "cannot write"),
    ],
)
def test_what_is_asked_wrongly_is_refused(folder, source, card, named, options, words):
    options = {key: Path(value) for key, value in options.items()}
    with pytest.raises(UserError) as error:
        new_card(Path(source), Path(card), Named(**named), **ASKED | options)
    assert words in str(error.value)


def test_a_manifest_is_not_written_over_its_source(folder):
    Path("tones/t.csv").rename("card.manifest.csv")
    before = Path("card.manifest.csv").read_bytes()
    with pytest.raises(UserError, match="would be written over the source itself"):
        new_card(
            Path("card.manifest.csv"), Path("card.toml"), Named(), **ASKED | {"overwrite": True, "root": Path("tones")}
        )
    assert Path("card.manifest.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["demo_key", "demo"])
def test_published_splits_are_kept(name):
    with pytest.raises(UserError, match="has the split of its publishers, which is kept"):
        split_card(name, None, "0.8,0.1,0.1", 0, overwrite=False)


def test_where_a_split_goes_and_how_paths_are_quoted(tmp_path):
    assert split_beside(tmp_path / "a.split.csv").name == "a.split.csv"
    assert quoted("a b") == "'a b'"


def test_verify_tells_missing_damaged_and_short_by_split_and_class(folder, capsys):
    new_card(Path("tones"), Path("card.toml"), Named(), **ASKED)
    split()
    (task,) = registry.find("card.toml")
    items = task.items(folder / "home")
    rows = {split: items.rows(split).tolist() for split in ("train", "valid", "test")}
    items.audio[rows["train"][0]].unlink()
    items.audio[rows["valid"][0]].write_bytes(b"")
    items.audio[rows["valid"][1]].write_bytes(b"<html>")
    soundfile.write(items.audio[rows["test"][0]], np.zeros(100), 8000)
    findings = list(verify("card.toml", folder / "home"))
    assert sum(finding.is_error for finding in findings) == 3
    (table,) = [finding.text for finding in findings if finding.text.startswith("split")]
    cells = [line.split() for line in table.splitlines()]
    assert cells[0] == ["split", "class", "missing", "damaged", "short", "of"]
    assert ["train", "all", "1", "0", "0", "6"] in cells
    assert ["valid", "all", "0", "2", "0", "3"] in cells
    assert ["test", "all", "0", "0", "1", "3"] in cells
    assert any(finding.text == "  warning: test has 3 items: a score of so few says little, whatever its interval"
               for finding in findings)  # fmt: skip


class TestFolds:
    @pytest.mark.parametrize(("source", "by"), [("tones", None), ("tones/t.csv", "artist")])
    def test_from_a_source_to_items_with_folds(self, folder, source, by):
        new_card(Path(source), Path("card.toml"), Named(), **ASKED)
        text = split(by=by, shares=None, folds=3)
        assert text.startswith("card.folds.csv written, with the column 'fold'; card.toml names it as its manifest")
        (task,) = registry.find("card.toml")
        items = task.items(folder / "home")
        assert items.folds == ("1", "2", "3")
        assert items.counts() == {"1": 4, "2": 4, "3": 4}
        for fold in items.folds:
            held = items.targets[items.rows(fold)]
            assert sorted(held.tolist()) == [0, 0, 1, 1]
        if by is not None:
            folds_of = {}
            for group, fold in zip(items.groups, items.splits, strict=True):
                folds_of.setdefault(group, set()).add(fold)
            assert all(len(folds) == 1 for folds in folds_of.values())
        text = Path("card.toml").read_text(encoding="utf-8")
        assert "# each fold is test once, the next one validation" in text
        assert "# its audio file" in text  # other comments stay

    def test_a_split_may_become_folds_and_other_folds(self, folder):
        new_card(Path("tones"), Path("card.toml"), Named(), **ASKED)
        split()
        assert "with the column 'fold'" in split(shares=None, folds=3)
        again = split(shares=None, folds=4, overwrite=True)
        assert "with the column 'fold 2'" in again or "'fold_2'" in again or "'fold2'" in again
        assert len(registry.find("card.toml")[0].items(folder / "home").folds) == 4

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"folds": 2, "shares": None}, "give 3 at least"),
            ({"folds": 7, "shares": None}, "it has 12 items, and 14 are the least, two for each"),
            ({"folds": 3}, "--shares are those of train, valid and test, and folds have one size"),
            ({"folds": 3, "shares": None, "by": "composer"}, "no such column"),
        ],
    )
    def test_what_cannot_be_is_refused(self, folder, options, message):
        new_card(Path("tones"), Path("card.toml"), Named(), **ASKED)
        with pytest.raises((UserError, TaskError), match=message):
            split(**options)
        assert not Path("card.folds.csv").exists()
