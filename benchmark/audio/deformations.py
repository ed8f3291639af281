"""Deformations of decoded audio, for the robustness view: gain, noise, shift, MP3 coding, low-pass.

Each is a pure function on float32 [channels, n] in [-1, 1] at the encoder's rate, applied in the decoding process and
followed by the clipping to [-1, 1] that decoding ends with. Its parameters and version are part of the key of the
embeddings, so those of deformed audio never meet those of clean audio.

``gain=-20dB``
    Samples times 10^(dB / 20).
``noise=20dB``
    White Gaussian noise at this ratio of the track's mean power to the noise's, independent in each channel and seeded
    by the content of the file. A silent track has no such ratio and stays silent.
``shift=50ms``
    The track begins so much later: the first samples are dropped. A negative shift puts silence before it.
``mp3=64k``
    Coded and decoded by libsndfile (LAME, constant bit rate; joint stereo for two channels) at the encoder's rate where
    MPEG layer III has the rate and the bit rate for it, else resampled by soxr to the next higher rate that does (or,
    where none does, the next lower) and back. The coder's delay is taken off and the length kept.
``lowpass=4000Hz``
    Butterworth filter of order 8, forward and back: -6 dB at the frequency and no delay. An encoder whose rate holds
    nothing above the frequency hears what it heard before.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from tasks.spelling import did_you_mean

Floats = NDArray[np.float32]
Kind = Literal["gain", "noise", "shift", "mp3", "lowpass"]

#: Change with what a deformation does to samples.
VERSIONS: Mapping[Kind, int] = {"gain": 1, "noise": 1, "shift": 1, "mp3": 1, "lowpass": 1}

EXAMPLES = "gain=-20,noise=20dB,shift=50ms,mp3=64k,lowpass=4000Hz"
ENTRY = re.compile(r"([^=]*)=\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z/]*)", re.IGNORECASE)

#: Bit rates of MPEG layer III in kbit/s, by sample rate (ISO 11172-3, ISO 13818-3, and LAME's MPEG 2.5).
_MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
BIT_RATES: Mapping[int, tuple[int, ...]] = {
    **dict.fromkeys((8000, 11025, 12000), _MPEG_2[:8]),
    **dict.fromkeys((16000, 22050, 24000), _MPEG_2),
    **dict.fromkeys((32000, 44100, 48000), _MPEG_1),
}

#: Samples by which a decoded MP3 is late, 576 of LAME's and 529 of the decoder's; its Info tag makes libsndfile drop
#: them. At low bit rates a frame has no room for the tag.
MP3_DELAY = 1105


@dataclass(frozen=True)
class _Unit:
    """How the amount of a kind is written: its unit, what others are worth in it, and what makes sense."""

    name: str
    worth: Mapping[str, float]
    least: float
    most: float


_UNITS: Mapping[Kind, _Unit] = {
    "gain": _Unit("dB", {"": 1, "db": 1}, -120, 60),
    "noise": _Unit("dB", {"": 1, "db": 1}, -60, 120),
    "shift": _Unit("ms", {"ms": 1, "s": 1000}, -60_000, 60_000),
    "mp3": _Unit("k", {"k": 1, "kbps": 1, "kbit/s": 1}, 8, 320),
    "lowpass": _Unit("Hz", {"hz": 1, "khz": 1000}, 20, 96_000),
}


class NothingLeftError(ValueError):
    """A track of which a deformation leaves no sample."""


@dataclass(frozen=True)
class Deformation:
    """One deformation: its kind, its amount (dB, dB, ms, kbit/s or Hz), and the version of what it does."""

    kind: Kind
    amount: float
    version: int

    @property
    def text(self) -> str:
        """What names it, such as ``shift=50ms``; :func:`parse` reads it."""
        return f"{self.kind}={self.amount:.12g}{_UNITS[self.kind].name}"


def parse(text: str) -> tuple[Deformation, ...]:
    """Return the deformations that a text such as ``gain=-20,noise=20dB,shift=50ms,mp3=64k`` names, in its order.

    Each is applied on its own to the clean audio. Units are dB (or none) for gain and noise, ms or s, k or kbps, Hz or
    kHz; several amounts of one kind are several deformations.

    Raises:
        UserError: An unknown kind or unit, an amount that is no number or out of range, or one deformation twice.
    """
    deformations: list[Deformation] = []
    for entry in text.split(","):
        deformation = _parse_one(entry.strip())
        if deformation in deformations:
            raise UserError(f"--deform names {deformation.text} twice", "leave one out")
        deformations.append(deformation)
    return tuple(deformations)


def _parse_one(entry: str) -> Deformation:
    name, equals, _ = entry.partition("=")
    kind = next((kind for kind in VERSIONS if kind == name.strip().lower()), None)
    if kind is None:
        hint = did_you_mean(name.strip().lower(), VERSIONS, f"write one of {EXAMPLES}", cutoff=0.5)
        raise UserError(f"--deform knows no deformation {name.strip()!r}", hint)
    unit = _UNITS[kind]
    example = next(example for example in EXAMPLES.split(",") if example.startswith(kind))
    match = ENTRY.fullmatch(entry)
    if not equals or match is None:
        raise UserError(f"--deform {entry}: this is no deformation with its amount", f"write it as {example}")
    worth = unit.worth.get(match[3].lower())
    if worth is None:
        units = " or ".join(unit_worth for unit_worth in unit.worth if unit_worth)
        what = f"the unit {match[3]!r}" if match[3] else "an amount without a unit"
        raise UserError(f"--deform {entry}: {kind} does not take {what}", f"give {units}: {example}")
    amount = float(match[2]) * worth + 0.0  # no negative zero
    if not unit.least <= amount <= unit.most:
        raise UserError(
            f"--deform {entry}: this is out of range",
            f"give {kind} from {unit.least:g} to {unit.most:g} {unit.name}, such as {example}",
        )
    legal = sorted({rate for rates in BIT_RATES.values() for rate in rates})
    if kind == "mp3" and amount not in legal:
        raise UserError(f"--deform {entry}: no MP3 has this bit rate", f"give one of {', '.join(map(str, legal))} k")
    return Deformation(kind, amount, VERSIONS[kind])


def deform(samples: Floats, rate: int, deformation: Deformation, content: str) -> tuple[Floats, bool]:
    """Return the deformed samples, and whether they had to be clipped.

    Args:
        samples: float32 [channels, n] in [-1, 1]; they are not written into.
        rate: Their rate in Hz.
        deformation: What is done to them.
        content: The sha256 of the audio file in hex, which seeds the noise.

    Returns:
        float32 [channels, m] in [-1, 1]; m is n but for a shift.

    Raises:
        NothingLeftError: The shift is as long as the track.
    """
    amount = deformation.amount
    if deformation.kind == "gain":
        made = samples * np.float32(10 ** (amount / 20))
    elif deformation.kind == "noise":
        made = add_noise(samples, amount, content)
    elif deformation.kind == "shift":
        made = shift(samples, round(amount * rate / 1000))
    elif deformation.kind == "mp3":
        made = through_mp3(samples, rate, round(amount))
    else:
        made = low_pass(samples, rate, amount)
    clipped = float(np.abs(made).max()) > 1
    return np.ascontiguousarray(np.clip(made, -1, 1) if clipped else made, np.float32), clipped


def add_noise(samples: Floats, snr: float, content: str) -> Floats:
    """Return ``samples`` [channels, n] with white noise ``snr`` dB under their mean power, seeded by ``content``."""
    power = float(np.mean(samples.astype(np.float64) ** 2))
    seed = np.frombuffer(bytes.fromhex(content), np.uint32)
    noise = np.random.default_rng(seed).standard_normal(samples.shape, np.float32)
    noise *= np.float32(math.sqrt(power * 10 ** (-snr / 10)))
    return samples + noise


def shift(samples: Floats, later: int) -> Floats:
    """Return ``samples`` [channels, n] without the first ``later``, or with silence before them where it is negative.

    Raises:
        NothingLeftError: Nothing would be left.
    """
    if later < 0:
        return np.pad(samples, ((0, 0), (-later, 0)))
    if later >= samples.shape[1]:
        raise NothingLeftError(f"it begins {later} samples later, and has {samples.shape[1]}")
    return samples[:, later:]


def mp3_rate(rate: int, bit_rate: int) -> int:
    """Return the sample rate at which audio of ``rate`` is coded with ``bit_rate`` kbit/s: the next one that has it."""
    candidates = [candidate for candidate, bit_rates in BIT_RATES.items() if bit_rate in bit_rates]
    return min(candidates, key=lambda candidate: (candidate < rate, abs(candidate - rate)))


def through_mp3(samples: Floats, rate: int, bit_rate: int) -> Floats:
    """Return ``samples`` [1 or 2 channels, n] as an MP3 of ``bit_rate`` kbit/s gives them back, at their length.

    Raises:
        UserError: This libsndfile writes no MP3.
    """
    import soundfile
    import soxr

    coded_at, n = mp3_rate(rate, bit_rate), samples.shape[1]
    columns = samples.T
    if coded_at != rate:
        columns = soxr.resample(columns, rate, coded_at, quality="HQ")
    columns = np.clip(columns, -1, 1)
    top, bottom = BIT_RATES[coded_at][-1], BIT_RATES[coded_at][0]
    if len(columns) == 0:  # a few samples, on the way to a lower rate
        return np.zeros_like(samples)
    file = io.BytesIO()
    try:
        soundfile.write(
            file, columns, coded_at, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT",
            compression_level=min((top - bit_rate) / (top - bottom), 0.998),  # libsndfile refuses 1; LAME rounds
        )  # fmt: skip
    except (ValueError, TypeError, soundfile.LibsndfileError) as error:
        raise UserError(
            f"--deform mp3={bit_rate}k: libsndfile {soundfile.__libsndfile_version__} writes no such MP3 ({error})",
            "Install soundfile 0.13 or newer, or leave it out",
        ) from None
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    late = MP3_DELAY if len(decoded) - len(columns) >= MP3_DELAY else 0
    made = _at_length(decoded[late:], len(columns))
    if coded_at != rate:
        made = _at_length(soxr.resample(made, coded_at, rate, quality="HQ"), n)
    return np.ascontiguousarray(made.T)


def _at_length(columns: Floats, n: int) -> Floats:
    """Return the first ``n`` rows, with zeros for those that lack."""
    return columns[:n] if len(columns) >= n else np.pad(columns, ((0, n - len(columns)), (0, 0)))


def low_pass(samples: Floats, rate: int, frequency: float) -> Floats:
    """Return ``samples`` [channels, n] without what is above ``frequency`` Hz; as they are where there is nothing."""
    if frequency >= rate / 2:
        return samples
    from scipy.signal import butter, sosfiltfilt

    sections = butter(8, frequency, fs=rate, output="sos")
    padding = min(3 * (2 * len(sections) + 1), samples.shape[1] - 1)
    filtered: Floats = sosfiltfilt(sections, samples.astype(np.float64), axis=1, padlen=padding).astype(np.float32)
    return filtered


def texts(deformations: Sequence[Deformation]) -> list[str]:
    """Return what names each of ``deformations``, with its version, for keys."""
    return sorted(f"{deformation.text}; version {deformation.version}" for deformation in deformations)
