"""Embedding spaces: all that decides an embedding except the audio, and the key that hashes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from benchmark.audio.decode import AudioRule, pipeline_name
from benchmark.audio.deformations import Deformation
from benchmark.audio.windows import WindowRule
from benchmark.encoders.base import Encoder
from benchmark.encoders.declarations import check_declarations
from benchmark.encoders.windowing import window_rule

POOLING = "mean"
OPTIONAL = ("deformation", "fitted_on")


@dataclass(frozen=True)
class Space:
    """An encoder as it is fed: two embeddings are comparable, and shareable, when their spaces have one key.

    Attributes:
        encoder: The encoder's name, for people.
        version: The encoder's own version.
        fingerprint: The encoder's fingerprint.
        pipeline: Version of the audio pipeline with its decoder and resampler.
        audio: Rate and channels.
        windows: How a track is cut.
        pooling: How the embeddings of a track's windows become one.
        dim: Width D of an embedding.
        layers: Names of layers, stored side by side as [L * D], or ``None``.
        deformation: What is done to the audio before it is cut.
        fitted_on: The sha256 of the training split that the encoder is fitted on.

    The last two are no part of key and description where they are ``None``.
    """

    encoder: str
    version: str
    fingerprint: str
    pipeline: str
    audio: AudioRule
    windows: WindowRule
    pooling: str
    dim: int
    layers: tuple[str, ...] | None
    deformation: Deformation | None = None
    fitted_on: str | None = None

    @property
    def key(self) -> str:
        """The sha256 over all attributes but the encoder's name for people."""
        state = self._state()
        del state["encoder"]
        return _digest(state)

    @property
    def folder(self) -> str:
        """A readable, unique folder name."""
        return _folder(self.encoder, self.key)

    @property
    def width(self) -> int:
        """Floats in a stored row: dim, times the number of layers where there are any."""
        return self.dim * (len(self.layers) if self.layers else 1)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.audio.sample_rate

    @property
    def channels(self) -> int:
        """1 or 2."""
        return self.audio.channels

    @property
    def window_seconds(self) -> float | None:
        """Length of a window; ``None`` where whole tracks are taken."""
        return None if self.windows.window is None else self.windows.window / self.sample_rate

    @property
    def hop_seconds(self) -> float | None:
        """Distance between windows; ``None`` where whole tracks are taken."""
        return None if self.windows.window is None else self.windows.hop / self.sample_rate

    def describe(self) -> dict[str, object]:
        """Return the attributes and the key as JSON can hold them."""
        return {"key": self.key, **self._state()}

    def _state(self) -> dict[str, object]:
        state = asdict(self)
        return {name: value for name, value in state.items() if value is not None or name not in OPTIONAL}


def describes(text: Mapping[str, object], folder: str) -> bool:
    """Say whether a description is that of the space in a folder of this name: both hold its key."""
    state = {name: value for name, value in text.items() if name not in ("key", "encoder")}
    key = _digest(state)
    return text.get("key") == key and folder == _folder(str(text.get("encoder")), key)


def _digest(state: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _folder(encoder: str, key: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', encoder)[:60]}-{key[:16]}"


def space_of(
    encoder: Encoder, window_seconds: float | None, hop_seconds: float | None, fitted_on: str | None = None
) -> Space:
    """Return the space of ``encoder`` on a task that may bring its own window.

    Args:
        encoder: The encoder; one that is fitted must not be fitted yet.
        window_seconds: The task's window.
        hop_seconds: The task's hop.
        fitted_on: For an encoder that is fitted: the sha256 of the training split that it will be fitted on. The
            fingerprint is made from it and not from the fitted state, so that nobody has to fit to know the key.

    Raises:
        UserError: The encoder breaks the contract, or cannot take the task's window.
    """
    check_declarations(encoder)
    fingerprint = encoder.fingerprint()
    if fitted_on is not None:
        fingerprint = hashlib.sha256(json.dumps(["fitted", fingerprint, fitted_on]).encode()).hexdigest()
    return Space(
        encoder=encoder.name,
        version=encoder.version,
        fingerprint=fingerprint,
        pipeline=pipeline_name(),
        audio=AudioRule(encoder.sample_rate, encoder.channels, encoder.decoding),
        windows=window_rule(encoder, window_seconds, hop_seconds),
        pooling=POOLING,
        dim=encoder.dim,
        layers=encoder.layers,
        fitted_on=fitted_on,
    )
