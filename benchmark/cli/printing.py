"""How commands print what they find in many files, and write or check a generated page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from benchmark.errors import UserError
from benchmark.system.finding import Finding
from benchmark.system.home import examples_folder, results_folder
from benchmark.system.terminal import display

#: Endings of files that a page is written to; none is that of a pipe or a device.
MARKDOWN = ("", ".md", ".markdown", ".txt")
#: Folders below a results folder that hold what runs wrote.
KEPT = ("runs", "curves", "studies")


def show(findings: Iterable[Finding], problem: str = "", *, as_json: bool = False) -> None:
    """Print findings as they come, or all of them as JSON; end with status 1 if any is an error.

    Args:
        findings: What is found.
        problem: The last line, on stderr, where there are errors; ``{n}`` in it is their number.
        as_json: Print them as JSON.

    Raises:
        typer.Exit: There are errors.
    """
    errors = 0
    if as_json:
        from benchmark.system.json_text import findings_of

        found = findings_of(findings)
        print_json(found)
        errors = found["errors"]
    else:
        for finding in findings:
            display(finding.text)
            errors += finding.is_error
    if not errors:
        return
    if problem:
        display(problem.replace("{n}", str(errors)), error=True)
    raise typer.Exit(1)


def print_json(content: object) -> None:
    """Print records as JSON; nothing else may go to stdout beside it."""
    from benchmark.system.json_text import json_text

    display(json_text(content), whole=True)


def refuse_stray(context: typer.Context, *names: str) -> None:
    """Refuse options of a listing that stand before one of its commands, where they would do nothing.

    Args:
        context: Of the listing.
        names: The parameters that are refused; none for all of them.

    Raises:
        UserError: There are such.
    """
    if context.invoked_subcommand is None:
        return
    given = [
        name for name in names or context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")
    ]
    if given:
        command = f"{context.command_path} {context.invoked_subcommand}"
        raise UserError(
            f"{command} has options of its own, behind its name ('{command} --help')", "leave the others out"
        )


def refuse_no_markdown(output: Path) -> None:
    """Refuse to write Markdown under the name of another format.

    Raises:
        UserError: The name ends in something else.
    """
    if output.suffix.lower() not in MARKDOWN:
        raise UserError(
            f"{output}: the page is Markdown",
            f"give a name that ends in .md, -o {output.with_suffix('.md')}",
        )


def refuse_results(output: Path, results: Sequence[Path] | None = None) -> None:
    """Refuse to write a file among the records, studies and curves of a results folder, where it would displace one.

    Raises:
        UserError: It would lie there.
    """
    where = output.absolute().resolve()
    for folder in (*(results or ()), results_folder(), *filter(None, [examples_folder()])):
        kept = [(folder / name).absolute().resolve() for name in KEPT]
        if any(where.is_relative_to(each) for each in kept):
            raise UserError(f"{output} lies among the records of {folder}", "name a place outside of it with -o")


def write_or_print(text: str, output: Path | None) -> None:
    """Write a text to a file, whole or not at all, and say so on stderr; print it where no file is named."""
    if output is None:
        display(text, end="", whole=True)
        return
    from results.generated import write

    display(f"{output} {'written' if write(output, text) else 'is up to date'}", error=True)


def generated(contents: Mapping[Path, str], command: str, source: str, *, check: bool) -> None:
    """Write generated files, or say how they differ from their source.

    Args:
        contents: What each file is to hold.
        command: What writes them.
        source: What they are made from, in words.
        check: Write nothing.

    Raises:
        typer.Exit: With ``check``, a file holds something else.
    """
    from results.generated import difference, write

    stale = False
    for output, content in contents.items():
        if not check:
            changed = write(output, content)
            display(f"{output} {'written' if changed else 'is up to date'}", error=True)
            continue
        differs = difference(output, content, command)
        if differs:
            stale = True
            display(differs, end="", whole=True)
            display(f"{output} is not what {source}: run '{command}'", error=True)
        else:
            display(f"{output} is what {source}")
    if stale:
        raise typer.Exit(1)
