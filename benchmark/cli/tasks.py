"""``bench tasks``: list, show one card, write a card for data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.cli import completion
from benchmark.cli.encoders import ShowByDefault
from benchmark.cli.parameters import AsJson, Home
from benchmark.cli.printing import generated, print_json, refuse_no_markdown, refuse_stray
from benchmark.errors import UserError
from benchmark.system.terminal import display

tasks_app = typer.Typer(
    cls=ShowByDefault,
    help="List the tasks, print one card (tasks NAME), or write one for data of your own (tasks new).",
)

Markdown = Annotated[bool, typer.Option("--markdown", help="Write the page of all tasks.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="With --markdown: the file.")]
Check = Annotated[
    bool, typer.Option("--check", help="With --markdown: write nothing; exit 1 if the file is out of date.")
]
PAGE = Path("docs/tasks.md")
COLUMN = "COLUMN"


@tasks_app.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    markdown: Markdown = False,
    output: Output = PAGE,
    check: Check = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """List the tasks, print one card (tasks NAME), or write one for data of your own (tasks new)."""
    context.obj = home
    refuse_stray(context, "as_json")
    if context.invoked_subcommand is not None:
        return
    _show(None, home, markdown=markdown, output=output, check=check, as_json=as_json)


@tasks_app.command("show")
def show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(help="A task id, alias, group, glob or path of a card.", autocompletion=completion.tasks),
    ],
    extra: Annotated[str | None, typer.Argument(hidden=True)] = None,
    markdown: Markdown = False,
    output: Output = PAGE,
    check: Check = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Print one card with what is missing on this machine, or several as a list."""
    if extra is not None:
        raise typer.BadParameter(f"{extra!r} is one argument too many: 'tasks NAME' shows one task, or several as A,B")
    _show(name, home or context.obj, markdown=markdown, output=output, check=check, as_json=as_json)


@tasks_app.command("new")
def new(
    source: Annotated[
        Path, typer.Argument(help="A folder of audio with a sub-folder a label, or a table (CSV; also with ; or tabs).")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The card to write.")] = Path("card.toml"),
    target: Annotated[
        str | None, typer.Option(metavar=COLUMN, help="What is predicted; for several columns of numbers X,Y.")
    ] = None,
    audio: Annotated[str | None, typer.Option(metavar=COLUMN, help="The column that names audio files.")] = None,
    split: Annotated[str | None, typer.Option(metavar=COLUMN, help="The column of train, valid and test.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar=COLUMN, help="What no two splits share: artist, album, song, ...")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", metavar=COLUMN, help="The column of ids.")] = None,
    kind: Annotated[
        Literal["multiclass", "multilabel", "regression"] | None, typer.Option(help="The kind of task.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the audio of a table lies (default: its folder).")
    ] = None,
    allow_unlabelled: Annotated[
        int, typer.Option(min=0, metavar="N", help="Leave out up to N files of a folder that have no label.")
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a card that is there.")] = False,
) -> None:
    """Look at a folder or a table, say what it is taken for, and write a card (and a manifest, where one is needed)."""
    from benchmark.datasets.own import new_card
    from tasks.own.targets import Named

    named = Named(audio=audio, id=id_column, split=split, group=group, target=target, kind=kind)
    display(new_card(source, output, named, root=root, allow_unlabelled=allow_unlabelled, overwrite=overwrite))


def _show(name: str | None, home: Path | None, *, markdown: bool, output: Path, check: bool, as_json: bool) -> None:
    if markdown and as_json:
        raise UserError("--markdown and --json are two formats", "give one of them")
    if as_json:
        from benchmark.catalogue import list_tasks

        print_json(list_tasks("all" if name is None else name, home))
        return
    if markdown:
        refuse_no_markdown(output)
        from benchmark.reports.tasks_page import render

        generated({output: render()}, "bench tasks --markdown", "the cards give", check=check)
        return
    from benchmark.reports.tasks import format_tasks
    from benchmark.system.home import home_folder

    display(format_tasks(name, home_folder(home)))
