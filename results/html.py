"""Small tables as HTML, for notebooks: whatever text they are given stays text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from results.markdown import inert


def text(content: object) -> str:
    """Return any text so that HTML shows it as it is, in one line.

    >>> text("</script><b>")
    '&lt;/script&gt;&lt;b&gt;'
    """
    return html.escape(inert(" ".join(str(content).split())))


def table(
    headers: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "", notes: Iterable[str] = ()
) -> str:
    """Return a table whose first column names its rows, with what must be said below it."""
    head = "".join(f'<th scope="col" style="text-align: left">{text(header)}</th>' for header in headers)
    body = "".join(
        f'<tr><th scope="row" style="text-align: left">{text(first)}</th>'
        + "".join(f'<td style="text-align: left">{text(cell)}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    said = f'<caption style="text-align: left">{text(caption)}</caption>' if caption else ""
    below = "".join(f"<li>{text(note)}</li>" for note in notes)
    listed = f"<ul>{below}</ul>" if below else ""
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{listed}"
