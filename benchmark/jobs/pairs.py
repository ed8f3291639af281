"""What came of two records that were compared, kept in the data home so that a large board stays quick.

A file a task and metric, ``<home>/pairs/<task>.<metric>.json``, holds every pair by a key of what decides its numbers:
both run keys, the digests of both files of predictions, the metric, and the versions of scoring and of the comparison.
A file that cannot be read counts as empty, and one that cannot be written is not kept: pairs are then compared again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.jobs.scoring import SCORING_VERSION
from benchmark.system.home import home_folder
from results.files import read_regular, replace_file
from results.record import Record
from results.store import slug

FOLDER = "pairs"
#: Changes when a comparison of the same predictions gives other numbers.
VERSION = 1


@dataclass(frozen=True)
class PairResult:
    """The difference of two records on a metric, first less second: see :class:`benchmark.jobs.ranking.Separation`."""

    difference: float
    low: float | None
    high: float | None
    p: float | None

    def turned(self) -> PairResult:
        """Return the second less the first."""
        low, high = (None if end is None else 0.0 - end for end in (self.high, self.low))
        return PairResult(0.0 - self.difference, low, high, self.p)


def pair_key(first: Record, second: Record, metric: str) -> str:
    """Return the key of two records, in this order, on a metric."""
    said: list[object] = [VERSION, SCORING_VERSION, metric]
    for record in (first, second):
        # Records of schema 2 have no digest of their predictions: their scores stand for these.
        scores = [score.seeds for score in record.scores.test.values()]
        said += [record.run_key, record.predictions_sha256 or scores]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40]


class KeptPairs:
    """The pairs that lie in a data home."""

    def __init__(self, home: Path | None = None) -> None:
        self._folder = home_folder(home) / FOLDER

    def read(self, task: str, metric: str) -> dict[str, PairResult]:
        """Return the pairs of a column by their keys; none where there is no file, or none that can be read."""
        try:
            content = json.loads(read_regular(self._path(task, metric)))
            return {str(key): _result(entry) for key, entry in content.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}

    def add(self, task: str, metric: str, results: Mapping[str, PairResult]) -> None:
        """Keep pairs beside those that are there."""
        path = self._path(task, metric)
        content = {key: list(asdict(each).values()) for key, each in {**self.read(task, metric), **results}.items()}
        with suppress(OSError):  # a home that cannot be written
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(content, separators=(",", ":")).encode())

    def _path(self, task: str, metric: str) -> Path:
        return self._folder / f"{slug(task)}.{slug(metric)}.json"


def _result(entry: Any) -> PairResult:
    """Return an entry of a file.

    Raises:
        ValueError: It is not four numbers, of which the last three may be missing together.
        TypeError: as above.
    """
    difference, low, high, p = entry
    numbers = [difference] if p is None and low is None and high is None else [difference, low, high, p]
    if not all(type(number) in (float, int) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{entry!r} is not a pair")
    return PairResult(difference, low, high, p)
