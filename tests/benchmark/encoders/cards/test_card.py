"""The encoder card: what it takes, and what its refusals say."""

import pytest

from benchmark.encoders.cards.card import EncoderCard, read_encoder_card
from benchmark.errors import UserError
from tests.benchmark.encoders.cards.conftest import COMMIT


def test_a_card_of_the_hub_says_id_and_commit_once(write_card):
    card = read_encoder_card(write_card(opens=f"hf:somebody/tiny@{COMMIT}?remote_code=1"))
    assert (card.repository, card.revision, card.is_on_hub, card.runs_code) == ("somebody/tiny", COMMIT, True, True)
    assert not read_encoder_card(write_card(opens="logmel")).is_on_hub


def test_a_card_of_another_environment_says_them_apart(write_card):
    there = {"reason": "it needs another torch", "env": "env:there/bin/python::mine.py:Mine"}
    card = read_encoder_card(write_card(opens=None, elsewhere=there, hub="somebody/tiny", commit=COMMIT))
    assert (card.repository, card.revision, card.is_on_hub) == ("somebody/tiny", COMMIT, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"opens": None}, "has either opens, or \\[elsewhere\\] with the reason"),
        ({"sample_rat": 16000}, r"sample_rat: unknown key; did you mean 'sample_rate'\?"),
        ({"sample_rate": None}, "sample_rate: is missing"),
        ({"sample_rate": "16000"}, "sample_rate: Input should be a valid integer"),
        ({"sample_rate": 16}, "sample_rate: Input should be greater than or equal to 1000"),
        ({"window_seconds": "long"}, "window_seconds: should be seconds, or 'track'"),
        ({"hop_seconds": 1.0, "window_seconds": "track"}, "hop_seconds needs window_seconds"),
        ({"aliases": ["bad"]}, "aliases name it twice"),
        ({"id": "../x"}, "id: String should match"),
        ({"opens": "hf:somebody/tiny@main"}, "opens has the revision 'main', which can move: write the full commit"),
        ({"opens": "hf:somebody/tiny?remote_code=1"}, "pin it by the full commit"),
        ({"opens": f"hf:somebody/tiny@{COMMIT}?window=3"}, "opens has window, which the card says in a key of its own"),
        ({"opens": "hf:"}, "nothing follows 'hf:'"),
        ({"hub": "somebody/tiny"}, "leave hub and commit out"),
        ({"opens": "logmel", "commit": COMMIT}, "hub and commit are for cards with"),
        ({"unverified": ["sha"]}, "unverified names 'sha', which is no key of a card"),
        ({"weights": {"file": "../up.bin"}}, "weights.file: String should match"),
        ({"weights": {"file": "a.bin", "sha256": "12"}}, "weights.sha256: String should match"),
        ({"licence": {"weight": "MIT"}}, r"licence.weight: unknown key; did you mean 'weights'\?"),
        ({"opens": None, "elsewhere": {"reason": "x", "env": "mine.py"}}, "elsewhere.env: String should match"),
    ],
)
def test_what_a_card_cannot_say(write_card, changes, message):
    path = write_card("bad", **changes)
    with pytest.raises(UserError, match=message) as caught:
        read_encoder_card(path)
    assert "bad.toml is not valid: mend these keys, which docs/encoders.md explains" in str(caught.value)


def test_a_file_that_is_no_card(home):
    path = home / "encoders" / "broken.toml"
    path.write_text("id = ")
    with pytest.raises(UserError, match=r"broken.toml"):
        read_encoder_card(path)


def test_nobody_changes_a_card(write_card):
    card = read_encoder_card(write_card())
    assert isinstance(card, EncoderCard)
    with pytest.raises(ValueError, match="frozen"):
        card.dim = 3


def test_licences_in_a_few_words(write_card):
    def shown(**licence):
        return read_encoder_card(write_card(licence=licence)).licences

    assert shown(weights="MIT", code="MIT") == "MIT"
    assert shown(weights="CC BY-NC 4.0", code="MIT") == "CC BY-NC 4.0 (code MIT)"
    assert shown(code="MIT") == "code MIT"
    assert read_encoder_card(write_card()).licences == "not known"
