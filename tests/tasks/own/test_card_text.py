"""Cards that are written with comments, and changed without losing them."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.card import Columns, TaskCard, read_card
from tasks.errors import TaskError
from tasks.files import toml_value
from tasks.own.card_text import CardDraft, card_text, identifier, with_split


def draft(**other):
    given = {
        "id": "mine", "title": "Mine", "kind": "multiclass", "metrics": ("accuracy",), "other_metrics": (),
        "manifest": "card.manifest.csv", "id_column": "id", "audio_column": "path", "split_column": "split",
        "targets": ("mood",), "group": None, "command": "bench tasks new mine",
    }  # fmt: skip
    return CardDraft(**(given | other))


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"kind": "multilabel", "metrics": ("map", "roc_auc"), "group": "the artist"},
        {"kind": "regression", "targets": ("valence", "arousal"), "metrics": ("r2_valence", "r2_arousal")},
        {"title": 'Sagt "ja"\\', "manifest": "a b/ü 'x'.csv", "id_column": '"', "targets": ("#",)},
    ],
)
def test_a_new_card_is_read_and_says_of_each_key_what_it_is(tmp_path, other):
    wanted = draft(**other)
    text = card_text(wanted)
    (tmp_path / "card.toml").write_text(text, encoding="utf-8")
    card = read_card(tmp_path / "card.toml")
    assert (card.id, card.title, card.kind, card.metrics, card.manifest) == (
        wanted.id, wanted.title, wanted.kind, wanted.metrics, wanted.manifest,
    )  # fmt: skip
    assert card.targets == wanted.targets
    assert card.columns.group == wanted.group
    assert all("#" in line for line in text.splitlines() if line)
    assert "hidden = []" in text


def test_keys_in_comments_are_those_of_cards(tmp_path):
    """What a person uncomments has to be read."""
    lines = card_text(draft(group="artist")).splitlines()
    shown = "\n".join(line.removeprefix("# ") if " = " in line and "labels = [" not in line else line for line in lines)
    shown = shown.replace("# [probe]", "[probe]")
    (tmp_path / "card.toml").write_text(shown, encoding="utf-8")
    card = read_card(tmp_path / "card.toml")
    assert (card.probe.hidden, card.window_seconds, card.distinct_groups) == ((), 3.0, True)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_toml(text):
    assert tomllib.loads(f"x = {toml_value(text)}") == {"x": text}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a b", "a_b"), ("..", "my_task"), ("1-2.3", "1-2.3"), ("ä", "my_task"), ("x" * 300, "x" * 100)],
)
def test_identifiers(name, expected):
    assert identifier(name) == expected


INLINE = """\
id = "mine"
title = "Mine"  # of manifest = "x"
kind = "multiclass"
metrics = ["accuracy"]
manifest = 'm.csv' # keep
columns = { id = "id", audio = "path", split = "split", target = "mood" }
"""


def card_of(text, tmp_path):
    (tmp_path / "card.toml").write_text(text, encoding="utf-8")
    return read_card(tmp_path / "card.toml")


@pytest.mark.parametrize(
    "text",
    [
        INLINE,
        INLINE.replace(' target = "mood" }', ' target = "mood", group = "album" }  # so'),
        card_text(draft(manifest="m.csv")),
        card_text(draft(manifest="m.csv", group="album")),
        card_text(draft(manifest="m.csv")).replace("# [probe] ", "[probe] ").replace("# dropout", "dropout"),
        INLINE.replace("columns = { id", "columns = { target = 'mood', id")
        .replace(', target = "mood" }', ", }")
        .replace(", }", "}"),
    ],
)
def test_a_split_changes_two_keys_and_keeps_comments(tmp_path, text):
    card = card_of(text, tmp_path)
    changed = with_split(text, card, "m.split.csv", "the artist")
    after = card_of(changed, tmp_path)
    assert after.manifest == "m.split.csv"
    assert after.columns.group == "the artist"
    assert after.model_copy(update={"manifest": card.manifest, "columns": card.columns}) == card
    assert [line for line in text.splitlines() if "title" in line] == [
        line for line in changed.splitlines() if "title" in line
    ]
    assert card_of(with_split(text, card, "m.split.csv", None), tmp_path).columns == card.columns


def test_a_card_of_another_form_is_not_changed_but_said_what_to_write(tmp_path):
    text = INLINE.replace("manifest = 'm.csv'", "manifest = '''m.csv'''")
    with pytest.raises(
        TaskError, match=r'Write manifest = "n.csv" and group = "artist" to its columns into it yourself'
    ):
        with_split(text, card_of(text, tmp_path), "n.csv", "artist")
    assert isinstance(card_of(text, tmp_path), TaskCard)
    assert isinstance(card_of(text, tmp_path).columns, Columns)
