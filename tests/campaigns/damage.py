"""Damaged recordings of many kinds and formats: what becomes of each, against the table that pins it (damaged.csv).

Outcomes: ``refused``; ``named`` (used, with a note); ``whole`` (used, and what is heard is what was recorded);
``other`` (used without a word, and something else is heard). ``other`` is silent damage: right only where the format
holds nothing that could tell, which the table then says.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

PINNED = Path(__file__).with_name("damaged.csv")
RATE, SECONDS = 44_100, 4.0
ALIKE = 0.05  # of the sound's own level: what decoders, rates and lossy codecs differ by is under it

#: Formats: libsndfile's name of container and of coding, and how a file's name ends.
FORMATS: dict[str, tuple[str, str, str]] = {
    "wav": ("WAV", "PCM_16", "wav"),
    "wav24": ("WAV", "PCM_24", "wav"),
    "wavfloat": ("WAV", "FLOAT", "wav"),
    "aiff": ("AIFF", "PCM_16", "aiff"),
    "au": ("AU", "PCM_16", "au"),
    "w64": ("W64", "PCM_16", "w64"),
    "caf": ("CAF", "PCM_16", "caf"),
    "flac": ("FLAC", "PCM_16", "flac"),
    "flac24": ("FLAC", "PCM_24", "flac"),
    "mp3": ("MP3", "MPEG_LAYER_III", "mp3"),
    "ogg": ("OGG", "VORBIS", "ogg"),
    "opus": ("OGG", "OPUS", "opus"),
}

Damage = Callable[[bytes, np.random.Generator], bytes]


def cut(share: float) -> Damage:
    """Return what keeps a share of the bytes."""
    return lambda data, rng: data[: int(share * len(data))]


def overwritten(value: bytes | None, count: int, at: float | None = None) -> Damage:
    """Return what puts ``count`` bytes of one value, or of noise, in place of others."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        start = int((at if at is not None else rng.uniform(0.3, 0.8)) * (len(data) - count))
        return data[:start] + (value * count if value is not None else rng.bytes(count)) + data[start + count :]

    return damage


def flipped(bits: int, low: float, high: float) -> Damage:
    """Return what flips some bits between two shares of the file."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        found = bytearray(data)
        for place in rng.integers(int(low * len(data)), max(1, int(high * len(data))), bits):
            found[place] ^= 1 << int(rng.integers(8))
        return bytes(found)

    return damage


def dropped(count: int) -> Damage:
    """Return what takes some bytes out of the middle."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        start = int(rng.uniform(0.3, 0.7) * len(data))
        return data[:start] + data[start + count :]

    return damage


def inserted(count: int) -> Damage:
    """Return what puts noise into the middle."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        start = int(rng.uniform(0.3, 0.7) * len(data))
        return data[:start] + rng.bytes(count) + data[start:]

    return damage


def swapped(count: int) -> Damage:
    """Return what lets two blocks change places."""

    def damage(data: bytes, rng: np.random.Generator) -> bytes:
        first, second = int(0.3 * len(data)), int(0.6 * len(data))
        one, other = data[first : first + count], data[second : second + count]
        return data[:first] + other + data[first + count : second] + one + data[second + count :]

    return damage


#: Kinds of damage: a name, what does it, and whether chance has a part in it.
KINDS: dict[str, tuple[Damage, bool]] = {
    "whole": (lambda data, rng: data, False),
    "empty": (lambda data, rng: b"", False),
    "one byte": (lambda data, rng: data[:1], False),
    "cut at 1 %": (cut(0.01), False),
    "cut at 25 %": (cut(0.25), False),
    "cut at 50 %": (cut(0.5), False),
    "cut at 90 %": (cut(0.9), False),
    "last 100 bytes gone": (lambda data, rng: data[:-100], False),
    "last byte gone": (lambda data, rng: data[:-1], False),
    "first 4 bytes gone": (lambda data, rng: data[4:], False),
    "first 100 bytes gone": (lambda data, rng: data[100:], False),
    "first half gone": (lambda data, rng: data[len(data) // 2 :], False),
    "header zeroed": (overwritten(b"\0", 16, 0.0), False),
    "4 kB zeroed": (overwritten(b"\0", 4096), True),
    "second half zeroed": (lambda data, rng: data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2), False),
    "4 kB of 0xff": (overwritten(b"\xff", 4096), True),
    "4 kB of noise": (overwritten(None, 4096), True),
    "one bit in the middle": (flipped(1, 0.3, 0.9), True),
    "ten bits in the middle": (flipped(10, 0.3, 0.9), True),
    "a thousand bits": (flipped(1000, 0.2, 1.0), True),
    "one bit in the header": (flipped(1, 0.0, 0.001), True),
    "100 bytes dropped": (dropped(100), True),
    "4 kB dropped": (dropped(4096), True),
    "100 bytes inserted": (inserted(100), True),
    "4 kB inserted": (inserted(4096), True),
    "two blocks swapped": (swapped(4096), False),
    "1 kB of noise behind": (lambda data, rng: data + rng.bytes(1024), True),
    "1 kB of zeros behind": (lambda data, rng: data + b"\0" * 1024, False),
    "twice in a row": (lambda data, rng: data + data, False),
    "text before": (lambda data, rng: b"HTTP/1.1 200 OK\r\n\r\n" + data, False),
    "line ends translated": (lambda data, rng: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), False),
    "read as text": (lambda data, rng: data.decode("utf-8", "replace").encode(), False),
    "all noise": (lambda data, rng: rng.bytes(len(data)), True),
    "a page of HTML": (lambda data, rng: b"<!DOCTYPE html><html><body>404</body></html>" * 40, False),
}


#: What campaigns call each outcome.
WORDS = {"refused": "refusal", "named": "refusal", "whole": "ok", "other": "undetectable"}


@dataclass(frozen=True)
class Found:
    """What became of the files of a kind and a format: how many of each outcome, and of one what was said."""

    kind: str
    format: str
    outcomes: Counter[str]
    said: str


def recording() -> np.ndarray:
    """Return float64 [samples], a chord that swells, so that no two parts are alike and no part is silent."""
    time = np.arange(int(RATE * SECONDS)) / RATE
    pitches = (220.0, 277.2, 329.6, 1760.0)
    return sum(0.15 * np.sin(2 * np.pi * f * time * (1 + 0.02 * time)) for f in pitches) * (0.3 + 0.2 * time / SECONDS)


def encoded(name: str) -> bytes:
    """Return the recording in a format."""
    container, coding, _ = FORMATS[name]
    buffer = io.BytesIO()
    rate = 48_000 if coding == "OPUS" else RATE
    soundfile.write(buffer, recording(), rate, format=container, subtype=coding)
    return buffer.getvalue()


def damaged(scratch: Path, seeds: int, seed: int) -> Iterator[Found]:
    """Yield what becomes of each kind of damage in each format, of ``seeds`` files where chance has a part in it."""
    from benchmark.audio.decode import AudioRule
    from benchmark.audio.reader import decode_one

    rule = AudioRule(16_000)
    for name, (_, _, ending) in FORMATS.items():
        sound = encoded(name)
        path = scratch / f"sound.{ending}"
        path.write_bytes(sound)
        original = decode_one(path, rule)
        assert original.audio is not None, f"{name}: {original.problem}"
        expected = original.audio.samples[:]
        for kind, (damage, chance) in KINDS.items():
            outcomes: Counter[str] = Counter()
            said = ""
            for i in range(seeds if chance else 1):
                path.write_bytes(damage(sound, np.random.default_rng([seed, i])))
                try:
                    found = decode_one(path, rule)
                except Exception as error:
                    outcomes["TRACEBACK"] += 1
                    said = f"{type(error).__name__}: {error}"
                    continue
                note = found.hashed.note if found.hashed is not None else ""
                if found.audio is None:
                    outcomes["refused"] += 1
                    said = said or found.problem
                elif note:
                    outcomes["named"] += 1
                    said = said or note
                else:
                    outcomes["whole" if _alike(found.audio.samples[:], expected) else "other"] += 1
            yield Found(kind, name, outcomes, said)


def _alike(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape:
        return False
    level = float(np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
    return float(np.abs(found - expected).max()) <= ALIKE * level + 1e-6


def pinned() -> dict[tuple[str, str], set[str]]:
    """Return the outcomes that the table allows, by kind and format."""
    with PINNED.open(newline="", encoding="utf-8") as file:
        return {(row["kind"], row["format"]): set(row["outcomes"].split()) for row in csv.DictReader(file)}


def write_pinned(found: list[Found]) -> None:
    """Write the table from what was found: to be read over before it is committed."""
    with PINNED.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "format", "outcomes"])
        writer.writerows([each.kind, each.format, " ".join(sorted(each.outcomes))] for each in found)


def verdicts(found: list[Found]) -> Iterator[tuple[str, str, str]]:
    """Yield (format, outcome, what happened) of every file: ``ok`` where it is heard whole, ``refusal``, ``SILENT``."""
    allowed = pinned()
    for each in found:
        known = allowed.get((each.kind, each.format), set())
        for outcome, count in each.outcomes.items():
            told = f"{each.kind}: {outcome}, pinned {' or '.join(sorted(known)) or 'nothing'}; {each.said}"
            word = WORDS.get(outcome, outcome)
            if outcome not in known and outcome in WORDS:  # where chance has a part, other seeds may be better off
                word = "SILENT" if outcome == "other" else word if KINDS[each.kind][1] else "UNPINNED"
            for _ in range(count):
                yield each.format, word, told
