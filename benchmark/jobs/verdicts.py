"""Whether the scores of a probe that was trained once more are those of the record, and what differs beside them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from probes.search.ties import tolerance
from results.record import Record
from results.sections.inputs import HardwareSection
from results.sections.scores import Score

Verdict = Literal["same", "same within seeds", "other"]

#: Differences of each seed up to this come from the order in which products are summed.
ROUNDING = 1e-4
#: Two means of seeds differ by more than the noise with this chance where nothing but the seeds' luck differs.
LEVEL = 0.05


@dataclass(frozen=True)
class Judged:
    """One metric on one split, recorded and now.

    Attributes:
        split: ``valid`` or ``test``.
        metric: The metric.
        recorded: Mean over the record's seeds.
        now: Mean over the same seeds, trained once more.
        worst_seed: The largest difference of a seed, with its sign.
        allowed: How far the means may lie apart by the luck of the seeds.
        verdict: What that comes to.
    """

    split: str
    metric: str
    recorded: float
    now: float
    worst_seed: float
    allowed: float
    verdict: Verdict

    @property
    def difference(self) -> float:
        """Now less recorded."""
        return self.now - self.recorded


def judge(record: Record, scores_now: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Judged]:
    """Judge each metric of valid and test.

    ``same``: no seed differs by more than :data:`ROUNDING`. ``same within seeds``: the means differ by no more than
    :func:`seeds_noise`, and the new mean lies in the record's interval. Else ``other``.

    Args:
        record: The record.
        scores_now: The scores now, by split and metric, one a seed in the record's order.
    """
    judged = []
    for split, recorded in (("valid", record.scores.valid), ("test", record.scores.test)):
        for metric, score in recorded.items():
            now = list(scores_now[split][metric])
            worst_seed = max((new - old for new, old in zip(now, score.seeds, strict=True)), key=abs)
            mean = float(np.mean(now))
            allowed = seeds_noise(score.seeds, now, record.data.counts[split])
            verdict: Verdict = "other"
            if abs(worst_seed) <= ROUNDING:
                verdict = "same"
            elif abs(mean - score.value) <= allowed and _inside(mean, score):
                verdict = "same within seeds"
            judged.append(Judged(split, metric, score.value, mean, worst_seed, allowed, verdict))
    return judged


def _inside(value: float, score: Score) -> bool:
    """Say whether a value lies in the interval of a score; where there is none, it is no objection."""
    return score.low is None or score.high is None or score.low <= value <= score.high


def seeds_noise(first: Sequence[float], second: Sequence[float], items: int) -> float:
    """Return how far two means of seeds may lie apart when both are of one probe.

    The t quantile of :data:`LEVEL` times the standard error of the difference, from the pooled deviation of the seeds;
    but never less than :func:`probes.search.ties.tolerance`, what a single item does. With one seed that is all: what
    other seeds would do is not known.

    Args:
        first: Scores of K seeds.
        second: Scores of the same seeds, trained once more.
        items: Items of the split.
    """
    least = tolerance(items)
    if len(first) < 2:
        return least
    from scipy.stats import t

    pooled = math.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    quantile = float(t.ppf(1 - LEVEL / 2, 2 * (len(first) - 1)))
    return max(least, quantile * pooled * math.sqrt(2 / len(first)))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts."""
    order = list(get_args(Verdict))
    return max(verdicts, key=order.index)


def machine_differences(record: Record, device: str) -> list[str]:
    """Say in what this machine differs from the record's, as far as that decides how sums are rounded.

    Args:
        record: The record.
        device: torch's name of the device that is used now.
    """
    from benchmark.system.machine import hardware

    then, now = record.hardware, HardwareSection(**hardware(device))
    known = then.instructions is not None
    fields = ["cpu", "cores", "accelerator", "device"]
    fields += ["instructions", "onednn", "blas", "threads", "limits", "flags"] if known else []
    differ = [
        f"{name} {_in_words(getattr(then, name))} there, {_in_words(getattr(now, name))} here"
        for name in fields
        if getattr(then, name) != getattr(now, name)
    ]
    lower = _lowered(then) if known and then.instructions != now.instructions else ""
    return [*differ, lower] if lower else differ


def version_differences(record: Record) -> list[str]:
    """Say which versions differ from the record's."""
    from benchmark.jobs.provenance import versions

    then, now = record.versions, versions()
    return [
        f"{name} {then.get(name, 'not recorded')} there, {now.get(name, 'not in use')} here"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name) and name in then
    ]


def _lowered(then: HardwareSection) -> str:
    """Return how to compute with the record's instruction set, where this machine may have more."""
    wanted = {}
    if then.instructions in ("DEFAULT", "AVX2", "AVX512"):
        wanted["ATEN_CPU_CAPABILITY"] = then.instructions.lower()
    if then.onednn is not None and then.onednn.endswith(")"):
        wanted["ONEDNN_MAX_CPU_ISA"] = then.onednn.rpartition("(")[2].rstrip(")")
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return ""
    return "a machine that has more computes like the record's with " + " ".join(
        f"{name}={value}" for name, value in wanted.items()
    )


def _in_words(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return " ".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else str(value)
