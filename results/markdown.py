"""Text that others wrote, made harmless where it is shown: on a terminal, in Markdown, in CSV."""

from __future__ import annotations

import re

#: Control characters but for line feed and tab (C0, DEL, C1), marks of direction, separators of lines, signs without
#: width that no script needs, tags, and halves of characters.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
#: White space with a tab or the end of a line in it. Other spaces stay: a path may have two of them.
_BREAK = re.compile(r"\s*[\t-\r\x1c-\x1f\x85\u2028\u2029]\s*")
_MARKUP = re.compile(r"([\\|*<>`\[\]])")


def inert(text: str) -> str:
    r"""Return a text in which every character that a terminal obeys, or that hides or turns others, is a number.

    >>> inert("a\x1b[31mb")
    'a\\u001b[31mb'
    """
    return _ACTIVE.sub(lambda found: _number(found[0]), text)


def folded(text: str) -> str:
    r"""Return a text of others as a part of a message: inert, and in one line, so that it feigns no line of its own.

    >>> folded("a\nbench: all is well\x1b[A")
    'a bench: all is well\\u001b[A'
    """
    return inert(_BREAK.sub(" ", text).strip())


def escaped(text: str) -> str:
    r"""Return any text so that Markdown shows it as it is, in one line and inside one cell.

    >>> escaped("a|b\n<i>")
    'a\\|b \\<i\\>'
    """
    return _MARKUP.sub(r"\\\1", inert(" ".join(text.split())))


def csv_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula.

    >>> csv_cell("=1+1")
    "'=1+1"
    """
    return f"'{inert(text)}" if text.lstrip()[:1] in ("=", "+", "-", "@") or text[:1] in ("\t", "\r") else inert(text)


def _number(sign: str) -> str:
    code = ord(sign)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
