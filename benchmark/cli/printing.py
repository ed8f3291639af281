"""How commands that look at many files print what they find, and those that make a file say what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from benchmark.system.finding import Finding
from benchmark.system.terminal import display


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


def generated(output: Path, content: str, command: str, source: str, *, check: bool) -> None:
    """Write a generated file, or say how it differs from its source.

    Raises:
        typer.Exit: It differs.
    """
    from results.generated import difference, write

    if not check:
        changed = write(output, content)
        display(f"{output} {'written' if changed else 'is up to date'}", error=True)
        return
    differs = difference(output, content, command)
    if differs:
        display(differs, end="")
        display(f"{output} is not what {source}: run '{command}'", error=True)
        raise typer.Exit(1)
    display(f"{output} is what {source}")
