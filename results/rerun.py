"""The command that makes a record again, from what the record says, or from its place where it cannot be read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from results.record import READ_VERSIONS, Record


def rerun(record: Record) -> str:
    """Return the command that makes a record and its predictions again."""
    words = ["bench", "run", "--encoder", record.encoder.id, "--task", record.task.id]
    if record.limit is not None:
        words += ["--limit", str(record.limit)]
    return shlex.join([*words, *choices(record.model_dump()), "--overwrite", "always"])


def choices(content: Mapping[str, object]) -> list[str]:
    """Return the options that make a record's variant: every choice that is not the default one.

    Args:
        content: A record as it is in its file, of a version that is read; what is malformed in it is passed over.
    """
    sections = {name: part for name, part in content.items() if isinstance(part, dict)}
    variant = content.get("variant")
    parts = variant.split("+") if isinstance(variant, str) else []
    words = []
    protocol = content.get("protocol")
    if isinstance(protocol, str) and protocol != "paper":
        words += ["--protocol", protocol]
    for wanted, section, field, option in (
        ("bf16", "encoder", "precision", "--precision"),
        ("probe-bf16", "probe", "precision", "--probe-precision"),
        ("layer-", "probe", "layer", "--layer"),
        ("sampler-", "search", "sampler", "--sampler"),
        ("pruner-", "search", "pruner", "--pruner"),
    ):
        value = sections.get(section, {}).get(field)
        asked = any(part == wanted or (wanted.endswith("-") and part.startswith(wanted)) for part in parts)
        if asked and isinstance(value, str):
            words += [option, value]
    return [*words, "--own-windows"] if "own-windows" in parts else words


def command_of(path: Path, content: object) -> str:
    """Name the command that makes the record at ``path``, from its content where that says it, else from its place."""
    name, folder = path.name.removesuffix(".json"), path.parent
    folder = folder.parent if folder.name == "history" else folder
    point = re.match(r"fraction-(?P<fraction>[0-9.e-]+)\.repeat-(?P<repeat>\d+)", name)
    if folder.parent.parent.name == "curves" and point:
        task, placed = folder.parent.name, folder.name
    else:
        task, placed, point = folder.name, name, None
    encoder, _, limit = placed.partition(".limit-")
    encoder = encoder.partition("+")[0]
    known = content if isinstance(content, dict) else {}
    encoder, task = (
        section["id"] if isinstance(section, dict) and isinstance(section.get("id"), str) else otherwise
        for section, otherwise in ((known.get("encoder"), encoder), (known.get("task"), task))
    )
    words = ["bench", "run", "--encoder", encoder, "--task", task]
    if (number := limit.partition(".")[0]).isdecimal():
        words += ["--limit", number]
    if known.get("schema_version") in READ_VERSIONS:  # of other versions, names of protocols mean nothing here
        words += choices(known)
    if point:
        words += ["--train-fraction", point["fraction"]]
        words += ["--repeats", str(int(point["repeat"]) + 1)] if int(point["repeat"]) else []
    return shlex.join(words)


def advice(path: Path, content: object) -> str:
    """Return what to do about a file that is no record."""
    return f"Restore the file, or move it away and run again: {command_of(path, content)}"
