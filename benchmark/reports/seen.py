"""Which records are of an encoder that was trained on the collection of their task, as its card says.

A card that says nothing proves nothing: only what is known is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.system.home import home_folder
from results.record import Record

if TYPE_CHECKING:
    from benchmark.encoders.cards.listing import Named


def seen_of(records: Iterable[Record], home: Path | None = None) -> frozenset[tuple[str, str]]:
    """Return task and row of each record whose encoder has seen the task's collection in its training.

    Args:
        records: The records.
        home: The data home, whose cards count too.

    Raises:
        UserError: A card is not valid.
    """
    from benchmark.encoders.cards.listing import encoder_cards
    from tasks.registry import builtin_tasks

    trained = _trained_on(encoder_cards(home_folder(home)))
    collections = {task: found.collection for task, found in builtin_tasks().items()}
    return frozenset(
        (record.task.id, record.name)
        for record in records
        if collections.get(record.task.id) in trained.get(base_name(record.encoder.id), ())
    )


def base_name(encoder: str) -> str:
    """Return an encoder's name without its options and, of the hub, without its revision.

    >>> base_name("hf:m-a-p/MERT-v1-95M@0e10b04?layer=7")
    'hf:m-a-p/MERT-v1-95M'
    """
    name = encoder.partition("?")[0]
    return name.partition("@")[0] if name.startswith("hf:") else name


def _trained_on(cards: Mapping[str, Named]) -> dict[str, tuple[str, ...]]:
    """Return the collections that an encoder has seen, by each name that it may have in a record."""
    found: dict[str, tuple[str, ...]] = {}
    for named in cards.values():
        card = named.card
        names = [card.id, *card.aliases, *([f"hf:{card.repository}"] if card.repository else [])]
        found.update(dict.fromkeys(names, card.trained_on))
    return found
