"""A certificate: what an encoder gave for a standard sound, so that a changed download or library is noticed later.

It is a small JSON file: the rules of the check, the versions of what computed, and the embedding of one rendered sound,
of which more than :data:`NUMBERS` are folded into so many sums with fixed signs, whose distances are about the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.encoders.base import Encoder
from benchmark.encoders.check.check import Check, fitted_for_check
from benchmark.encoders.check.rules import DEVICE_TOLERANCE, Finding, differences, tolerance_of
from benchmark.encoders.check.sounds import sounds
from benchmark.encoders.check.subject import Subject
from benchmark.encoders.windowing import window_rule
from benchmark.errors import UserError
from benchmark.system.descriptions import read_description
from benchmark.system.machine import threads_for
from benchmark.system.stdout import stdout_to_stderr

NUMBERS = 4096
#: Packages whose versions may change an embedding, where they are installed.
PACKAGES = (
    "music-probe-benchmark", "numpy", "scipy", "soxr", "torch", "transformers", "onnxruntime", "opensmile",
)  # fmt: skip
STEPS = 2**15  # of the samples of the sound, so that it is the same on every machine


class Sound(BaseModel):
    """The sound: its length, its samples' rate and their sha256 as 16-bit numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: Annotated[int, Field(gt=0)]
    sample_rate: int
    channels: int
    sha256: str


class Certificate(BaseModel):
    """What an encoder was when it was certified.

    Attributes:
        schema_version: Of this file.
        encoder: Its name.
        version: Its version.
        fingerprint: Its fingerprint.
        device: What it computed on.
        tolerance: The relative difference that is no difference.
        rules: Each rule of the check, and whether it was kept.
        versions: Of Python and of packages.
        sound: What it was given.
        width: Numbers of the embedding before it was folded.
        embedding: The embedding, folded where it is wide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: int = 1
    encoder: str
    version: str
    fingerprint: str
    device: str
    tolerance: float
    rules: dict[str, bool]
    versions: dict[str, str]
    sound: Sound
    width: Annotated[int, Field(gt=0)]
    embedding: Annotated[list[float], Field(min_length=1, max_length=NUMBERS)]


def certified(encoder: Encoder, device: str, check: Check) -> Certificate:
    """Return the certificate of an encoder that was checked.

    Args:
        encoder: The encoder.
        device: torch's name of the device.
        check: What the check found.

    Raises:
        UserError: It does not embed the sound, or not with finite numbers.
    """
    with stdout_to_stderr(), threads_for(encoder.arrays):
        windows = window_rule(encoder, None, None)
        fingerprint = encoder.fingerprint()
        if encoder.fitted:
            encoder = fitted_for_check(encoder, windows)
        subject = Subject(encoder, device, windows)
        encoder.to(device)
        sound = standard_sound(subject.usual, encoder.sample_rate, encoder.channels)
        output, rows = subject.output(sound.astype(np.float32)[None])
    if not np.isfinite(rows).all():
        raise UserError(f"the encoder {encoder.name!r} gives no finite embedding of the standard sound", "mend it")
    whole = np.rint(sound * STEPS).astype("<i4").tobytes()
    return Certificate(
        encoder=encoder.name,
        version=encoder.version,
        fingerprint=fingerprint,
        device=device,
        tolerance=tolerance_of(encoder, output),
        rules={finding.rule: finding.passed for finding in check.findings},
        versions=_versions(),
        sound=Sound(
            samples=subject.usual, sample_rate=encoder.sample_rate, channels=encoder.channels,
            sha256=hashlib.sha256(whole).hexdigest(),
        ),
        width=rows.shape[1],
        embedding=[float(f"{number:.9g}") for number in folded(rows[0])],
    )  # fmt: skip


def standard_sound(samples: int, rate: int, channels: int) -> np.ndarray:
    """Return the sound [channels, samples] that every certificate is of, in steps of 16 bits."""
    made: np.ndarray = np.rint(sounds(1, samples, rate, channels)[0].astype(np.float64) * STEPS) / STEPS
    return made


def folded(row: np.ndarray) -> np.ndarray:
    """Return a row [W] of at most :data:`NUMBERS` numbers as it is, a wider one as sums with fixed signs."""
    row = np.asarray(row, np.float64)
    if len(row) <= NUMBERS:
        return row
    signs = np.random.default_rng(0).choice(np.array([-1.0, 1.0]), len(row))
    padded = np.zeros(-(-len(row) // NUMBERS) * NUMBERS)
    padded[: len(row)] = row * signs
    sums: np.ndarray = padded.reshape(-1, NUMBERS).sum(axis=0)
    return sums


def compared(before: Certificate, now: Certificate) -> Finding:
    """Return the finding on an encoder that was certified before: its embedding of the sound must be as it was."""
    changes = _changes(before, now)
    because = f"; since then: {', '.join(changes)}" if changes else ""
    if before.sound != now.sound or before.width != now.width:
        what = f"{_shape(before)} was certified, {_shape(now)} is here"
        return Finding("certificate", False, f"another input or another width: {what}{because}")
    first, second = (np.array(each.embedding)[None] for each in (before, now))
    apart = float(differences(first, second).max())
    most = max(before.tolerance, now.tolerance, DEVICE_TOLERANCE if before.device != now.device else 0.0)
    numbers = f"the standard sound's embedding differs by {apart:.2g} (relative), at most {most:g} allowed{because}"
    return Finding("certificate", apart <= most, numbers)


def read_certificate(path: Path, encoder: str) -> Certificate:
    """Return a certificate of ``encoder``.

    Raises:
        UserError: It cannot be read, is no certificate, or is of another encoder.
    """
    try:
        found = Certificate.model_validate_json(json.dumps(read_description(path)))
    except (OSError, ValueError, ValidationError) as error:
        reason = f"{error.errors()[0]['msg']}" if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"{path} is no certificate ({reason})", "name another file, or delete it to have one written"
        ) from None
    if found.encoder != encoder:
        raise UserError(
            f"{path} is the certificate of {found.encoder!r}, not of {encoder!r}", "name another file for this encoder"
        )
    return found


def write_certificate(path: Path, certificate: Certificate) -> None:
    """Write a certificate, whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(certificate.model_dump_json(indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error})", "name another file") from None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _changes(before: Certificate, now: Certificate) -> list[str]:
    """Return in words what is not as it was, beside the embedding."""
    told = []
    if before.version != now.version:
        told.append(f"version {before.version} became {now.version}")
    if before.fingerprint != now.fingerprint:
        told.append(f"fingerprint {before.fingerprint[:16]} became {now.fingerprint[:16]}")
    if before.device != now.device:
        told.append(f"on {before.device} then, on {now.device} now")
    return told + _version_changes(before.versions, now.versions)


def _version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} {before.get(name, 'not installed')} became {now.get(name, 'not installed')}" for name in names]


def _shape(certificate: Certificate) -> str:
    sound = certificate.sound
    return f"{certificate.width} numbers of {sound.samples / sound.sample_rate:.4g} s at {sound.sample_rate} Hz"
