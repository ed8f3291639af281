"""All encoder cards: those of this package, and those that a user keeps in ``<home>/encoders``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmark.encoders.cards.card import EncoderCard, read_encoder_card
from benchmark.errors import UserError

HERE = Path(__file__).resolve().parent
#: Below the data home: cards of the user's own, beside the folders of fetched weights.
FOLDER = "encoders"


@dataclass(frozen=True)
class Named:
    """A card, the file that it was read from, and whether it is one of this package."""

    card: EncoderCard
    path: Path
    built_in: bool


def encoder_cards(home: Path) -> dict[str, Named]:
    """Return all cards by their id: those of this package in order of their ids, then the user's.

    Raises:
        UserError: A card is not valid, or two have an id or an alias in common.
    """
    cards: dict[str, Named] = {}
    owners: dict[str, Path] = {}
    for named in [*_built_in(), *_own(home)]:
        for name in (named.card.id, *named.card.aliases):
            if name in owners:
                raise UserError(
                    f"{named.path} calls its encoder {name!r}, and so does {owners[name]}", "give it another name"
                )
            owners[name] = named.path
        cards[named.card.id] = named
    return cards


def card_named(name: str, cards: Mapping[str, Named]) -> Named | None:
    """Return the card whose id or alias ``name`` is."""
    if name in cards:
        return cards[name]
    return next((named for named in cards.values() if name in named.card.aliases), None)


@cache
def _built_in() -> tuple[Named, ...]:
    return tuple(Named(read_encoder_card(path), path, built_in=True) for path in sorted(HERE.glob("*.toml")))


def _own(home: Path) -> Iterator[Named]:
    for path in sorted((home / FOLDER).glob("*.toml")):
        yield Named(read_encoder_card(path), path, built_in=False)
