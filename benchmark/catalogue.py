"""The tasks, the encoders and the results that there are: what ``bench tasks``, ``encoders`` and ``results`` print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.system.home import examples_folder, home_folder, results_folder

if TYPE_CHECKING:
    import pandas as pd

    from tasks.registry import Task


@dataclass(frozen=True)
class TaskInfo:
    """What a task asks.

    Attributes:
        id: What names it in ``benchmark.run``.
        title: In words.
        kind: ``multiclass``, ``multilabel`` or ``regression``.
        metrics: The first is the primary one.
        sizes: Items of each split, where its card states them.
        group: The table of the leaderboard that it belongs to.
        aliases: Other names that are understood.
        collection: The audio that it is about; several tasks may share it.
        targets: What a regression predicts; empty for other kinds.
        labels: The classes or tags in their order, where its card states them.
        licence: Of the audio and the annotations.
        card: The file that says all of this, and more.
    """

    id: str
    title: str
    kind: Literal["multiclass", "multilabel", "regression"]
    metrics: tuple[str, ...]
    sizes: Mapping[str, int] | None
    group: str
    aliases: tuple[str, ...]
    collection: str
    targets: tuple[str, ...]
    labels: tuple[str, ...] | None
    licence: str
    card: Path


@dataclass(frozen=True)
class EncoderInfo:
    """An encoder that has a name here.

    Attributes:
        name: What names it in ``benchmark.run``.
        description: What it is, in a line.
        kind: ``built in``, ``published`` (weights to fetch once), ``hub`` (the same, from the Hugging Face hub),
            ``elsewhere`` (it needs an environment of its own), ``own`` (a card in the data home), ``installed`` (an
            entry point of another package) or ``pretrained`` (a run of ``bench pretrain`` in the data home).
        ready: Whether its weights are on this machine, or it needs none. Packages that it needs are not looked at.
        licence: Of weights and code, where its card tells.
        aliases: Other names that are understood.
        card: The file that says what it is, where it has one.
    """

    name: str
    description: str
    kind: Literal["built in", "published", "hub", "elsewhere", "own", "installed", "pretrained"]
    ready: bool
    licence: str = ""
    aliases: tuple[str, ...] = ()
    card: Path | None = None


def list_tasks(names: str | Path | Iterable[str | Path] = "all", home: Path | str | None = None) -> list[TaskInfo]:
    """Return the tasks that ``names`` ask for, by default all that are built in.

    Args:
        names: Ids, aliases, globs (``demo_*``), groups (``paper``), ``all``, or paths of cards; one string may hold
            several, separated by commas.
        home: Data home; ``$BENCH_HOME`` or the platform's cache folder by default.

    Raises:
        TaskError: A name that fits nothing, or a card that cannot be used.
    """
    from tasks import registry

    wanted = [names] if isinstance(names, str | Path) else names
    return [info_of(task) for task in registry.find(map(str, wanted), home_folder(home))]


def info_of(task: Task) -> TaskInfo:
    """Return what a task asks as a record."""
    from tasks.kinds import KINDS

    card = task.card
    return TaskInfo(
        id=card.id,
        title=card.title,
        kind=card.kind,
        metrics=card.metrics,
        sizes=None if card.sizes is None else {str(split): count for split, count in card.sizes.items()},
        group=task.group,
        aliases=card.aliases,
        collection=task.collection,
        targets=() if KINDS[card.kind].has_labels else card.targets,
        labels=card.labels,
        licence=card.licence,
        card=task.source,
    )


def list_encoders(home: Path | str | None = None) -> list[EncoderInfo]:
    """Return the encoders that have a name here; ``bench encoders`` says how to name others.

    Args:
        home: Data home, whose fetched weights and runs of pre-training are looked at; ``$BENCH_HOME`` or the platform's
            cache folder by default.

    Raises:
        UserError: Two installed packages bring different encoders under one name, or an encoder card is not valid.
    """
    from benchmark.encoders.cards.fetched import is_here
    from benchmark.encoders.published.weights import WEIGHTS, is_fetched
    from benchmark.encoders.registry import BUILTIN, PUBLISHED, cards_here, entry_points
    from benchmark.pretraining.runs import runs

    where = home_folder(home)
    cards = cards_here(where)

    def named(name: str, description: str) -> EncoderInfo:
        if name not in WEIGHTS:
            return EncoderInfo(name, description, "built in", ready=True)
        card = cards[name]
        return EncoderInfo(
            name, description, "published", is_fetched(name, where), card.card.licences, card.card.aliases, card.path
        )

    encoders = [named(name, description) for name, (_, description) in BUILTIN.items()]
    encoders += [named(name, description) for name, description in PUBLISHED.items()]
    for name, each in cards.items():
        if name in BUILTIN or name in PUBLISHED:
            continue
        card = each.card
        kind: Literal["hub", "elsewhere", "own"] = "elsewhere" if card.elsewhere else "hub" if card.is_on_hub else "own"
        ready = kind == "own" or (kind == "hub" and is_here(card, where))
        encoders.append(
            EncoderInfo(name, f"{card.title}: {card.description}", kind, ready, card.licences, card.aliases, each.path)
        )
    for name, point in entry_points().items():
        if any(name == encoder.name for encoder in encoders):
            continue
        encoders.append(EncoderInfo(name, f"of an installed package: {point.value}", "installed", ready=True))
    for run in runs(where):
        description = run.title + ("; not exported yet" if run.step is None else f", step {run.step:,}")
        encoders.append(EncoderInfo(f"pretrained:{run.name}", description, "pretrained", ready=run.step is not None))
    return encoders


def load_results(
    folder: str | Path | Iterable[str | Path] | None = None,
    *,
    curves: bool = False,
    split: Literal["valid", "test", "all"] = "all",
) -> pd.DataFrame:
    """Return records as a table, one row a record, split and metric, with the columns of `results.frames.load_results`.

    One more column, ``example``, says whether a record is one of the examples of this package rather than one's own.

    Args:
        folder: A results folder, or several. By default the one that runs write to: ``results``; in a checkout of this
            package ``my-results``, and the examples in ``results`` of which it has no record.
        curves: Read the points of learning curves too.
        split: The rows of ``valid`` or of ``test`` alone; then a row is a record and a metric.

    Returns:
        A frame, one's own records first. Without records it has no rows.

    Raises:
        RecordError: A folder is not there, or a record cannot be read or is not as it was written.
        ValueError: There is no such split.
    """
    import pandas as pd

    from results import frames

    examples = examples_folder()
    if folder is None and examples is not None:
        own = results_folder()
        parts = [frames.load_results(each, curves=curves, split=split) for each in (own, examples) if each.is_dir()]
        frame = pd.concat(parts, ignore_index=True)
        one_record = ["task", "name", "limit", "fraction", "repeat"]
        first = frame.drop_duplicates([*one_record, "path"]).drop_duplicates(one_record).path
        frame = frame[frame.path.isin(first)].reset_index(drop=True)
    else:
        frame = frames.load_results(results_folder() if folder is None else folder, curves=curves, split=split)
    inside = None if examples is None else examples.resolve()
    frame["example"] = [inside is not None and Path(path).resolve().is_relative_to(inside) for path in frame.path]
    return frame.astype({"example": "bool"})
