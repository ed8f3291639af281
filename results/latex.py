"""Text that others wrote, made harmless in LaTeX: a label shows as it is, and no sign of it is a command.

What is written is ASCII as far as LaTeX has a command for a sign in every font encoding, so that pdfLaTeX takes it.
Letters of other scripts stay as they are; :func:`beyond_latin` says which need XeLaTeX or LuaLaTeX.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from results.markdown import inert

#: Signs that mean something to LaTeX, or that its oldest font encoding draws as other ones. Brackets and stars are in
#: braces, since behind the end of a row they would be its arguments.
_SPECIAL: Final[Mapping[str, str]] = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\symbol{34}", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
_SIGNS: Final[Mapping[str, str]] = {
    "–": r"\textendash{}", "—": r"\textemdash{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "…": r"\ldots{}", "−": "$-$", "±": r"$\pm$",
    "×": r"$\times$", "÷": r"$\div$", "·": r"$\cdot$", "°": r"$^{\circ}$", "²": "$^{2}$", "³": "$^{3}$",
    "¹": "$^{1}$", "µ": r"$\mu$", "μ": r"$\mu$", "♯": r"$\sharp$", "♭": r"$\flat$", "♮": r"$\natural$",
    "→": r"$\rightarrow$", "←": r"$\leftarrow$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$",
    "∞": r"$\infty$", "†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}",
    "£": r"\pounds{}", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "¡": r"\textexclamdown{}", "¿": r"\textquestiondown{}",
}  # fmt: skip
_ACCENTS: Final[Mapping[str, str]] = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip


def latex(text: str) -> str:
    r"""Return any text so that LaTeX prints it as it is, in one line and inside one cell.

    >>> latex("R&B_50% é")
    "R\\&B\\_50\\% \\'{e}"
    """
    return re.sub(r"([-'])(?=\1)", r"\1{}", "".join(_written(sign) for sign in _signs(text)))  # -- is one longer sign


def beyond_latin(text: str) -> str:
    """Return the signs of a text that :func:`latex` leaves as they are, each once: pdfLaTeX may not know them.

    >>> beyond_latin("naïve 音")
    '音'
    """
    return "".join(dict.fromkeys(sign for sign in _signs(text) if not _written(sign).isascii()))


def _signs(text: str) -> str:
    return unicodedata.normalize("NFC", inert(" ".join(text.split())))


def _written(sign: str) -> str:
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if sign in _SIGNS:
        return _SIGNS[sign]
    decomposed = unicodedata.normalize("NFD", sign)
    base, marks = decomposed[:1], decomposed[1:]
    if not marks or not base.isascii() or not base.isalpha() or any(mark not in _ACCENTS for mark in marks):
        return sign
    for mark in marks:
        base = f"\\{_ACCENTS[mark]}{{{base}}}"
    return base
