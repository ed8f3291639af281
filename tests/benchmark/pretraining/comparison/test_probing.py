"""Which parts of train can train a probe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.jobs.items import prepare
from benchmark.jobs.job import TaskItems
from benchmark.jobs.options import Options
from benchmark.pretraining.comparison.probing import feasible
from benchmark.system.progress import Silent
from tasks import registry


def tones(make_task: Callable[..., Path], home: Path, **chosen: object) -> TaskItems:
    card = make_task("tones", **chosen)
    return prepare(registry.find(str(card)), Options(home=home), Silent())[0]


def test_every_class_keeps_an_item_so_that_small_parts_are_feasible(
    make_task: Callable[..., Path], tmp_path: Path
) -> None:
    assert feasible(tones(make_task, tmp_path), 0) == ((0.01, 0.05, 0.1, 0.2), [])


def test_parts_that_some_sample_cannot_be_are_told(make_task: Callable[..., Path], tmp_path: Path) -> None:
    from dataclasses import replace

    data = tones(make_task, tmp_path)
    card = data.task.card.model_copy(update={"kind": "regression"})
    items = replace(data.items, targets=np.arange(len(data.items), dtype=np.float32)[:, None], labels=("height",))
    fractions, notes = feasible(replace(data, task=replace(data.task, card=card), items=items), 0)
    assert fractions == (0.1, 0.2)
    assert notes == [
        "tones has no point at 1% of train: 0.01 of 30 train items is 1: a probe needs at least 2.",
        "tones has no point at 5% of train: 0.05 of 30 train items is 1: a probe needs at least 2.",
    ]


def test_tasks_with_folds_have_no_curve(make_task: Callable[..., Path], tmp_path: Path) -> None:
    from dataclasses import replace

    data = tones(make_task, tmp_path)
    folds = replace(data.items, splits=tuple(str(i % 3) for i in range(len(data.items))))
    fractions, notes = feasible(replace(data, items=folds), 0)
    assert fractions == ()
    assert "has folds" in notes[0]
