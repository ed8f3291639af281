"""``bench encoders``: list, show one, check, write a new one, fetch weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from benchmark.cli import completion
from benchmark.cli.parameters import AsJson, BatchSize, DataRoots, Device, EncoderArgs, Home
from benchmark.cli.printing import print_json, refuse_stray
from benchmark.errors import UserError
from benchmark.system.terminal import display

Name = Annotated[
    str,
    typer.Argument(
        help="An encoder, as for --encoder; 'bench encoders' lists the kinds.", autocompletion=completion.encoders
    ),
]


class ShowByDefault(TyperGroup):
    """A group in which ``encoders NAME`` is ``encoders show NAME``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # Any: typer brings a click of its own, or not
        """Put ``show`` before what is no command."""
        if args and self.get_command(ctx, args[0]) is None:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


encoders_app = typer.Typer(
    cls=ShowByDefault, help="List the encoders, print what one declares (encoders NAME), check one, or fetch weights."
)


@encoders_app.callback(invoke_without_command=True)
def listing(context: typer.Context, as_json: AsJson = False, home: Home = None) -> None:
    """List the encoders, print what one declares (encoders NAME), check one, or fetch weights."""
    context.obj = home
    refuse_stray(context, "as_json")
    if context.invoked_subcommand is not None:
        return
    from benchmark.system.home import home_folder

    if as_json:
        from benchmark.catalogue import list_encoders

        print_json(list_encoders(home_folder(home)))
        return
    from benchmark.reports.encoders import catalogue

    display(catalogue(home_folder(home)))


@encoders_app.command("show")
def show(
    context: typer.Context,
    name: Name,
    extra: Annotated[str | None, typer.Argument(hidden=True)] = None,
    as_json: AsJson = False,
    as_bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the entry to cite.")] = False,
    home: Home = None,
) -> None:
    """Print what an encoder declares, and its card where it has one."""
    from benchmark.reports.encoder_cards import bibtex
    from benchmark.reports.encoders import declared, format_encoder
    from benchmark.system.home import home_folder

    if extra is not None:
        raise typer.BadParameter(f"{extra!r} is one argument too many: 'encoders NAME' shows one encoder")
    if as_json and as_bibtex:
        raise UserError("--json and --bibtex are two formats", "give one of them")
    if as_bibtex:
        display(bibtex(name, home_folder(home or context.obj)), whole=True)
        return
    if as_json:
        print_json(declared(name, home_folder(home or context.obj)))
        return
    display(format_encoder(name, home_folder(home or context.obj)))


@encoders_app.command("fetch")
def fetch(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The encoder whose weights to bring.", autocompletion=completion.encoders)
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Allow the code that comes with the model, without being asked.")
    ] = False,
    commit: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="Of a model of the hub: this full commit, not the card's.")
    ] = None,
    remove_original: Annotated[
        bool, typer.Option("--remove-original", help="Keep only the converted weights.")
    ] = False,
    home: Home = None,
) -> None:
    """Fetch published weights, once."""
    from benchmark.encoders.published.weights import WEIGHTS, fetch_weights, is_fetched
    from benchmark.reports.encoder_cards import card_of, fetchable
    from benchmark.system.home import home_folder
    from benchmark.system.progress import Terminal

    where, report = home_folder(home or context.obj), Terminal()
    if name is None:
        raise UserError("no encoder was named", f"give one of {', '.join(fetchable(where))}: bench encoders fetch NAME")
    named = card_of(name, where)
    if named is not None and named.card.id not in WEIGHTS:
        _fetch_of_hub(named, where, yes=yes, commit=commit)
        return
    name = name if named is None else named.card.id
    if commit is not None:
        raise UserError(f"{name!r} is no model of the hub, so that it has no commit", "leave --commit out")
    if name in WEIGHTS and not is_fetched(name, where):
        report.say(WEIGHTS[name].licence)
    with report.stage(f"Fetching {name}", 1, "bytes") as advance:
        path = fetch_weights(
            name, where, remove_original=remove_original, progress=lambda done, total: advance(done, total=total)
        )
    display(f"{name}: weights in {path}")


def _fetch_of_hub(named: Any, home: Path, *, yes: bool, commit: str | None) -> None:
    """Fetch the files of a card of the hub; ask once whether the code among them may be run."""
    from benchmark.encoders.cards.hub import download, fetched_already, plan_of
    from benchmark.reports.encoder_cards import asked_of, refuse_unfetchable
    from benchmark.system.progress import Terminal

    refuse_unfetchable(named)
    report, card = Terminal(), named.card
    place = fetched_already(named, home, commit)
    if place is None:
        plan = plan_of(named, commit)
        report.say(f"{card.title}: {plan.size:,} bytes from {plan.hub} at {plan.commit}; licence: {card.licences}")
        if plan.code and not yes:
            question = asked_of(named, plan)
            if not sys.stdin.isatty():
                raise UserError(question, f"Look at it; if you trust it: bench encoders fetch {card.id} --yes")
            if not typer.confirm(f"{question}. Allow it?", err=True):
                raise UserError(
                    f"nothing of {card.id!r} was fetched", "Take another encoder: 'bench encoders' lists them"
                )
        with report.stage(f"Fetching {card.id}", plan.size, "bytes") as advance:
            place = download(named, plan, home, lambda done, total: advance(done, total=total))
    display(f"{card.id}: weights in {place.files}")


@encoders_app.command("check")
def check(
    context: typer.Context,
    name: Name,
    encoder_arg: EncoderArgs = None,
    task: Annotated[
        list[str] | None, typer.Option("-t", "--task", help="Estimate the embedding of these tasks too.")
    ] = None,
    data_root: DataRoots = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write what it is to this file, or hold it to what the file says, where it is there."
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Hold an encoder to its contract on made-up audio, and tell its speed and memory; exit 2 if a rule is broken."""
    from benchmark.reports import encoders

    text, kept = encoders.check(
        name,
        home or context.obj,
        arguments=encoder_arg or (),
        task=task or (),
        data_roots=data_root or (),
        device=device,
        batch_size=batch_size,
        certificate=certificate,
    )
    display(text)
    if not kept:
        raise typer.Exit(2)


@encoders_app.command("new")
def new(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="The Python file to write, such as my_encoder.py; with --env it is NAME.py by default."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            "--env",
            metavar="NAME",
            help="For an environment of its own (another torch, another Python): print the commands that make it, too.",
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Write a plug-in of ten lines that works."""
    from benchmark.encoders.template import IN_ENVIRONMENT, commands, write
    from benchmark.system.home import home_folder

    if environment is not None:
        path = file or Path(f"{Path(environment).name}.py")
        make, install, check_it = commands(path, environment, home_folder(home or context.obj))
        write(path, IN_ENVIRONMENT)
        display(
            f"{path} written. Make its environment, install into it what the encoder needs beside numpy, and try it:\n"
            f"  {make}\n  {install}\n  {check_it}"
        )
        return
    if file is None:
        raise UserError("no file was named", "give one: bench encoders new mine.py")
    write(file)
    shown = f"'{file}'" if " " in str(file) else str(file)
    display(f"{file} written. Try it:\n  bench encoders check {shown}\n  bench run --encoder {shown} --task demo")
