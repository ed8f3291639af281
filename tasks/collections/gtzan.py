"""GTZAN, fault-filtered: 930 of its 1,000 excerpts of 30 s in ten genres, with the split of Kereliuk et al. 2015.

The split is three lists of paths such as ``blues/blues.00029.wav``. The audio may lie in ``genres/`` (the original
archive), ``genres_original/`` or ``Data/genres_original/`` (the Kaggle copy), or in the root itself, as WAV or AU.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tasks.card import SPLITS, TaskCard
from tasks.items import Items
from tasks.readers.tables import Ids, label_indices, read_lines
from tasks.sources.layout import choose_folder

FOLDERS = ("genres", "genres_original", "Data/genres_original")
LINE = re.compile(r"(?P<folder>[a-z]+)/(?P<id>(?P<genre>[a-z]+)\.[0-9]{5})\.(?:wav|au)")


def items(card: TaskCard, root: Path) -> Items:
    """Return the excerpts of train, valid and test in the order of the lists; there are no groups.

    Raises:
        TaskError: A list that is missing or cannot be used, named with the line.
    """
    index = label_indices(card)
    ids, splits, targets, audio = Ids(), [], [], []
    folder = choose_folder(root, FOLDERS, index)
    for split in SPLITS:
        for record in read_lines(root / f"{split}_filtered.txt"):
            found = LINE.fullmatch(record.text("line"))
            if found is None or found["folder"] != found["genre"]:
                raise record.error(f"{record.text('line')!r} is not a path such as 'blues/blues.00029.wav'")
            if found["genre"] not in index:
                raise record.error(f"the genre {found['genre']!r} is not one of the card's labels")
            ids.take(found["id"], record)
            splits.append(split)
            targets.append(index[found["genre"]])
            audio.append(_audio(folder / found["genre"], found["id"]))
    return Items(tuple(ids.taken), tuple(splits), tuple(audio), None, np.array(targets, np.int64), tuple(index))


def _audio(folder: Path, name: str) -> Path:
    wav, au = folder / f"{name}.wav", folder / f"{name}.au"
    return (au if not wav.exists() and au.exists() else wav).absolute()
