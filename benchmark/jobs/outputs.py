"""What probes and floors say of a split's items: outputs, the scores of these, and the rows that a record keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.jobs.scoring import LeftOut, leave_out, score_split
from benchmark.jobs.splits import JobData
from probes.statistics.baselines import loses
from results.sections.scores import Floors, FloorScore, Score
from tasks.items import Items
from tasks.metrics.table import bounds

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Outputs:
    """Outputs float32 [n, L] on the items of one split.

    Attributes:
        probes: Of each retrained probe.
        constant: Of the labels' shares in train; ``None`` for valid, as what follows.
        permuted: Of the probe of permuted labels; ``None`` where that diverged.
        ridge: Of a ridge regression on the same embeddings.
        near: Of the items, those with a near-duplicate in train; ``None`` where nobody looked.
    """

    probes: list[np.ndarray]
    constant: np.ndarray | None = None
    permuted: np.ndarray | None = None
    ridge: np.ndarray | None = None
    near: int | None = None

    @property
    def finite(self) -> bool:
        """Whether no probe's output is infinite or undefined."""
        return all(is_finite(output) for output in self.probes)


def score_valid(splits: JobData, outputs: Outputs) -> dict[str, Score]:
    """Return the scores of the probes on valid, by metric."""
    card, items, seed = splits.job.card, splits.items, splits.job.search.seed
    targets, groups = items.targets[items.rows("valid")], splits.groups("valid")
    return score_split(card, targets, outputs.probes, items.labels, groups, seed=seed, split="valid")


def score_test(splits: JobData, outputs: Outputs, penalty: float | None) -> tuple[dict[str, Score], LeftOut, Floors]:
    """Score the probes and the floors on the items of test.

    Args:
        splits: The items.
        outputs: Of the probes and the floors on test.
        penalty: Of the ridge; ``None`` where folds have several.
    """
    card, items, seed = splits.job.card, splits.items, splits.job.search.seed
    labels, groups, targets = items.labels, splits.groups("test"), items.targets[items.rows("test")]
    left_out = None
    if outputs.finite:  # else score_split refuses them
        left_out = leave_out(card, targets, outputs.probes, labels, groups, seed=seed)
    scores = score_split(card, targets, outputs.probes, labels, groups, seed=seed, split="test", left_out=left_out)
    assert left_out is not None

    def floor(output: np.ndarray, left_out: LeftOut | None = None) -> dict[str, FloorScore]:
        scored = score_split(card, targets, [output], labels, groups, seed=seed, split="test", left_out=left_out)
        return {
            metric: FloorScore(value=score.value, low=score.low, high=score.high) for metric, score in scored.items()
        }

    assert outputs.constant is not None
    chance, ridge, beside = outputs.permuted, outputs.ridge, None
    if ridge is not None and is_finite(ridge):
        beside = leave_out(card, targets, [ridge], labels, groups, seed=seed, seeded=False)
    floors = Floors(
        constant=floor(outputs.constant),
        permuted=None if chance is None or not is_finite(chance) else floor(chance),
        ridge=None if beside is None or ridge is None else floor(ridge, beside),
        ridge_penalty=None if beside is None else penalty,
        loses_to_ridge=[]
        if beside is None
        else [
            metric
            for metric in card.metrics
            if loses(left_out.scores[metric], beside.scores[metric], left_out.blocks, bounds(metric))
        ],
    )
    return scores, left_out, floors


def is_finite(outputs: np.ndarray) -> bool:
    """Say whether no output is infinite or undefined."""
    return bool(np.isfinite(outputs).all())


def prediction_rows(
    items: Items, rows: Mapping[str, np.ndarray], outputs: Mapping[str, Sequence[np.ndarray]]
) -> pyarrow.Table:
    """Return one row an item of valid and test: split, track_id, group, target, and the outputs of each probe.

    Args:
        items: The items.
        rows: Those of each split.
        outputs: Of each probe, on these.
    """
    import pyarrow as pa

    every = np.concatenate(list(rows.values()))
    targets = items.targets[every]
    columns = {
        "split": [split for split, its_rows in rows.items() for _ in its_rows],
        "track_id": [items.track_ids[i] for i in every],
        "group": pa.array([None if items.groups is None else items.groups[i] for i in every], pa.string()),
        "target": list(targets) if targets.ndim > 1 else targets,
    }
    for i, of_probe in enumerate(zip(*outputs.values(), strict=True)):
        values = np.concatenate(of_probe).astype(np.float32)
        columns[f"outputs_{i}"] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return pa.table(columns).replace_schema_metadata({"labels": "\x1f".join(items.labels)})
