"""Published scores and where they stand: ``published/sources.toml``, and the tables that it names.

A source says by which protocol its scores were made. Those of a source whose protocol is none of ours are shown beside
ours and never compared.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from results.paper_tables import PublishedTable, PublishedValue, parse
from results.record import RecordError

SOURCES = "published/sources.toml"

Column = tuple[str, str]
"""A task id and a metric."""


@dataclass(frozen=True)
class PublishedSource:
    """One work with published scores.

    Attributes:
        name: Its key in ``sources.toml``.
        title: What it is called in a line.
        tables: Its tables, by what they are called there.
        citation: Its entry in a bibliography.
        protocol: Our protocol that follows that of the source; empty where none does.
        other: What its protocol is called, where it is not ours.
        windows: Seconds of window and hop of its embeddings, by task; ``""`` for all others.
        encoders: Ids of our encoders by the source's model, where they are not the same.
        tasks: Tasks of which its scores cannot be compared, and why.
        note: What a reader must know of it.
    """

    name: str
    title: str
    tables: Mapping[str, PublishedTable]
    citation: str
    protocol: str = ""
    other: str = ""
    windows: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    encoders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @functools.cached_property
    def _models(self) -> Mapping[str, str]:
        ids = {model: model for table in self.tables.values() for model in table.rows if model not in self.encoders}
        return {**ids, **{each: model for model, known in self.encoders.items() for each in known}}

    def model_of(self, encoder: str) -> str | None:
        """Return what the source calls an encoder of ours; ``None`` where it has no scores of it."""
        return self._models.get(encoder)

    def cells_of(self, encoder: str) -> dict[Column, tuple[PublishedValue, str]]:
        """Return what is published of an encoder of ours: the value and the name of its table, by task and metric."""
        model = self.model_of(encoder)
        return {
            (task, metric): (value, name)
            for name, table in self.tables.items()
            for (row, task, metric), value in table.cells.items()
            if row == model
        }


@functools.cache
def sources() -> tuple[PublishedSource, ...]:
    """Return all sources, in their order.

    Raises:
        RecordError: ``sources.toml`` or a table that it names is malformed.
    """
    file = files("results") / SOURCES
    return read(file.read_text(encoding="utf-8"), str(file))


def read(text: str, where: str) -> tuple[PublishedSource, ...]:
    """Read sources from TOML; ``where`` names it in errors.

    Raises:
        RecordError: It is no TOML, a key is unknown or missing, or a table is malformed.
    """
    try:
        content: dict[str, dict[str, Any]] = tomllib.loads(text)
        return tuple(_source(name, entry) for name, entry in content.items())
    except RecordError:
        raise
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise RecordError(
            f"{where} is not a list of published sources: {error!r}",
            "mend that entry, or install the package again if the file is not yours",
        ) from error


def _source(name: str, entry: dict[str, Any]) -> PublishedSource:
    tables = {}
    for title, path in entry.pop("files").items():
        file = files("results") / path
        tables[title] = parse(file.read_text(encoding="utf-8"), title, str(file))
    source = PublishedSource(
        name=name,
        tables=MappingProxyType(tables),
        windows={task: (float(window), float(hop)) for task, (window, hop) in entry.pop("windows", {}).items()},
        encoders={model: tuple(ids) for model, ids in entry.pop("encoders", {}).items()},
        **entry,
    )
    if not source.protocol and not source.other:
        raise ValueError(f"{name} has neither protocol nor other")
    unknown = set(source.encoders) - {model for table in tables.values() for model in table.rows}
    if unknown:
        raise ValueError(f"{name} has encoders of models without scores: {', '.join(sorted(unknown))}")
    return source
