"""Encoders with published weights: where those come from, and the models of the paper that have none.

``bench encoders fetch NAME`` brings weights into ``<home>/encoders/<name>``; an encoder without them says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.encoders.base import Encoder
from benchmark.errors import UserError
from tasks.collection import Source
from tasks.download import fetch

FOLDER = "encoders"
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Weights:
    """What must be fetched for an encoder, and its licence in a sentence."""

    source: Source
    converted: str
    licence: str


WEIGHTS: Mapping[str, Weights] = {
    "musicset-ularge": Weights(
        Source(
            file="model.keras",
            what="annotations",
            urls=(
                "https://media.githubusercontent.com/media/PandoraMedia/music-audio-representations/main/"
                "supporting_data/model/model.keras",
            ),
            sha256="1da111d619bac0d422e41f153cbfb903f7ec3c5d3b2768f5d68f04452ed18180",
            size=251_054_764,
        ),
        "musicset-ularge.safetensors",
        "The weights are PandoraMedia's, under CC BY-NC 4.0: for non-commercial use, with attribution.",
    )
}

#: Models of the paper whose weights their authors did not publish, and the recipe that trains our own.
UNPUBLISHED = ("musicset-sup", "audioset-sup", "audioset-ularge", "musicset-usmall", "audioset-usmall")
ELSEWHERE = {"jukebox": "its weights are OpenAI's and live outside this package (5 billion parameters)"}


def fetch_weights(name: str, home: Path, *, remove_original: bool, progress: Progress | None = None) -> Path:
    """Download, check and convert the weights of ``name``; return the path of the converted file.

    Raises:
        UserError: There is nothing to fetch for ``name``, or the file is not what was expected.
        TaskError: The download failed; it can be resumed.
    """
    if name not in WEIGHTS:
        refuse_unpublished(name)
        raise UserError(f"there is nothing to fetch for {name!r}: weights can be fetched for {', '.join(WEIGHTS)}")
    from benchmark.encoders.mule.convert import convert

    weights, folder = WEIGHTS[name], home / FOLDER / name
    converted = folder / weights.converted
    if not converted.is_file():
        original = fetch(weights.source, folder, progress=progress)
        convert(original, converted)
    if remove_original:
        (folder / weights.source.file).unlink(missing_ok=True)
    return converted


def open_published(name: str, home: Path) -> Encoder:
    """Return the encoder ``name`` with the weights in ``home``.

    Raises:
        UserError: They are not there; the message is the command that fetches them.
    """
    path = home / FOLDER / name / WEIGHTS[name].converted
    if not path.is_file():
        raise UserError(f"the encoder {name!r} has no weights yet. Fetch them with:\n  bench encoders fetch {name}")
    from benchmark.encoders.mule.encoder import Mule

    return Mule(path, name)


def open_keras(path: Path, home: Path) -> Encoder:
    """Return the encoder of a user's own Keras file of the published layout, converted once into ``home``.

    Raises:
        UserError: The file is not of that layout.
    """
    if not path.is_file():
        raise UserError(f"no encoder file at {path}")
    from benchmark.encoders.mule.convert import convert
    from benchmark.encoders.mule.encoder import Mule

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    converted = home / FOLDER / "own" / f"{path.stem}-{digest[:16]}.safetensors"
    if not converted.is_file():
        convert(path, converted)
    return Mule(converted, path.stem)


def refuse_unpublished(name: str) -> None:
    """Refuse a model of the paper that nobody can load, with its scores and what can be done.

    Raises:
        UserError: ``name`` is such a model.
    """
    if name not in UNPUBLISHED and name not in ELSEWHERE:
        return
    from results.published import TITLES, table

    scores = [
        f"{task} {metric} {cell.value:.3f}"
        for title in TITLES
        for (model, task, metric), cell in table(title).cells.items()
        if model == name
    ]
    reason = ELSEWHERE.get(name, "its weights were never published")
    way = (
        ""
        if name in ELSEWHERE
        else f" The pre-training recipe {name!r}, which this version does not have yet, is to train it."
    )
    raise UserError(f"{name!r} is a model of the paper, but {reason}.{way}\nIts scores there: {', '.join(scores)}")
