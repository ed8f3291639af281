"""What ``bench tasks`` prints: the tasks as a table, or one card with what of it is on this machine."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from benchmark.catalogue import info_of
from benchmark.reports.tasks_page import format_probe, format_table1, format_windows
from benchmark.system.tables import table
from tasks import registry
from tasks.card import TaskCard
from tasks.kinds import KINDS
from tasks.registry import Task

WIDTH = 100


def format_tasks(name: str | None, home: Path) -> str:
    """Return the tasks that ``name`` asks for (all by default) as a table, or the card of a single one in full.

    Raises:
        TaskError: There is no such task.
    """
    tasks = list(registry.builtin_tasks().values()) if name is None else registry.find(name, home)
    if name is not None and len(tasks) == 1:
        return _card(name, tasks[0], home)
    rows = [
        [
            info.id,
            info.title,
            info.kind,
            ", ".join(info.metrics),
            " / ".join(map(str, info.sizes.values())) if info.sizes else "-",
            info.group,
        ]
        for info in map(info_of, tasks)
    ]
    headers = ["task", "title", "kind", "metrics", "train / valid / test", "group"]
    text = table(rows, headers, texts=("title", "metrics"), spare=("group", "train / valid / test", "kind"))
    more = "\n\nOne card: bench tasks ID. Your own data: bench run --encoder X --task path/to/card.toml"
    return text + (more if name is None else "")


def _card(name: str, task: Task, home: Path) -> str:
    """Return a card in full, with what of it is on this machine and the next command."""
    card = task.card
    lines = [card.title, "=" * len(card.title)]
    lines.append(textwrap.fill(card.description, WIDTH) + "\n" if card.description else "")
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
    lines += [_entry(f"{key}:", value) for key, value in facts.items() if value]
    if card.deviations:
        lines.append("\nDeviations, and what to know:")
        lines += [_filled(deviation, "  - ", "    ") for deviation in card.deviations]
    if card.citation:
        lines.append(f"\nCitation:\n{card.citation.strip()}")
    here, command = _state(name, task, home)
    return "\n".join(
        [*lines, "\nOn this machine:", *(_filled(line, "  ", "    ") for line in here), f"\nNext: {command}"]
    )


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
    task_name = name if task.loaded is not None else card.id if card.collection else str(task.source)
    run = f"bench run --encoder logmel --task {task_name}"
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
        return [f"annotations: not complete: {problem}"], named[0] if named else f"bench data where {task_name}"
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
    return lines, f"bench data {'fetch' if can_fetch else 'where'} {task_name}"


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
