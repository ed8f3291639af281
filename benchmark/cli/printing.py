"""How commands that look at many files print what they find."""

from __future__ import annotations

from collections.abc import Iterable

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
