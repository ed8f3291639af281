"""What was fetched of the hub for a named encoder: where it lies, and whether it is still what was fetched.

``<home>/encoders/<id>/<commit>/`` holds the files, ``<home>/encoders/<id>/fetched.json`` what they are.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.encoders.cards.card import COMMIT, EncoderCard
from benchmark.encoders.cards.listing import FOLDER, Named
from benchmark.errors import UserError
from benchmark.system.descriptions import read_description
from benchmark.system.files import content_hash

RECORD = "fetched.json"


class FetchedFile(BaseModel):
    """A file as it was fetched: its bytes, their sha256, and when it was written (by which a change is suspected)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    mtime_ns: int


class Fetched(BaseModel):
    """A commit of the hub that was fetched whole.

    Attributes:
        hub: The model's id there.
        commit: Its full commit.
        by_hand: Whether the user named the commit, in place of the card's.
        files: By name.
        code: Files whose code opening the encoder runs, which the user allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    hub: str
    commit: Annotated[str, Field(pattern=COMMIT)]
    by_hand: bool = False
    files: dict[str, FetchedFile]
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the files of a card's encoder lie, and what is known of them; ``None`` before they are fetched."""

    folder: Path
    fetched: Fetched | None

    @property
    def files(self) -> Path:
        """The folder of the commit that is here."""
        assert self.fetched is not None
        return self.folder / self.fetched.commit


def place_of(card: EncoderCard, home: Path) -> Place:
    """Return where the files of an encoder lie, and what was fetched.

    Raises:
        UserError: The note of what was fetched cannot be read.
    """
    folder = home / FOLDER / card.id
    path = folder / RECORD
    if not path.is_file():
        return Place(folder, None)
    try:
        return Place(folder, Fetched.model_validate_json(json.dumps(read_description(path))))
    except (OSError, ValueError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{path} does not say what was fetched ({reason})",
            f"Delete the folder and fetch it again: bench encoders fetch {card.id}",
        ) from None


def is_here(card: EncoderCard, home: Path) -> bool:
    """Say whether the files that the card names were fetched; their bytes are not read."""
    try:
        place = place_of(card, home)
    except UserError:
        return False
    if place.fetched is None or not _is_meant(card, place.fetched):
        return False
    return all((place.files / name).is_file() for name in place.fetched.files)


def sound_files(named: Named, home: Path) -> Place:
    """Return the place of an encoder's files, after looking at each.

    A file of the size and time that it was written with is taken as it is; any other, and all code, is read.

    Raises:
        UserError: They were not fetched, are of another commit than the card's, or one is not what was fetched.
    """
    card = named.card
    place, again = place_of(card, home), f"bench encoders fetch {card.id}"
    if place.fetched is None:
        raise UserError(f"the encoder {card.id!r} has no weights yet", f"Fetch them with: {again}")
    if not _is_meant(card, place.fetched):
        raise UserError(
            f"the card {named.path} names {card.repository} at {card.revision or 'any commit'}, but "
            f"{place.fetched.hub} at {place.fetched.commit} was fetched",
            f"Fetch what it names: {again}",
        )
    for name, file in place.fetched.files.items():
        problem = _problem(place.files / name, file, read=name in place.fetched.code)
        if problem:
            raise UserError(
                f"{place.files / name} is not what was fetched: {problem}",
                f"Delete it and fetch it again: {again}",
            )
    if card.runs_code and not place.fetched.code:
        raise UserError(
            f"the encoder {card.id!r} runs code that comes with it, and nothing here says that you allowed that",
            f"Fetch it again: {again}",
        )
    return place


def note(place: Place, fetched: Fetched) -> Place:
    """Write down what was fetched, whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    path = place.folder / RECORD
    scratch = path.with_name(f".{RECORD}.{os.getpid()}")
    try:
        scratch.write_text(fetched.model_dump_json(indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error})", "make room, or let it be written"
        ) from None
    return replace(place, fetched=fetched)


def described(path: Path) -> FetchedFile:
    """Return what is noted of a file that was fetched and checked."""
    state = path.stat()
    return FetchedFile(size=state.st_size, sha256=content_hash(path), mtime_ns=state.st_mtime_ns)


def _is_meant(card: EncoderCard, fetched: Fetched) -> bool:
    if fetched.hub != card.repository:
        return False
    return fetched.by_hand or card.revision in (None, fetched.commit)


def _problem(path: Path, file: FetchedFile, *, read: bool) -> str:
    try:
        state = path.stat()
    except OSError as error:
        return f"it cannot be found ({error.strerror or error})"
    if state.st_size != file.size:
        return f"it has {state.st_size:,} bytes, and {file.size:,} were fetched"
    if (read or state.st_mtime_ns != file.mtime_ns) and (digest := content_hash(path)) != file.sha256:
        return f"its sha256 is {digest}, and {file.sha256} was fetched"
    return ""
