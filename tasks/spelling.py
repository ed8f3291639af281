"""One name in several spellings: Unicode forms, case, white space, signs that do not show, and enharmonic names.

Text that a table and a file system hold in different Unicode forms (``ö`` as one code point, or ``o`` and a dot above)
is one text: names are kept in the composed form (NFC), and files are found in either. What differs in more than that,
but not to a reader's eye or ear, is for a person to decide: :func:`clashes` finds it.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: Signs without a width that are no format characters of Unicode (category Cf): joiners, fillers, variation selectors.
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f]")
NOTE = re.compile(
    r"(?P<letter>[A-Ga-g])\s*(?P<sign>[#♯b♭𝄪𝄫]{0,2}|[ -]?(?i:sharp|flat))[\s:_-]*"
    r"(?P<rest>(?i:major|minor|maj|min|other|dur|moll)|[mM]|-?[0-9]{1,2}|)"
)
STEPS = {"#": 1, "♯": 1, "b": -1, "♭": -1, "𝄪": 2, "𝄫": -2, "sharp": 1, "flat": -1}
LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
MODES = {"major": "major", "maj": "major", "dur": "major", "minor": "minor", "min": "minor", "moll": "minor"}


@dataclass(frozen=True)
class Clash:
    """Two different texts that may be meant as one, the later second; ``why`` says how they differ."""

    first: str
    second: str
    why: str


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, names: int = 1, cutoff: float = 0.6) -> str:
    """Return the question that a message about an unknown name ends with, or ``otherwise`` where no name is near.

    Args:
        name: What was asked for.
        known: What there is.
        otherwise: What the message says where nothing is near.
        names: How many near names are given at most.
        cutoff: How near they are at least, from 0 to 1, see :func:`difflib.get_close_matches`.

    >>> did_you_mean("gtzann", ["gtzan", "mtt"], "there are gtzan, mtt")
    "did you mean 'gtzan'?"
    """
    near = difflib.get_close_matches(name, list(known), n=names, cutoff=cutoff)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise


def composed(text: str) -> str:
    """Return the text in the composed Unicode form (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def visible(text: str) -> str:
    """Return the text without signs that do not show, and with one space for each run of white space."""
    if not text.isascii():
        text = UNSEEN.sub("", "".join(sign for sign in text if unicodedata.category(sign) != "Cf"))
    return composed(" ".join(text.split()))


@lru_cache(maxsize=65_536)
def folded(text: str) -> str:
    """Return what is left of a text without case, white space, unseen signs and compatibility forms.

    >>> folded("Hip\u00a0 Hop") == folded("hip hop\u200b") == "hiphop"
    True
    """
    plain = unicodedata.normalize("NFKC", visible(text)).casefold()
    return unicodedata.normalize("NFKC", "".join(plain.split()))


def tone(text: str) -> tuple[int, str] | None:
    """Return the semitones above C (above C0, where there is an octave) and the mode that a note's or key's name says.

    >>> tone("A# minor") == tone("Bb min") == (10, "minor")
    True
    """
    found = NOTE.fullmatch(visible(text))
    if found is None:
        return None
    sign, rest = found["sign"].strip(" -").lower(), found["rest"]
    step = STEPS[sign] if sign in STEPS else sum(STEPS[each] for each in sign)
    semitones = LETTERS[found["letter"].lower()] + step
    if rest.lstrip("-").isdigit():
        return 12 * int(rest) + semitones, "octave"
    mode = {"m": "minor", "M": "major"}.get(rest) or MODES.get(rest.lower(), rest.lower())
    return semitones % 12, mode


def clashes(names: Iterable[str], *, notes: bool = False) -> list[Clash]:
    """Return the pairs of different names that may be meant as one; each name stands beside the first that it meets.

    Args:
        names: Names in the composed form; their order decides which is the first.
        notes: Whether names of notes and keys are compared by what they sound: ``A# minor`` and ``Bb minor``.
    """
    spelt: dict[str, list[str]] = {}
    sounding: dict[tuple[int, str], str] = {}
    found = []
    for name in dict.fromkeys(names):
        sound = tone(name) if notes else None
        alike = spelt.setdefault(folded(name), [])
        # CM and Cm differ in case only, and are two keys.
        first = next((other for other in alike if not notes or tone(other) == sound), None)
        if first is not None:
            found.append(Clash(first, name, _difference(first, name)))
        elif sound is not None and sound in sounding:
            what = "are one note" if sound[1] in ("", "octave") else "are one key"
            found.append(Clash(sounding[sound], name, f"{what} in two spellings"))
        alike.append(name)
        if sound is not None:
            sounding.setdefault(sound, name)
    return found


def find(path: Path) -> Path | None:
    """Return the path as the disk spells it, each part in whatever Unicode form; ``None`` where there is no such file.

    Raises:
        AmbiguousNameError: Several names on the disk are this one in other Unicode forms.
    """
    try:
        if path.exists():
            return path
    except OSError:
        return None
    if str(path).isascii():
        return None
    found = Path(path.anchor) if path.is_absolute() else Path()
    for part in path.parts[1:] if path.is_absolute() else path.parts:
        step = found / part
        if not os.path.lexists(step):
            others = _other_forms(found, part)
            if len(others) > 1:
                raise AmbiguousNameError(found, composed(part), others)
            if not others:
                return None
            step = found / others[0]
        found = step
    return found if found.exists() else None


class AmbiguousNameError(ValueError):
    """Several names in a folder are the one asked for, in other Unicode forms, and none is written as it was asked."""

    def __init__(self, folder: Path, name: str, found: Sequence[str]) -> None:
        forms = ", ".join(form_of(other) for other in found)
        self.what = f"{folder} has {len(found)} files of the name {name!r} in other Unicode forms ({forms})"
        self.do = "leave one of them"
        super().__init__(folder, name, found)

    def __str__(self) -> str:
        return f"{self.what}: {self.do}"


def form_of(text: str) -> str:
    """Return the name of the Unicode form of a text, as far as it has one."""
    if text.isascii():
        return "ASCII"
    forms = [form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, text)]
    return forms[0] if forms else "mixed"


def as_on_disk(paths: Sequence[Path], below: Path | None = None) -> tuple[Path, ...]:
    """Return paths, those that only another Unicode form of their name keeps from being found as the disk has them.

    A name that is not there in any form, or in several, stays as it is.

    Args:
        paths: Paths of files that may be there or not.
        below: A folder that is there; of the paths below it, only the rest is looked at.
    """
    known = "" if below is None else f"{below.absolute()}{os.sep}"
    return tuple(path if str(path).removeprefix(known).isascii() else _found_or_same(path) for path in paths)


def _found_or_same(path: Path) -> Path:
    try:
        return find(path) or path
    except AmbiguousNameError:
        return path


def _other_forms(folder: Path, name: str) -> list[str]:
    try:
        stamp = os.stat(folder).st_mtime_ns  # noqa: PTH116, this and the listing are asked for every missing file
    except OSError:
        return []
    return _names(str(folder), stamp).get(composed(name), [])


@lru_cache(maxsize=64)
def _names(folder: str, stamp: int) -> dict[str, list[str]]:  # noqa: ARG001, a changed folder is listed again
    """Return the names in a folder that are not plain ASCII, by their composed form."""
    found: dict[str, list[str]] = {}
    try:
        for name in sorted(os.listdir(folder)):  # noqa: PTH208, names only
            if not name.isascii():
                found.setdefault(composed(name), []).append(name)
    except OSError:
        return {}
    return found


def _difference(first: str, second: str) -> str:
    if visible(first) == visible(second):
        return "differ only in white space or signs that do not show"
    if "".join(visible(first).split()) == "".join(visible(second).split()):
        return "differ only in white space"
    if visible(first).casefold() == visible(second).casefold():
        return "differ only in case"
    return "differ only in case, white space or form of the letters"
