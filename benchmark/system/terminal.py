r"""Print text that others wrote (labels, titles, ids, paths) so that its control characters show and do nothing.

A terminal obeys escape sequences: they move the cursor, retitle the window, hide what stands before. Marks of direction
turn a name around. Each such character is shown by its number, as ``\u001b``, which JSON reads as the character.
"""

from __future__ import annotations

import re
import shutil
import sys

from results.markdown import folded, inert

NARROW = 20  # columns that a page has at least, whatever the terminal says
#: A line that begins so holds a command, which is copied whole.
COMMAND = "Next:"


def display(text: object = "", *, error: bool = False, end: str = "\n", whole: bool = False) -> None:
    """Print a text to stdout, or to stderr if it is an ``error``.

    In a terminal lines that are too long for it are folded between words, so that it breaks none itself.

    Args:
        text: Of any number of lines.
        error: It goes to stderr, whose lines are not folded.
        end: What follows it.
        whole: It is for programs (JSON, Markdown): no line is folded.
    """
    shown, page = inert(str(text)), None if error or whole else page_width()
    if page is not None:
        lines = shown.split("\n")
        shown = "\n".join(
            part for line in lines for part in ([line] if line.startswith(COMMAND) else fold_line(line, page))
        )
    print(shown, end=end, file=sys.stderr if error else sys.stdout)


def page_width() -> int | None:
    """Return the columns of the terminal that stdout is; ``None`` in a pipe or a file, where lines have no end."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return max(NARROW, shutil.get_terminal_size((80, 24)).columns)


def shown_width(text: str) -> int:
    """Return the columns that a terminal gives to a text: two to a letter of Chinese, none to an accent of its own."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fold_line(line: str, width: int, indent: int | None = None) -> list[str]:
    """Return one line as several that are no wider than ``width``, broken between words alone.

    Args:
        line: Without line breaks.
        width: In columns of the terminal; a longer word stands whole on a line of its own.
        indent: Blanks before the later lines; ``None`` puts them below the last column of a line that has columns, else
            two further than the first.
    """
    words = re.findall(r"\s*\S+", line)
    if not words or shown_width(line) <= width:
        return [line]
    before = " " * (_indent(line, width) if indent is None else indent)
    lines = words[:1]
    for word in words[1:]:
        if shown_width(lines[-1]) + shown_width(word) <= width:
            lines[-1] += word
        else:
            lines.append(before + word.lstrip())
    return lines


def _indent(line: str, width: int) -> int:
    """Return how far the later lines of a folded one are moved to the right."""
    beginning = re.match(r"\s*([-*] )?", line)
    assert beginning is not None
    own = len(beginning[0])
    columns = list(re.finditer(r"(?<=\S)\s{2,}(?=\S)", line))
    if columns:
        start = shown_width(line[: columns[-1].end()])
        if start + max(map(shown_width, line[columns[-1].end() :].split())) <= width:
            return start
    return own if beginning[1] else own + 2


def one_line(text: object) -> str:
    """Return a text as one line, such as for a cell of a table or a title."""
    return inert(" ".join(str(text).split()))


def said_by(error: BaseException) -> str:
    """Return the kind and the words of a library's or a plug-in's exception, which may be any text, in one line."""
    return f"{type(error).__name__}: {folded(str(error))}"
