"""The Million Song Dataset: six multilabel tasks on its 7digital previews, which users must own.

``msds`` is the conventional top-50 split, ``msd50``, ``msd100`` and ``msd500`` are cleaned tags with artists split,
``mumu`` has the genres of albums and ``amm`` their moods. What each annotation file is, and how it is read, is in
`tasks.collections.msd.tags`; where the audio of a track lies, in `tasks.collections.msd.paths`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.card import TaskCard
from tasks.collections.msd import tags
from tasks.collections.msd.paths import audio_paths
from tasks.errors import TaskError
from tasks.items import Items

READERS: Mapping[str, Callable[[TaskCard, Path], tags.Tagged]] = {
    "msds": tags.read_msds,
    "msd50": tags.read_cleaned,
    "msd100": tags.read_cleaned,
    "msd500": tags.read_cleaned,
    "mumu": tags.read_mumu,
    "amm": tags.read_amm,
}


def items(card: TaskCard, root: Path) -> Items:
    """Return the items of a task on the Million Song Dataset: train, valid, test, each in the order of its source.

    Raises:
        TaskError: An annotation file is missing, damaged, or does not fit the others; the message says which, where,
            and what to do.
    """
    if card.id not in READERS:
        raise TaskError(
            f"the collection msd has no task {card.id!r}",
            f"write one of {', '.join(READERS)} as id into the card",
        )
    tagged = READERS[card.id](card, root)
    return Items(
        tuple(tagged.track_ids),
        tuple(tagged.splits),
        audio_paths(root, tagged.track_ids),
        None if tagged.groups is None else tuple(tagged.groups),
        tagged.targets,
        tagged.labels,
    )
