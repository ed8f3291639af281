"""Any attribute of any mirdata loader as a task, offline, on the user's own copy of the data.

A name is ``mirdata:<loader>:<attribute>``, such as ``mirdata:tinysol:pitch``; its card has the id
``mirdata.tinysol.pitch``. The kind follows the attribute's values: text, whole numbers and truth values are classes,
lists are several labels, other numbers are a regression target. Only that attribute, the audio path and what groups the
tracks are read: some loaders fail on attributes that are not needed here.

Splits are the loader's own where it has train and test (without valid, a fifth of train is taken). Otherwise groups
(artists where the loader knows them, else tracks) are dealt out by a hash of their name, 60/20/20, and moved where
labels need it, see `tasks.readers.mirdata_splits`. Whatever this does is said in the card.
"""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.card import SPLITS, TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.kinds import KINDS, Kind
from tasks.metrics.table import usual_metrics
from tasks.readers.mirdata_splits import SEED, SHOWN, deal
from tasks.spelling import as_on_disk, clashes, composed, did_you_mean, folded

ALIASES = {("tinysol", "instrument"): "instrument_full"}
GROUPS = ("artist_id", "artist", "artists", "song_id", "musician", "drummer", "singer", "composer")
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SHARES: Mapping[str, float] = {"train": 0.6, "valid": 0.2, "test": 0.2}


def task_for(name: str, root: Path) -> tuple[TaskCard, Items]:
    """Return the card and the items of ``mirdata:<loader>:<attribute>`` for the data in ``root``.

    The index of the loader is a JSON file in ``root`` (named as mirdata names it, or the only ``*index*.json``), else
    the one that mirdata has downloaded into its own folder.

    Raises:
        TaskError: mirdata is not installed, does not have the loader or the attribute, or cannot read the data; a
            track has no value; or the tracks cannot be split.
    """
    loader, attribute = _parse(name)
    dataset = _dataset(loader, root)
    tracks = _tracks(dataset, loader)
    attribute = ALIASES.get((loader, attribute), attribute)
    _check_attribute(loader, attribute, next(iter(tracks.values())))
    splits, rule, notes = _own_splits(dataset, loader, tracks)
    if splits:
        tracks = {track_id: tracks[track_id] for track_id in tracks if track_id in splits}
    values = [_get(track, attribute, loader) for track in tracks.values()]
    kind, found = _kind(loader, attribute, list(tracks), values)
    groups, grouping, joined = _groups(loader, tracks)
    notes += joined
    members: Sequence[Sequence[str]] = found if KINDS[kind].has_labels else [("",)] * len(values)
    if not splits:
        parts, more = deal(groups, members, SHARES)
        notes += [f"The loader has no usable split: {grouping}s were dealt out by a hash (seed {SEED}).", *more]
        rule = f"seeded, 60/20/20, no {grouping} in two splits"
    else:
        parts = [splits[track_id] for track_id in tracks]
        if "valid" not in parts:
            at = [i for i, part in enumerate(parts) if part == "train"]
            shares = {"train": 0.8, "valid": 0.2}
            dealt, more = deal([groups[i] for i in at], [members[i] for i in at], shares)
            for i, part in zip(at, dealt, strict=True):
                parts[i] = part
            notes += [f"The loader has no valid split: a fifth of train by {grouping} (seed {SEED}).", *more]
    card = _card(dataset, loader, attribute, kind, found, rule, notes, {part: parts.count(part) for part in SPLITS})
    targets = _targets(card, values, found)
    _check_splits(card, parts, targets)
    audio = as_on_disk([_audio(track, loader, root) for track in tracks.values()])
    ids = tuple(composed(track_id) for track_id in tracks)
    return card, Items(ids, tuple(parts), audio, tuple(groups), targets, card.labels or card.targets)


def items(card: TaskCard, root: Path) -> Items:
    """Return the items of a card that `task_for` made, read again."""
    return task_for(card.id.replace(".", ":"), root)[1]


def loader_of(name: str) -> str:
    """Return the loader of ``mirdata:<loader>:<attribute>``, before any data are looked for.

    Raises:
        TaskError: The name has another form, mirdata is not installed, or it does not have the loader.
    """
    loader = _parse(name)[0]
    _library(loader)
    return loader


def _parse(name: str) -> tuple[str, str]:
    parts = name.split(":")
    if len(parts) != 3 or parts[0] != "mirdata" or not all(parts):
        raise TaskError(
            f"{name!r} is not of the form mirdata:<loader>:<attribute>",
            "write it such as mirdata:tinysol:pitch",
        )
    return parts[1], parts[2]


def _library(loader: str) -> Any:
    """Return mirdata, which has the loader."""
    try:
        mirdata = importlib.import_module("mirdata")
    except ImportError as error:
        raise TaskError(f"mirdata cannot be imported ({error})", "install it with 'pip install mirdata'") from None
    known = mirdata.list_datasets()
    if loader not in known:
        hint = did_you_mean(loader, known, f"name one of {', '.join(sorted(known))}", names=3)
        raise TaskError(f"mirdata has no loader {loader!r}", hint)
    return mirdata


def _dataset(loader: str, root: Path) -> Any:
    mirdata = _library(loader)
    dataset = mirdata.initialize(loader, data_home=str(root))
    name = Path(dataset.index_path).name
    here = [root / name] if (root / name).is_file() else sorted(root.glob("*index*.json"))
    if len(here) > 1:
        raise TaskError(f"{root} has {len(here)} index files and none is called {name}", "leave one")
    if here:
        dataset.index_path = str(here[0])
    return dataset


def _tracks(dataset: Any, loader: str) -> dict[str, Any]:
    try:
        tracks = {track_id: dataset.track(track_id) for track_id in dataset.track_ids}
    except FileNotFoundError as error:
        name = Path(dataset.index_path).name
        raise TaskError(
            f"the mirdata loader {loader!r} finds no file at {error.filename or dataset.index_path}",
            f"put the index {name} into {dataset.data_home}, or let mirdata download it: "
            f"mirdata.initialize({loader!r}).download(['index'])",
        ) from None
    except Exception as error:
        raise TaskError(
            f"mirdata cannot list the tracks of {loader!r} in {dataset.index_path}: {_say(error)}",
            f"Get the index again: mirdata.initialize({loader!r}).download(['index'])",
        ) from None
    if not tracks:
        raise TaskError(
            f"the index {dataset.index_path} of the mirdata loader {loader!r} has no tracks",
            f"Get it again: mirdata.initialize({loader!r}).download(['index'])",
        )
    return tracks


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _attributes(track: Any) -> list[str]:
    """Return the names of what a track knows, without computing anything."""
    names = {name for name in vars(track) if not name.startswith("_")}
    for cls in type(track).__mro__:
        names |= {n for n, v in vars(cls).items() if isinstance(v, property) or type(v).__name__ == "cached_property"}
    return sorted(
        n for n in names if not n.startswith("_") and n not in ("audio", "track_id") and not n.endswith("_path")
    )


def _check_attribute(loader: str, attribute: str, track: Any) -> None:
    known = _attributes(track)
    if attribute not in known:
        hint = did_you_mean(attribute, known, "choose another.", names=3, cutoff=0.5)
        raise TaskError(
            f"the mirdata loader {loader!r} has no attribute {attribute!r}", f"{hint} It has {', '.join(known)}"
        )


def _get(track: Any, attribute: str, loader: str) -> Any:
    try:
        return getattr(track, attribute)
    except Exception as error:
        raise TaskError(
            f"mirdata cannot read {attribute!r} of track {track.track_id!r} of {loader!r}: {_say(error)}",
            f"See what is damaged or missing: mirdata.initialize({loader!r}, data_home=...).validate()",
        ) from None


def _own_splits(dataset: Any, loader: str, tracks: Mapping[str, Any]) -> tuple[dict[str, str], str, list[str]]:
    """Return the split of each track that the loader names, a rule in words, and notes; nothing if it has no split."""
    base = importlib.import_module("mirdata").core.Dataset
    first = next(iter(tracks.values()))
    known = _attributes(first)
    source: str | None = next((name for name in ("split", "subset") if name in known), None)
    if type(dataset).get_track_splits is not base.get_track_splits:
        try:
            named = [(track_id, part) for part, ids in dataset.get_track_splits().items() for track_id in ids]
        except Exception as error:
            raise TaskError(
                f"mirdata cannot read the splits of {loader!r}: {_say(error)}",
                f"See what is damaged or missing: mirdata.initialize({loader!r}, data_home=...).validate()",
            ) from None
        source = "get_track_splits()"
    elif source is not None:
        named = [(track_id, _get(track, source, loader)) for track_id, track in tracks.items()]
    else:
        return {}, "", []
    parts = {PARTS.get(str(part).lower()) for _, part in named}
    if None in parts or not {"train", "test"} <= parts:
        names = sorted({str(part) for _, part in named})
        return {}, "", [f"The loader's {source} ({', '.join(names[:SHOWN])}) is not train and test, and is not used."]
    splits: dict[str, str] = {}
    for track_id, part in named:
        if splits.setdefault(track_id, PARTS[str(part).lower()]) != PARTS[str(part).lower()]:
            raise TaskError(
                f"the mirdata loader {loader!r} has the track {track_id!r} in two splits",
                "This is a fault of the loader: write a card and a manifest of your own",
            )
    strangers = [track_id for track_id in splits if track_id not in tracks]
    if strangers:
        raise TaskError(
            f"{len(strangers)} tracks in the splits of {loader!r} are not in its index: {strangers[0]!r}, …",
            f"Get both in one version: mirdata.initialize({loader!r}, data_home=...).download()",
        )
    spare = len(tracks) - len(splits)
    notes = [f"{spare} of {len(tracks)} tracks are in no split of the loader, and are not used."] if spare else []
    return splits, f"the loader's own ({source})", notes


def _groups(loader: str, tracks: Mapping[str, Any]) -> tuple[list[str], str, list[str]]:
    """Return the group of each track, what it is called, and notes; a list of artists is one group.

    Spellings of a name that differ only in case, white space or signs that do not show are one group, named by the
    first: else an artist could be in two splits.
    """
    first = next(iter(tracks.values()))
    for name in (name for name in GROUPS if name in _attributes(first)):
        values = [_get(track, name, loader) for track in tracks.values()]
        found = [" & ".join(sorted(map(str, v))) if isinstance(v, list | tuple) else str(v).strip() for v in values]
        if all(found) and all(v is not None for v in values):
            first_of: dict[str, str] = {}
            joined = [first_of.setdefault(folded(group), composed(group)) for group in found]
            called, spellings = name.removesuffix("_id").removesuffix("s"), len(set(found))
            notes = [f"{spellings} spellings of the {called} are {len(first_of)}: only case or spaces differ."]
            return joined, called, notes if spellings > len(first_of) else []
    return list(tracks), "track", []


def _kind(loader: str, attribute: str, ids: Sequence[str], values: Sequence[Any]) -> tuple[Kind, list[list[str]]]:
    """Return the kind of the task, and the labels of each track (nothing for regression)."""
    missing = [i for i, v in zip(ids, values, strict=True) if v is None or v == "" or (_is_real(v) and math.isnan(v))]
    if missing:
        raise TaskError(
            f"{attribute!r} of the mirdata loader {loader!r} has no value for {len(missing)} of {len(ids)} tracks "
            f"({', '.join(missing[:SHOWN])}{', …' if len(missing) > SHOWN else ''}): no track is left out silently",
            "Take these out of a copy of the index in the data's folder, or choose another attribute",
        )
    what = f"{attribute!r} of the mirdata loader {loader!r}"
    flat = [part for v in values for part in (v if isinstance(v, list | tuple | set) else [v])]
    several = any(isinstance(v, list | tuple | set) for v in values)
    odd = next((v for v in flat if not isinstance(v, str) and not _is_real(v)), None)
    if odd is not None:
        raise TaskError(f"{what} holds {type(odd).__name__}, not labels or numbers", "choose another attribute")
    whole = all(isinstance(v, numbers.Integral | np.bool_) for v in flat)
    if not several and not whole and all(_is_real(v) for v in flat):
        return "regression", [[] for _ in values]
    lists = [sorted(v, key=str) if isinstance(v, set) else v if isinstance(v, list | tuple) else [v] for v in values]
    names = [list(dict.fromkeys(composed(str(part).strip()) for part in parts)) for parts in lists]
    bad = [name for parts in names for name in parts if not name or (several and "|" in name)]
    if bad:
        raise TaskError(
            f"{what} has the label {bad[0]!r}, which no card can hold",
            "choose another attribute, or write a card and a manifest of your own",
        )
    holder = {name: track for track, parts in zip(reversed(ids), reversed(names), strict=True) for name in parts}
    for clash in clashes(dict.fromkeys(name for parts in names for name in parts), notes=True):
        raise TaskError(
            f"{what} has the labels {clash.first!r} (track {holder[clash.first]}) and {clash.second!r} (track "
            f"{holder[clash.second]}), which {clash.why}: they would be two classes",
            "Write a card and a manifest of your own, in which they are one, or which says distinct_labels = true",
        )
    return "multilabel" if several else "multiclass", names


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.bool_)


def _targets(card: TaskCard, values: Sequence[Any], found: Sequence[Sequence[str]]) -> np.ndarray:
    if card.labels is None:
        return np.array(values, np.float32).reshape(-1, 1)
    return KINDS[card.kind].encode(found, card.labels)


def _check_splits(card: TaskCard, parts: Sequence[str], targets: np.ndarray) -> None:
    empty = [split for split in SPLITS if split not in parts]
    if empty:
        raise TaskError(
            f"the task {card.id!r} has no track in {' and '.join(empty)}: it needs train, valid and test",
            "it needs train, valid and test; choose another loader, or write a card and a manifest of your own",
        )
    if card.labels is None:
        return
    member = KINDS[card.kind].membership(targets, len(card.labels))
    unseen = [card.labels[i] for i in np.flatnonzero(~member[np.array(parts) == "train"].any(axis=0))]
    if unseen:
        raise TaskError(
            f"{card.id!r}: {len(unseen)} labels are never in train, such as {unseen[0]!r}",
            "choose another attribute, or write a card and a manifest of your own",
        )


def _card(
    dataset: Any,
    loader: str,
    attribute: str,
    kind: Kind,
    found: Sequence[Sequence[str]],
    rule: str,
    notes: Sequence[str],
    sizes: Mapping[str, int],
) -> TaskCard:
    labels = sorted({name for names in found for name in names})
    if labels and all(label.removeprefix("-").isdecimal() for label in labels):
        labels.sort(key=int)
    bare = sum(not names for names in found) if labels else 0
    untagged = [f"{bare} tracks have no label, and are kept."] if bare else []
    return TaskCard.model_validate(
        {
            "id": f"mirdata.{loader}.{attribute}",
            "title": f"{loader}: {attribute} (mirdata)",
            "description": f"The attribute {attribute!r} of the mirdata loader {loader!r}.",
            "kind": kind,
            "metrics": usual_metrics(kind, (attribute,), labels),
            "collection": f"mirdata_{loader}",
            "labels": tuple(labels) or None,
            "outputs": (attribute,),
            "split_rule": rule,
            "label_source": f"mirdata {importlib.import_module('mirdata').__version__}, index {dataset.version}",
            "groups": ("mirdata",),
            "sizes": dict(sizes),
            "licence": " ".join(str(dataset._license_info or "").split()),
            "audio": "The user's own copy, in the folders that mirdata expects.",
            "citation": str(dataset.bibtex or "").strip(),
            "deviations": (*notes, *untagged),
        }
    )


def _audio(track: Any, loader: str, root: Path) -> Path:
    names = ["audio_path", *sorted(name for name in vars(track) if name.endswith("_path") and "audio" in name)]
    path = next((value for name in names if (value := getattr(track, name, None))), None)
    if path is None:
        raise TaskError(
            f"the mirdata loader {loader!r} has no audio for the track {track.track_id!r}",
            "take it out of a copy of the index in the data's folder",
        )
    return (root.absolute() / path).absolute()
