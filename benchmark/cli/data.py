"""``bench data`` and ``bench cache``: what lies on this machine, of audio, annotations and embeddings."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import typer

from benchmark.cli import completion
from benchmark.cli.parameters import AsJson, DataRoots, Home
from benchmark.cli.printing import print_json, show
from benchmark.system.home import home_folder
from benchmark.system.progress import Terminal
from benchmark.system.terminal import display

cache_app = typer.Typer(help="Look after cached embeddings.")
data_app = typer.Typer(help="Find, fetch and check the audio and annotations of tasks.")

DataTask = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="Task: id, alias, group, glob or path of a card; T,U too.", autocompletion=completion.tasks
    ),
]


@data_app.command("list")
def data_list(data_root: DataRoots = None, as_json: AsJson = False, home: Home = None) -> None:
    """List the collections: tasks, annotations and audio that are here, size, licence."""
    if as_json:
        from benchmark.datasets.listing import collection_states

        print_json(collection_states(home_folder(home), data_root or ()))
        return
    from benchmark.datasets import data

    display(data.format_collections(home_folder(home), data_root or ()))


@data_app.command("fetch")
def data_fetch(
    task: DataTask,
    annotations: Annotated[bool, typer.Option("--annotations", help="Only annotations, no audio.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch audio of more than 1 GB too.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Unpack (and, where needed, fetch) once more.")] = False,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep archives of unpacked audio.")] = False,
    data_root: DataRoots = None,
    home: Home = None,
) -> None:
    """Fetch annotations, and audio where it can be downloaded; a second call continues where the first stopped."""
    from benchmark.datasets.fetch import fetch

    show(
        fetch(
            task,
            home_folder(home),
            Terminal(),
            data_root or (),
            annotations_only=annotations,
            yes=yes,
            again=again,
            keep_archives=keep_archives,
        )
    )


@data_app.command("verify")
def data_verify(
    task: DataTask,
    annotations: Annotated[bool, typer.Option("--annotations", help="Only annotations: look at no audio.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Decode all audio, and hash archives of audio.")] = False,
    data_root: DataRoots = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Check sources, counts and audio, and decode a sample of 20 files; exit 1 if something is wrong."""
    from benchmark.datasets import data

    findings = data.verify(
        task, home_folder(home), data_root or (), everything=everything, annotations_only=annotations
    )
    show(findings, f"\n{{n}} problem(s). What belongs where: bench data where {task}", as_json=as_json)


@data_app.command("split")
def data_split(
    card: Annotated[str, typer.Argument(metavar="CARD", help="A card of your own (bench tasks new writes one).")],
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="No two splits share a value of this column (default: the card's group)."),
    ] = None,
    shares: Annotated[str | None, typer.Option(help="Of train, valid and test (default: 0.8,0.1,0.1).")] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="N", help="Folds in place of a split: each is test once, the next validation.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make another split where there is one.")] = False,
) -> None:
    """Make a split (or folds) by groups and labels, write it beside the manifest, and print its counts by class."""
    from benchmark.datasets.own import split_card

    display(split_card(card, by, shares, seed, folds=folds, overwrite=overwrite))


@data_app.command("where")
def data_where(task: DataTask, data_root: DataRoots = None, as_json: AsJson = False, home: Home = None) -> None:
    """Print which files belong where, how to get them, and how to use audio that you own."""
    if as_json:
        from benchmark.datasets.listing import collection_states

        print_json(collection_states(home_folder(home), data_root or (), task))
        return
    from benchmark.datasets import data

    display(data.where(task, home_folder(home), data_root or ()))


@data_app.command("audit")
def data_audit(
    task: DataTask,
    content: Annotated[
        bool, typer.Option("--content", help="Read all audio to find the same bytes under different names.")
    ] = False,
    encoder: Annotated[
        str | None, typer.Option("-e", "--encoder", help="Compare its cached embeddings too, to find near-duplicates.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=2, help="With --encoder: the distance of near-duplicates (default: from the data)."),
    ] = None,
    data_root: DataRoots = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Print what splits share and how labels are spread; exit 1 on a leak that the card does not document."""
    from benchmark.datasets import data

    where, findings = home_folder(home), [data.audit(task, home_folder(home), data_root or (), content=content)]
    if encoder is not None:
        from benchmark.jobs import embedding_audit

        findings.append(embedding_audit.audit(encoder, task, where, data_root or (), Terminal(), threshold))
    show(chain.from_iterable(findings), "{n} error(s)", as_json=as_json)


@cache_app.command("ls")
@cache_app.command("list", hidden=True)
def cache_ls(as_json: AsJson = False, home: Home = None) -> None:
    """List cached embeddings: encoder, version, tracks, size, last use."""
    from benchmark.reports import cache

    if as_json:
        print_json(cache.space_facts(home_folder(home)))
        return
    display(cache.format_spaces(home_folder(home)))


@cache_app.command("verify")
def cache_verify(as_json: AsJson = False, home: Home = None) -> None:
    """Read every shard, checksums included; set torn ones aside, so that they are made again."""
    from benchmark.reports import cache

    show(
        cache.verify(home_folder(home)),
        "The next run embeds their tracks again; 'bench cache prune --yes' removes the torn files.",
        as_json=as_json,
    )


@cache_app.command("prune")
def cache_prune(
    encoder: Annotated[str | None, typer.Option("-e", "--encoder", help="Only spaces of this encoder.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Only spaces to which nothing was added for so many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All spaces.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would go.")] = False,
    home: Home = None,
) -> None:
    """Delete cached embeddings by encoder or age, and what killed runs left behind."""
    from benchmark.reports import cache

    home = home_folder(home)
    for line in cache.prune(home, encoder=encoder, older_than=older_than, everything=everything, yes=yes):
        display(line)
