"""Whether an encoder is what its card says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmark.encoders.base import Encoder
from benchmark.encoders.options import text_of

if TYPE_CHECKING:
    from benchmark.encoders.cards.card import EncoderCard

#: What an encoder says of itself, by the key of its card.
FACTS = ("sample_rate", "channels", "dim", "layers", "normalize", "window_seconds", "hop_seconds")


def disagreements(card: EncoderCard, encoder: Encoder, but: Iterable[str]) -> list[str]:
    """Return what a card and a model that was opened say differently, in words.

    Args:
        card: The card; what it leaves out is not compared.
        encoder: The encoder.
        but: Options that the user chose, in place of the card's.
    """
    facts, told, chosen = encoder.facts(), [], frozenset(but)
    for key in FACTS:
        said = getattr(card, key)
        if said is None or key not in facts or key.removesuffix("_seconds") in chosen:
            continue
        is_said = None if said == "track" else said
        if key == "hop_seconds" and "window" in chosen:
            continue
        if is_said != facts[key]:
            shown = "track" if key == "window_seconds" and facts[key] is None else facts[key]
            told.append(f"{key} is {text_of(said)} on the card and {text_of(shown)} in the model")
    return told
