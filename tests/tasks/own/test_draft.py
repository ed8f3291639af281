"""From folders and tables to a card and a manifest that the reader takes."""

import pytest

from tasks.card import read_card
from tasks.errors import TaskError
from tasks.own.draft import draft_of_folder, draft_of_table, free_name
from tasks.own.targets import Named
from tasks.readers.manifest import read_manifest
from tasks.sources.locations import missing_audio

SPLITS = ("train", "train", "train", "train", "valid", "valid", "test", "test")


@pytest.fixture
def made(tmp_path):
    """Write a table beside eight audio files, draft a card for it in another folder, and read its items."""
    (tmp_path / "data" / "audio").mkdir(parents=True)
    (tmp_path / "cards").mkdir()
    for i in range(8):
        (tmp_path / "data" / "audio" / f"a {i}.wav").touch()

    def made(text, **named):
        path = tmp_path / "data" / "mine.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        card = tmp_path / "cards" / "c.toml"
        draft = draft_of_table(path, card, "bench tasks new mine.csv", Named(**named))
        card.write_text(draft.card, encoding="utf-8")
        if draft.manifest is not None:
            draft.manifest_path.write_text(draft.manifest, encoding="utf-8")
        read = read_card(card)
        items = read_manifest(card.parent / read.manifest, read)
        assert missing_audio(items) == []
        return draft, read, items

    return made


def table(header, line, sign=","):
    """A table of eight rows; in a line ``i`` is the row, ``s`` the split, ``m`` a mood."""
    rows = [line.format(i=i, s=SPLITS[i], m=["calm", "wild"][i % 2]) for i in range(8)]
    return "\n".join([header, *rows, ""]).replace(",", sign)


@pytest.mark.parametrize(
    "text",
    [
        table("id,path,split,mood", "t{i},audio/a {i}.wav,{s},{m}"),
        table("path,mood,split", "audio/a {i}.wav,{m},{s}"),
    ],
)
def test_a_table_that_the_reader_takes_stays_alone(made, text):
    draft, card, items = made(text)
    assert draft.manifest is None
    assert card.manifest == "../data/mine.csv"
    assert items.labels == ("calm", "wild")
    assert draft.splits == {"train", "valid", "test"}


@pytest.mark.parametrize(
    ("text", "why", "ids"),
    [
        (table("id,path,split,mood", "t{i},audio/a {i}.wav,{s},{m}", ";"), "separated by semicolons", "t0"),
        (table("id,path,split,mood", "t{i},audio/a {i}.wav,{s},{m}", "\t"), "separated by tabs", "t0"),
        (table("id,path,split,mood", "t{i},audio\\a {i}.wav,{s},{m}"), "paths are not relative to it", "t0"),
        (table("id,path,split,mood", "t{i},C:\\x\\a {i}.wav,{s},{m}"), "paths are not relative to it", "t0"),
        (table("name,split,mood", "a {i},{s},{m}"), "paths are not relative to it", "a 0"),
        (table(",path,split,mood", "{i},audio/a {i}.wav,{s},{m}"), "a column has no name", "audio/a 0.wav"),
        (table("path,split,mood", "audio/a 0.wav,{s},{m}"), "it has no column of ids", "row-2"),
        (table("id,path,split,mood", "t{i},audio/a {i}.wav,{s},{m}").encode("utf-16"), "not plain CSV in UTF-8", "t0"),
    ],
)
def test_any_other_becomes_a_manifest_beside_the_card(made, text, why, ids):
    draft, card, items = made(text)
    assert any(why in note for note in draft.notes)
    assert card.manifest == "c.manifest.csv"
    assert (items.labels, items.track_ids[0], len(items)) == (("calm", "wild"), ids, 8)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (table("id,path,split,tags", 't{i},audio/a {i}.wav,{s},"{m}, loud"'), ("calm", "loud", "wild")),
        (table("id;path;split;tags", "t{i};audio/a {i}.wav;{s};['{m}']"), ("calm", "wild")),
        (table("id,path,split,loud,rock", "t{i},audio/a {i}.wav,{s},1,0").replace("1,0", "0,1", 3), ("loud", "rock")),
    ],
)
def test_labels_of_other_forms_get_bars_between_them(made, text, labels):
    text = text.replace('"wild, loud"', "wild", 2).replace('"calm, loud"', "calm", 1)
    draft, card, items = made(text)
    assert (card.kind, items.labels) == ("multilabel", labels)
    assert draft.manifest is not None


def test_numbers_with_a_decimal_comma(made):
    draft, card, items = made(table("id;path;split;valence", "t{i};audio/a {i}.wav;{s};7.5{i}").replace("7.5", "7,5"))
    assert (card.kind, card.metrics) == ("regression", ("r2_valence",))
    assert items.targets[3, 0] == pytest.approx(7.53)
    assert any("decimal comma" in note for note in draft.notes)


def test_what_rows_lack_is_told(tmp_path):
    (tmp_path / "b.wav").touch()
    (tmp_path / "m.csv").write_text("path,mood\na.wav,x\nb.wav,\nc.wav,X\nd.wav,y\ne.wav,y\n", encoding="utf-8")
    draft = draft_of_table(tmp_path / "m.csv", tmp_path / "c.toml", "x", Named())
    notes = "\n".join(draft.notes)
    assert (
        "4 of 5 audio files are not there, such as a.wav (rows 2, 4, 5, 6): if they lie elsewhere, say it with --root"
        in notes
    )
    assert "1 row(s) have no mood and will be refused: fill or remove them (row 3)" in notes
    assert "'X' and 'x' differ only in case" in notes


def test_one_class_and_bars_in_labels_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text("path,mood\na.wav,x\nb.wav,x\n", encoding="utf-8")
    with pytest.raises(TaskError, match=r"every row of .* has the same mood"):
        draft_of_table(tmp_path / "m.csv", tmp_path / "c.toml", "x", Named(target="mood"))
    (tmp_path / "m.csv").write_text("path,tags\na.wav,\"['x|y', 'z']\"\nb.wav,\"['z']\"\n", encoding="utf-8")
    with pytest.raises(TaskError, match=r"hold '\|', which separates labels"):
        draft_of_table(tmp_path / "m.csv", tmp_path / "c.toml", "x", Named(target="tags"))


@pytest.mark.parametrize("by_split", [False, True])
def test_a_folder_becomes_a_card_and_a_manifest(tmp_path, by_split):
    for split in ("train", "valid", "test") if by_split else ("",):
        for label in ("hip hop", "Müsik"):
            (tmp_path / "my music" / split / label).mkdir(parents=True)
            (tmp_path / "my music" / split / label / " 1.wav").touch()
    (tmp_path / "cards").mkdir()
    card = tmp_path / "cards" / "card.toml"
    draft = draft_of_folder(tmp_path / "my music", card, "bench tasks new 'my music'")
    card.write_text(draft.card, encoding="utf-8")
    draft.manifest_path.write_text(draft.manifest, encoding="utf-8")
    read = read_card(card)
    assert (read.id, read.title, read.kind, read.metrics) == ("my_music", "my music", "multiclass", ("accuracy",))
    if by_split:
        items = read_manifest(draft.manifest_path, read)
        assert (items.counts(), items.labels) == ({"train": 2, "valid": 2, "test": 2}, ("Müsik", "hip hop"))
        assert missing_audio(items) == []
    else:
        assert draft.splits == set()
        with pytest.raises(TaskError, match=r"has no column 'split', .* make a split with bench data split"):
            read_manifest(draft.manifest_path, read)


def test_free_names():
    assert free_name("id", ["a"]) == "id"
    assert free_name("id", ["id", "id_2"]) == "id_3"
