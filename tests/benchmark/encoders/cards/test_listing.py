"""The cards of this package, and those of a data home."""

import re

import pytest

from benchmark.encoders import registry
from benchmark.encoders.cards.listing import HERE, card_named, encoder_cards
from benchmark.encoders.published.weights import WEIGHTS, encoder_class
from benchmark.errors import UserError
from tasks.registry import builtin_tasks

NAMED = {
    "mert-v1-95m", "mert-v1-330m", "music2vec", "clap-htsat-unfused", "clap-music", "ast-audioset", "encodec-24k",
    "dac-44k", "wavlm-base", "hubert-base", "whisper-small", "mert-v2-30s", "mert-v2-fullsong", "muq-large-msd",
    "muq-mulan", "dasheng-base", "musicfm-msd", "omar-rq", "openbeats", "maest",
}  # fmt: skip


@pytest.fixture
def cards(home):
    return encoder_cards(home)


def test_every_card_is_named_by_its_file(cards):
    assert set(cards) == {path.stem for path in HERE.glob("*.toml")}
    assert {*NAMED, *WEIGHTS} <= set(cards)


def test_every_card_says_what_opens_it_or_why_nothing_does(cards):
    for named in cards.values():
        card = named.card
        if card.elsewhere is not None:
            assert card.elsewhere.env.startswith("env:")
            continue
        assert card.is_on_hub or card.id in registry.BUILTIN or card.id in registry.PUBLISHED
        assert card.licence.weights


def test_a_commit_that_nobody_checked_is_marked(cards):
    """None of the hub could be asked while the cards were written."""
    for named in cards.values():
        if named.card.revision is not None:
            assert {"opens", "commit"} & set(named.card.unverified), named.card.id


def test_collections_that_an_encoder_has_seen_are_ours(cards):
    known = {task.collection for task in builtin_tasks().values()}
    for named in cards.values():
        assert set(named.card.trained_on) <= known
    assert cards["musicnn-mtt"].card.trained_on == ("mtt",)
    assert cards["muq-large-msd"].card.trained_on == ("msd",)


@pytest.mark.parametrize("name", WEIGHTS)
def test_cards_of_what_is_built_in_say_what_the_classes_declare(cards, name):
    card, declared = cards[name].card, encoder_class(name)
    assert card.opens == name
    assert (card.sample_rate, card.channels, card.dim) == (declared.sample_rate, declared.channels, declared.dim)
    window = declared.window_seconds
    assert card.window_seconds == ("track" if window is None else window)
    assert re.split("[ -]", card.licence.weights or "")[0] in WEIGHTS[name].licence


def test_entries_to_cite_are_whole(cards):
    for named in cards.values():
        entry = named.card.bibtex.strip()
        if entry:
            assert re.match(r"@\w+\{[\w-]+,\n", entry)
            assert entry.count("{") == entry.count("}")


def test_an_alias_names_a_card(cards):
    assert card_named("muq", cards).card.id == "muq-large-msd"
    assert card_named("mert-v1-95m", cards) is cards["mert-v1-95m"]
    assert card_named("logmel", cards) is None


def test_cards_of_the_user_stand_behind(home, write_card):
    path = write_card("mine", aliases=["my-own"])
    cards = encoder_cards(home)
    assert list(cards)[-1] == "mine"
    assert (cards["mine"].path, cards["mine"].built_in) == (path, False)
    assert card_named("my-own", cards) is cards["mine"]


@pytest.mark.parametrize("name", ["mert-v1-95m", "muq", "musicnn-msd"])
def test_two_cards_of_one_name_are_refused(home, write_card, name):
    write_card(name)
    with pytest.raises(UserError, match=rf"{name}.toml calls its encoder '{name}', and so does .*give it another name"):
        encoder_cards(home)


def test_a_card_does_not_take_the_name_of_a_built_in_encoder(home, write_card):
    write_card("mine", aliases=["logmel"])
    with pytest.raises(UserError, match="calls its encoder 'logmel', which is a built-in one"):
        registry.cards_here(home)
