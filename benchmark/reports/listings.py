"""``bench tasks``, ``encoders`` and ``leaderboard``: lists of what is there."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.system.home import home_folder
from benchmark.system.tables import table
from benchmark.system.terminal import display
from tasks.kinds import KINDS

if TYPE_CHECKING:
    from tasks.card import TaskCard
    from tasks.registry import Task

WIDTH = 100


def tasks(name: str | None, home: Path | None = None) -> None:
    """Print the tasks as a table, or one card in full with what of it is on this machine."""
    from benchmark.catalogue import info_of
    from tasks import registry

    where = home_folder(home)
    found = list(registry.builtin_tasks().values()) if name is None else registry.find(name, where)
    if name is not None and len(found) == 1:
        _print_card(name, found[0], where)
        return
    rows = [
        [
            info.id,
            info.title,
            info.kind,
            ", ".join(info.metrics),
            " / ".join(map(str, info.sizes.values())) if info.sizes else "-",
            info.group,
        ]
        for info in map(info_of, found)
    ]
    display(table(rows, ["task", "title", "kind", "metrics", "train / valid / test", "group"]))
    if name is None:
        display("\nOne card: bench tasks ID. Your own data: bench run --encoder X --task path/to/card.toml")


def task_page(output: Path, *, check: bool) -> None:
    """Write the page of the tasks, or say how the file differs from what the cards give."""
    from benchmark.reports import tasks_page

    if check:
        difference = tasks_page.check(output)
        if difference:
            display(difference, end="")
            display(f"{output} is not what the cards give: run 'bench tasks --markdown'", error=True)
            sys.exit(1)
        display(f"{output} is what the cards give")
        return
    try:
        changed = tasks_page.write(output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from None
    display(f"{output} {'written' if changed else 'is up to date'}", error=True)


def _print_card(name: str, task: Task, home: Path) -> None:
    from benchmark.reports.tasks_page import format_probe, format_table1, format_windows

    card = task.card
    display(card.title)
    display("=" * len(card.title))
    display(textwrap.fill(card.description, WIDTH) + "\n" if card.description else "")
    has_labels = KINDS[card.kind].has_labels
    facts = {
        "id": card.id + (f" (also {', '.join(card.aliases)})" if card.aliases else ""),
        "version": str(card.version),
        "kind": card.kind,
        "metrics": ", ".join(card.metrics) + " (the first is the primary one)",
        "collection": task.collection,
        "Table 1": format_table1(card),
        "sizes": _sizes(card),
        "labels" if has_labels else "targets": _labels(card) if has_labels else ", ".join(card.targets),
        "from": card.label_source,
        "split": card.split_rule,
        "group": card.columns.group or "none: intervals are over items" if card.columns else "",
        "windows": format_windows(card),
        "probe": format_probe(card),
        "audio": card.audio or (str(task.manifest) if card.manifest else ""),
        "licence": card.licence,
        "card": str(task.source),
    }
    for key, value in facts.items():
        if value:
            display(_entry(f"{key}:", value))
    if card.deviations:
        display("\nDeviations, and what to know:")
        for deviation in card.deviations:
            display(_filled(deviation, "  - ", "    "))
    if card.citation:
        display(f"\nCitation:\n{card.citation.strip()}")
    here, command = _state(name, task, home)
    display("\nOn this machine:")
    for line in here:
        display(_filled(line, "  ", "    "))
    display(f"\nNext: {command}")


def _sizes(card: TaskCard) -> str:
    if card.sizes is None:
        return "not verified: whatever the annotations give" if card.collection else "as in the manifest"
    counts = ", ".join(f"{split} {n:,}" for split, n in card.sizes.items())
    if card.collection is None:
        return counts
    return counts + (" (verified)" if card.counts_verified else " (not verified: as its publishers state)")


def _labels(card: TaskCard) -> str:
    if card.labels is None:
        return "as in the annotations" if card.collection else "as in the manifest"
    return f"{len(card.labels)}: {', '.join(card.labels)}"


def _state(name: str, task: Task, home: Path) -> tuple[list[str], str]:
    """Return in words what of a task is here, and the next command."""
    from tasks.errors import TaskError
    from tasks.sources.card import read_collection
    from tasks.sources.locations import known_collections, location_of, missing_audio

    card = task.card
    asked = name if task.loaded is not None else card.id if card.collection else str(task.source)
    run = f"bench run --encoder logmel --task {asked}"
    if card.manifest is not None:
        return [f"manifest: {task.manifest} is {'here' if task.manifest.is_file() else 'not here'}"], run
    if task.loaded is None and task.collection not in known_collections():
        rendered = (home / "collections" / task.collection).is_dir()
        return ["audio: rendered" if rendered else "audio: will be rendered at first use, nothing to fetch"], run
    collection = None if task.loaded is not None else read_collection(task.collection)
    try:
        place = None if collection is None else location_of(collection, home)
        items = task.items(home)
    except TaskError as error:
        *text, last = str(error).splitlines()
        named = re.search(r"bench data \w+ \S+$", last)  # a reader that misses a file ends with the command that helps
        problem = " ".join(text) if text and named else str(error)
        return [f"annotations: not complete: {problem}"], named[0] if named else f"bench data where {asked}"
    missing, differences = len(missing_audio(items)), task.size_differences(items)
    lines = [f"annotations: here, {len(items):,} items" + (", as the card says" if card.sizes else "")]
    if differences:
        other = ", ".join(f"{abs(n):,} {'more' if n > 0 else 'fewer'} in {split}" for split, n in differences.items())
        lines = [f"annotations: here, {len(items):,} items; this is not what the card says: {other}"]
    lines.append(f"audio: {len(items) - missing:,} of {len(items):,} files here")
    lines += [f"folder: {place.root}, named by {place.origin}"] if place else []
    if not missing or collection is None or place is None:
        return lines, run
    can_fetch = not place.read_only and any(source.urls for source in collection.sources if source.what == "audio")
    return lines, f"bench data {'fetch' if can_fetch else 'where'} {asked}"


def _entry(key: str, value: str) -> str:
    return _filled(value, f"{key:<12}", " " * 12)


def _filled(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def encoders(name: str | None, home: Path | None = None) -> None:
    """Print the encoders and the ways to name one, or what one declares."""
    from benchmark.reports.encoders import catalogue, format_given

    if name is None:
        display(catalogue(home_folder(home)))
        return
    from benchmark.embeddings.space import space_of
    from benchmark.encoders.base import window_of
    from benchmark.encoders.precomputed.encoder import Precomputed
    from benchmark.encoders.published.weights import WEIGHTS
    from benchmark.encoders.registry import resolve_one
    from benchmark.system.stdout import stdout_to_stderr

    where = home_folder(home)
    encoder: Any = _unfetched(name, where)
    fingerprint = ""
    if encoder is None:
        with stdout_to_stderr():
            encoder = resolve_one(name, where)
        if isinstance(encoder, Precomputed):
            display(format_given(encoder))
            return
        fingerprint = space_of(encoder, None, None).fingerprint
    display(encoder.name)
    display("=" * len(encoder.name))
    documentation = (encoder.__doc__ or "").strip()
    if documentation:
        display(documentation.splitlines()[0] + "\n")
    window = "whole track"
    if encoder.window_seconds:
        window = f"{encoder.window_seconds:g} s every {encoder.hop_seconds or encoder.window_seconds:g} s"
    for key, value in {
        "version": encoder.version,
        "dim": encoder.dim,
        "layers": ", ".join(encoder.layers) if encoder.layers else "none",
        "audio": f"{encoder.sample_rate} Hz, {'mono' if encoder.channels == 1 else 'stereo'}",
        "window": window,
        "shorter": f"{encoder.padding} up to {window_of(encoder):g} s",
        "fingerprint": fingerprint or "not without weights",
    }.items():
        display(f"{key + ':':<13}{value}")
    for note in encoder.notes:
        display(textwrap.fill(note, 100, initial_indent="- ", subsequent_indent="  "))
    if not fingerprint:
        display(f"\nNo weights yet. {WEIGHTS[name].licence}\nFetch them: bench encoders fetch {name}")


def _unfetched(name: str, home: Path) -> Any:
    """Return the class of a published encoder whose weights are not here, else ``None``."""
    from benchmark.encoders.published.weights import FOLDER, WEIGHTS, encoder_class

    if name not in WEIGHTS or (home / FOLDER / name / WEIGHTS[name].converted).is_file():
        return None
    return encoder_class(name)


def fetch_encoder(name: str | None, home: Path | None, *, remove_original: bool) -> None:
    """Fetch and convert the weights of ``name``; the licence is shown once, before the download."""
    from benchmark.encoders.published.weights import FOLDER, WEIGHTS, fetch_weights
    from benchmark.system.progress import Terminal

    if name is None:
        raise UserError(f"name the encoder: bench encoders fetch NAME, one of {', '.join(WEIGHTS)}")
    where, report = home_folder(home), Terminal()
    if name in WEIGHTS and not (where / FOLDER / name / WEIGHTS[name].converted).is_file():
        report.say(WEIGHTS[name].licence)
    with report.stage(f"Fetching {name}", 1, "bytes") as advance:
        path = fetch_weights(
            name, where, remove_original=remove_original, progress=lambda done, total: advance(done, total=total)
        )
    display(f"{name}: weights in {path}")


def leaderboard(results: Path, output: Path, *, check: bool, show: bool) -> None:
    """Write the leaderboard, or say how the file differs from what the records give."""
    from results import leaderboard as board

    if not results.is_dir():
        raise UserError(f"there is no results folder {results}: give --results, or run something first")
    if check:
        difference = board.check(results, output)
        if difference:
            display(difference, end="")
            display(f"{output} is not what the records in {results} give: run 'bench leaderboard'", error=True)
            sys.exit(1)
        display(f"{output} is what the records in {results} give")
        return
    try:
        changed = board.write(results, output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from None
    if show:
        display(output.read_text(encoding="utf-8"), end="")
    display(f"{output} {'written' if changed else 'is up to date'}", error=True)
