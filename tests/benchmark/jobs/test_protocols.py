"""From a task's card to its protocol."""

import pytest

from benchmark.errors import UserError
from benchmark.jobs.protocols import protocol_of
from probes import protocol as of_probes
from tasks import registry
from tasks.card import Columns, ProbeSettings, TaskCard


@pytest.fixture(autouse=True)
def unchanged(monkeypatch, quick_protocol):
    """These tests are about the protocols as they are."""
    from benchmark.jobs import protocols

    monkeypatch.setattr(protocols, "protocol_for", of_probes.protocol_for)


def card_with(**changes):
    columns = Columns(id="id", audio="path", split="split", target="tone")
    return TaskCard(
        **{
            "id": "mine", "title": "Mine", "kind": "multiclass", "metrics": ("accuracy",), "columns": columns,
            "manifest": "m.csv", **changes,
        }
    )  # fmt: skip


def test_a_card_without_a_probe_has_the_default():
    protocol = protocol_of("paper", card_with())
    assert (protocol.hidden, protocol.dropout, protocol.batch_size) == (((512,),), (0.5,), (256,))
    assert protocol.section == "default"


def test_the_probe_that_a_card_asks_for():
    rule = ProbeSettings(hidden=(16, 8), dropout=0.1, batch_size=32)
    protocol = protocol_of("paper", card_with(probe=rule))
    assert (protocol.hidden, protocol.dropout, protocol.batch_size) == (((16, 8),), (0.1,), (32,))
    assert (protocol.first[0].hidden, protocol.first[0].batch_size) == ((16, 8), 32)
    assert protocol_of("open", card_with(probe=rule)).hidden[0] == (16, 8)


def test_groups_find_the_section():
    assert protocol_of("paper", card_with(groups=("demo",))).section == "demo"


def test_cards_of_the_paper_have_their_sections_and_published_settings_first():
    for name in registry.groups()["paper"]:
        card = registry.find(name)[0].card
        assert card.probe is None
        protocol = protocol_of("paper", card)
        assert protocol.section == name
        assert protocol.first
        (published,) = protocol_of("published:musicset-ularge", card).first
        assert published.hidden in protocol.hidden


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quik", "did you mean 'quick'"),
        ("published:musicset-ularge", "no settings for the task 'mine'"),
        ("published:musicset-ulage", "did you mean published:musicset-ularge"),
        ("", "name one of paper, quick, open, jukemir"),
    ],
)
def test_what_there_is_not_is_the_users_to_mend(name, message):
    with pytest.raises(UserError, match=message):
        protocol_of(name, card_with())
