"""Parameters that several commands take; those that are options of a run are made from :class:`Options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from benchmark.cli import completion
from benchmark.jobs.options import Option, option_list


def shown(option: Option) -> Any:
    """Return what typer shows of an option."""
    flag = option.flag
    return typer.Option(
        option.text, help=flag.help, rich_help_panel=flag.panel, metavar=flag.metavar,
        autocompletion=completion.trackers if option.name == "track" else None,
    )  # fmt: skip


def flag(name: str) -> Any:
    """Return the same of the option with that name, for commands that take few; these have one panel."""
    option = next(option for option in option_list() if option.name == name)
    return typer.Option(option.text, help=option.flag.help, metavar=option.flag.metavar, min=option.flag.least)


Home = Annotated[Path | None, flag("home")]
Results = Annotated[Path | None, flag("results")]
SeveralResults = Annotated[
    list[Path] | None,
    typer.Option("--results", help="Folder of the records; repeatable, to read those of several machines or people."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, flag("device")]
BatchSize = Annotated[int, flag("batch_size")]
Workers = Annotated[int | None, flag("workers")]
DataRoots = Annotated[list[str] | None, flag("data_roots")]
EncoderArgs = Annotated[list[str] | None, flag("encoder_args")]
EncoderNames = Annotated[
    list[str],
    typer.Option(
        "-e", "--encoder", autocompletion=completion.encoders,
        help="Encoder: id, file.py[:Class], module:Class, hf:ID, hear:MODULE, onnx:FILE, torchscript:FILE, emb:FILE; "
        "options as ?k=v&k2=v2; X,Y for several. 'bench encoders' tells more.",
    ),
]  # fmt: skip
TaskNames = Annotated[
    list[str],
    typer.Option(
        "-t", "--task", autocompletion=completion.tasks,
        help="Task: id, alias, group, glob ('demo_*') or path of a card; T,U too.",
    ),
]  # fmt: skip


def _configured(context: typer.Context, path: Path | None) -> Path | None:
    """Let what a file says stand in place of defaults: what the command line says wins."""
    if path is not None and not context.resilient_parsing:
        from benchmark.jobs.configuration import read_configuration

        found = read_configuration(path)
        named = {"encoder": list(found.encoders), "task": list(found.tasks)}
        context.default_map = {**{name: texts for name, texts in named.items() if texts}, **found.chosen}
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", is_eager=True, callback=_configured, metavar="FILE",
        help="A TOML file of options, with encoder and task; paths in it are relative to it, and what the command line "
        "says wins.",
    ),
]  # fmt: skip


def with_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, which takes ``**chosen``, a parameter for each of the options ``names``, or for all of them.

    What the user leaves out is left out of ``chosen`` too, so that defaults stand in one place.
    """
    options = [option for option in option_list() if not names or option.name in names]

    def give(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [p.replace(annotation=hints[p.name]) for p in own]
        parameters += [_parameter(option) for option in options]

        @functools.wraps(command)
        def called(*arguments: Any, **given: Any) -> None:
            chosen = {name: value for name, value in given.items() if value is not None or name in hints}
            command(*arguments, **chosen)

        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        vars(called)["__signature__"] = inspect.Signature(parameters)
        return called

    return give


def _parameter(option: Option) -> inspect.Parameter:
    """Return a command's parameter: folders are paths, texts in a row one text or a repeated option."""
    kind, default = option.type, option.default
    members = get_args(kind)
    if Path in members:
        kind = Path | None if default is None else Path
    elif str in members and Sequence[float] in members:
        kind, default = str | None, None
    elif kind == Sequence[str] or Mapping[str, object] in members:
        kind, default = list[str] | None, None
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, shown(option)]
    )
