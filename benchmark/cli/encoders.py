"""``bench encoders``: list, show one, check, write a new one, fetch weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

Home = Annotated[Path | None, typer.Option(help="Data home (default: $BENCH_HOME, else the platform's cache folder).")]
Name = Annotated[str, typer.Argument(help="An encoder, as for --encoder; 'bench encoders' lists the kinds.")]


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
def listing(context: typer.Context, home: Home = None) -> None:
    """List the encoders, print what one declares (encoders NAME), check one, or fetch weights."""
    context.obj = home
    if context.invoked_subcommand is None:
        from benchmark.reports import listings

        listings.encoders(None, home)


@encoders_app.command("show")
def show(
    context: typer.Context,
    name: Name,
    extra: Annotated[str | None, typer.Argument(hidden=True)] = None,
    home: Home = None,
) -> None:
    """Print what an encoder declares."""
    from benchmark.reports import listings

    if extra is not None:
        raise typer.BadParameter(f"{extra!r} is one argument too many: 'encoders NAME' shows one encoder")
    listings.encoders(name, home or context.obj)


@encoders_app.command("fetch")
def fetch(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The encoder whose weights to bring.")] = None,
    remove_original: Annotated[
        bool, typer.Option("--remove-original", help="Keep only the converted weights.")
    ] = False,
    home: Home = None,
) -> None:
    """Fetch published weights, once."""
    from benchmark.reports import listings

    listings.fetch_encoder(name, home or context.obj, remove_original=remove_original)


@encoders_app.command("check")
def check(
    context: typer.Context,
    name: Name,
    encoder_arg: Annotated[
        list[str] | None, typer.Option("--encoder-arg", help="K=V, an option of the encoder; may repeat.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("-t", "--task", help="Estimate the embedding of these tasks too.")
    ] = None,
    data_root: Annotated[list[str] | None, typer.Option("--data-root", help="COLLECTION=DIR: a copy you have.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Windows in the batch that is timed.")] = 32,
    home: Home = None,
) -> None:
    """Hold an encoder to its contract on made-up audio, and tell its speed and memory; exit 2 if a rule is broken."""
    from benchmark.reports import encoders

    kept = encoders.check(
        name,
        home or context.obj,
        arguments=encoder_arg or (),
        task=task or (),
        data_roots=data_root or (),
        device=device,
        batch_size=batch_size,
    )
    if not kept:
        raise typer.Exit(2)


@encoders_app.command("new")
def new(file: Annotated[Path, typer.Argument(help="The Python file to write, such as my_encoder.py.")]) -> None:
    """Write a plug-in of ten lines that works."""
    from benchmark.reports import encoders

    encoders.new(file)
