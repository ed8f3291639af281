"""How commands print what they find in many files, and write or check a generated page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from benchmark.errors import UserError
from benchmark.system.finding import Finding
from benchmark.system.terminal import display

#: Endings of files that a page is written to; none is that of a pipe or a device.
MARKDOWN = ("", ".md", ".markdown", ".txt")


def show(findings: Iterable[Finding], problem: str = "") -> None:
    """Print findings as they come; end with status 1 if any is an error.

    Args:
        findings: What is found.
        problem: The last line, on stderr, where there are errors; ``{n}`` in it is their number.

    Raises:
        typer.Exit: There are errors.
    """
    errors = 0
    for finding in findings:
        display(finding.text)
        errors += finding.is_error
    if not errors:
        return
    if problem:
        display(problem.replace("{n}", str(errors)), error=True)
    raise typer.Exit(1)


def refuse_no_markdown(output: Path) -> None:
    """Refuse to write Markdown under the name of another format.

    Raises:
        UserError: The name ends in something else.
    """
    if output.suffix.lower() not in MARKDOWN:
        raise UserError(f"{output}: the page is Markdown: give a name that ends in .md, -o {output.with_suffix('.md')}")


def generated(output: Path, content: str, command: str, source: str, *, check: bool) -> None:
    """Write a generated file, or say how it differs from its source.

    Args:
        output: The file.
        content: What it is to hold.
        command: What writes it.
        source: What it is made from, in words.
        check: Write nothing.

    Raises:
        typer.Exit: With ``check``, the file holds something else.
    """
    from results.generated import difference, write

    if not check:
        changed = write(output, content)
        display(f"{output} {'written' if changed else 'is up to date'}", error=True)
        return
    differs = difference(output, content, command)
    if differs:
        display(differs, end="", whole=True)
        display(f"{output} is not what {source}: run '{command}'", error=True)
        raise typer.Exit(1)
    display(f"{output} is what {source}")
