r"""Print text that others wrote (labels, titles, ids, paths) so that its control characters show and do nothing.

A terminal obeys escape sequences: they move the cursor, retitle the window, hide what stands before. Marks of direction
turn a name around. Each such character is shown by its number, as ``\u001b``, which JSON reads as the character.
"""

from __future__ import annotations

import sys

from results.markdown import folded, inert


def display(text: object = "", *, error: bool = False, end: str = "\n") -> None:
    """Print a text to stdout, or to stderr if it is an ``error``."""
    print(inert(str(text)), end=end, file=sys.stderr if error else sys.stdout)


def one_line(text: object) -> str:
    """Return a text as one line, such as for a cell of a table or a title."""
    return inert(" ".join(str(text).split()))


def said_by(error: BaseException) -> str:
    """Return the kind and the words of a library's or a plug-in's exception, which may be any text, in one line."""
    return f"{type(error).__name__}: {folded(str(error))}"
