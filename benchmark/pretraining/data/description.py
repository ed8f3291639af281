"""``store.json``: what a store says of itself, and whether that can be believed."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.errors import UserError
from benchmark.pretraining.data.shards import BANDS, DESCRIPTION, FORMAT, NEWER_FORMAT, WIDER_FORMAT, digest_of

FORMATS = (FORMAT, NEWER_FORMAT, WIDER_FORMAT)
AGAIN = "make it again with bench pretrain prepare"


class ShardCard(BaseModel):
    """A shard, in ``store.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^shard-[0-9]{5,}$")]  # of files in the store's own folder
    tracks: int
    frames: int
    sha256: str


class StoreCard(BaseModel):
    """``store.json``. ``tracks`` are the rows of the index: pieces of ``whole_tracks`` where these were cut.

    ``waveforms`` are the sha256 of the shards' waveforms, ``captions`` is that of what the source's captions are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    frontend: str
    bands: int
    tracks: int
    frames: int
    left_out: int
    labels: tuple[str, ...] | None
    ids: str
    arrays: dict[Annotated[str, Field(pattern=r"^[a-z_]+\.npy$")], str]
    shards: tuple[ShardCard, ...]
    fingerprint: str
    cut_seconds: float | None = None
    whole_tracks: int | None = None
    waveforms: tuple[str, ...] | None = None
    captions: str | None = None

    def expected_fingerprint(self) -> str:
        """Return the sha256 of all that the store says but its fingerprint."""
        newer = set() if self.cut_seconds is not None else {"cut_seconds", "whole_tracks"}
        return digest_of(self.model_dump(mode="json", exclude={"fingerprint", *newer, *self._absent()}))

    def content(self) -> bytes:
        """Return the content of ``store.json``."""
        return (self.model_dump_json(indent=1, exclude=self._absent()) + "\n").encode()

    def _absent(self) -> set[str]:
        """Return what a store without it does not speak of, as none did before there was any."""
        return {name for name in ("waveforms", "captions") if getattr(self, name) is None}


def read_card(path: str, content: bytes) -> StoreCard:
    """Return what ``store.json`` says.

    Args:
        path: The store, for messages.
        content: The file's.

    Raises:
        UserError: It is torn, of another version, changed, or of an empty store.
    """
    try:
        card = StoreCard.model_validate_json(content)
    except ValidationError as error:
        version = _version(content)
        if version not in (None, *FORMATS):
            raise _other_version(path, version) from None
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "content"
        raise UserError(f"{path}/{DESCRIPTION} is torn ({field}: {first['msg']})", AGAIN) from None
    if card.format not in FORMATS:
        raise _other_version(path, card.format)
    if card.fingerprint != card.expected_fingerprint():
        raise UserError(
            f"{path}/{DESCRIPTION} was changed: its fingerprint is of another content",
            f"Restore it, or {AGAIN}",
        )
    if card.bands != BANDS:
        raise UserError(f"the store {path} has {card.bands} bands, and networks take {BANDS}", AGAIN)
    if card.waveforms is not None and len(card.waveforms) != len(card.shards):
        raise UserError(f"{path}/{DESCRIPTION} has {len(card.shards)} shards and waveforms of another number", AGAIN)
    if not card.tracks:
        raise UserError(f"the store {path} is empty", f"{AGAIN} from audio that can be used")
    return card


def _version(content: bytes) -> Any:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found.get("format") if isinstance(found, dict) else None


def _other_version(path: str, version: Any) -> UserError:
    return UserError(
        f"the store {path} has the format {version!r}, and this version of the package reads "
        f"{', '.join(map(str, FORMATS[:-1]))} and {FORMATS[-1]}",
        AGAIN,
    )
