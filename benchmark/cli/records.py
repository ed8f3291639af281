"""Which records a command reads: of which folders, encoders and tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import completion
from benchmark.errors import UserError
from benchmark.system.home import examples_folder, results_folder

if TYPE_CHECKING:
    from results.together import Together

RecordedEncoders = Annotated[
    list[str] | None,
    typer.Option(
        "-e", "--encoder", help="These alone: names of rows, globs; X,Y too.", autocompletion=completion.recorded
    ),
]
RecordedTasks = Annotated[
    list[str] | None,
    typer.Option("-t", "--task", help="These alone: ids, groups, globs; T,U too.", autocompletion=completion.tasks),
]
Curves = Annotated[bool, typer.Option("--curves", help="Points of learning curves too.")]


def together_of(results: list[Path] | None, *, curves: bool = False) -> Together:
    """Return the records of the folders that are named; by default one's own, in a checkout beside its examples."""
    from results.together import read_together

    if results:
        return read_together(results, curves=curves)
    return read_together([results_folder()], examples_folder(), curves=curves)


def refuse_missing(results: list[Path] | None) -> None:
    """Refuse a results folder that is named and is not there; the default one may be missing.

    Raises:
        UserError: There is none.
    """
    for folder in results or ():
        if not folder.is_dir():
            raise UserError(
                f"there is no results folder {folder}",
                "give --results, or run something first: bench run -e logmel -t demo_key",
            )
