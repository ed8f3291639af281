"""A board of records with predictions whose scores they have: keys, tags and numbers, of three encoders."""

from __future__ import annotations

import copy
import hashlib
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmark.pretraining.comparison import summary
from benchmark.pretraining.comparison.summary import Point, Run, TaskFacts
from results import store
from results.record import Record
from results.together import read_together
from tasks.metrics.scores import per_label, scores_of

compared = runpy.run_path(str(Path(__file__).parents[2] / "pretraining" / "comparison" / "conftest.py"))
build_record = runpy.run_path(str(Path(__file__).parents[3] / "results" / "conftest.py"))["build_record"]
KEYS = ["C major", "G major", "D major", "A minor", "E minor", "C minor"]
TAGS = ["rock", "jazz", "</script><img onerror=alert(1)>"]
ITEMS = 60
KINDS = {
    "keys": ("multiclass", ["weighted_accuracy", "accuracy"], KEYS),
    "tags": ("multilabel", ["map", "roc_auc"], TAGS),
    "mood": ("regression", ["r2_valence", "r2_arousal"], ["valence", "arousal"]),
}


def targets_of(kind: str, labels: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    if kind == "multiclass":
        return np.arange(ITEMS) % labels
    if kind == "multilabel":
        return (rng.random((ITEMS, labels)) < 0.4).astype(np.float32)
    return rng.normal(size=(ITEMS, labels)).astype(np.float32)


def outputs_of(kind: str, targets: np.ndarray, labels: int, skill: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(ITEMS, labels))
    if kind == "regression":
        return (targets * skill + noise * (1 - skill)).astype(np.float32)
    shown = np.eye(labels)[targets] if kind == "multiclass" else targets
    raw = np.exp(noise + 4 * skill * (shown - 0.5))
    return (raw / raw.sum(axis=1, keepdims=True) if kind == "multiclass" else raw / (1 + raw)).astype(np.float32)


def plant(folder: Path, task: str, encoder: str, skill: float, change=None, **changes) -> Record:
    """Write a record of one of KINDS with its predictions; ``change`` may alter its content."""
    kind, metrics, labels = KINDS[task]
    targets = targets_of(kind, len(labels))
    outputs = [outputs_of(kind, targets, len(labels), skill, seed) for seed in (1, 2)]
    record = build_record(task, encoder, dict.fromkeys(metrics, 0.5), group="own", **changes)
    content = record.model_dump()
    content["task"]["kind"] = kind
    content["data"] |= {"labels": labels, "counts": {"train": 92, "valid": 23, "test": ITEMS}}
    for metric in metrics:
        score = content["scores"]["test"][metric]
        each = [float(scores_of([metric], targets, output, labels)[metric]) for output in outputs]
        score |= {"seeds": each, "value": sum(each) / 2, "low": sum(each) / 2 - 0.0517, "high": sum(each) / 2 + 0.0483}
        if kind != "regression":
            values = np.mean([per_label(metric, targets, output, labels) for output in outputs], axis=0)
            score["labels"] = dict(zip(labels, values.tolist(), strict=True))
    if change is not None:
        change(content)
    column = targets.tolist()
    table = pa.table(
        {
            "split": ["test"] * ITEMS,
            "track_id": [f"t{i:03}" for i in range(ITEMS)],
            "group": pa.array([None] * ITEMS, pa.string()),
            "target": pa.array(column) if kind == "multiclass" else pa.array(column, pa.list_(pa.float32())),
            **{f"outputs_{i}": pa.array(o.tolist(), pa.list_(pa.float32())) for i, o in enumerate(outputs)},
        }
    ).replace_schema_metadata({b"labels": "\x1f".join(labels).encode()})
    if content["curve"] is None:
        name = store.write_predictions(folder, task, encoder, content["run_key"], table, content["limit"])
        content["predictions"] = name
    record = Record.model_validate(content)
    store.write(folder, record)
    return record


def plant_curve(folder: Path, record: Record, fraction: float, repeat: int, score: float) -> Record:
    content = copy.deepcopy(record.model_dump())
    content["curve"] = {"fraction": fraction, "repeat": repeat, "seed": repeat, "items": int(92 * fraction), "lost": []}
    content["run_key"] = hashlib.sha256(f"{record.name} {fraction} {repeat}".encode()).hexdigest()
    content["scores"]["test"][record.task.metrics[0]]["value"] = score
    point = Record.model_validate(content)
    store.write(folder, point)
    return point


def plant_comparison(folder: Path, encoders, tasks) -> None:
    """Write a comparison of pre-training strategies, each of one run that has the name of an encoder."""
    facts = [
        TaskFacts(
            id=task, title=task, kind=KINDS[task][0], metrics=KINDS[task][1], train=92, test=ITEMS, clusters=ITEMS,
            grouped=False,
        )
        for task in tasks
    ]  # fmt: skip
    runs = {name: [Run(name=name, seed=0, status="finished", steps=10)] for name in encoders}
    strategies = [compared["strategy"](name, "simclr", runs=runs[name]) for name in encoders]
    scores = [
        compared["score"](name, task.id, metric, 0.512345678 - place / 8)
        for place, name in enumerate(encoders)
        for task in facts
        for metric in task.metrics
    ]
    points = [
        Point(strategy=name, task=task.id, metric=task.metrics[0], fraction=fraction, items=92 * fraction, scores=each)
        for name in encoders
        for task in facts
        for fraction, each in ((0.1, [0.123456789, 0.2]), (1.0, [0.5]))
    ]
    found = compared["build_summary"](
        tasks=facts, strategies=strategies, scores=scores, points=points, differences=[]
    )  # fmt: skip
    summary.write(folder, found)


def with_everything(content: dict) -> None:
    """Give a record layers, a mixture, deformations and trials of every state."""
    metrics = content["task"]["metrics"]
    content["search"]["layers"] = {"conv": 0.4012345, "block-1": 0.5512345, "block-2": 0.5412345}
    content["search"]["tolerance"] = 0.02
    content["probe"] |= {"layer": "block-1", "mixing": [[0.2, 0.5, 0.3], [0.1, 0.7, 0.2]]}
    drop = {"value": 0.4, "low": 0.3, "high": 0.5, "drop": -0.1234567, "drop_low": -0.2, "drop_high": 0.01}
    content["robustness"] = [
        {"spec": name, "version": 1, "space": "s" * 64, "clipped": 3, "metrics": dict.fromkeys(metrics, drop)}
        for name in ("noise:20", "mp3:32")
    ]
    first = content["search"]["trials"][0]
    content["search"]["trials"] = [
        {**first, "number": 0, "learning_rate": 0.00123456, "l2": 0.0, "score": 0.6123456},
        {**first, "number": 1, "learning_rate": 0.01, "l2": 1e-5, "score": 0.5, "state": "pruned", "steps_run": 250},
        {**first, "number": 2, "learning_rate": 0.1, "l2": 1e-3, "score": None, "state": "diverged", "steps_run": 9},
    ]


@pytest.fixture
def results(tmp_path):
    """A results folder: strong, fair and weak on keys, tags and mood; strong has all that a record can have."""
    folder = tmp_path / "results"
    for task in KINDS:
        for encoder, skill in (("strong", 0.95), ("fair", 0.7), ("hf:someone/a-very-long-name?layer=12", 0.2)):
            plant(folder, task, encoder, skill, with_everything if encoder == "strong" else None)
    return folder


@pytest.fixture
def board(results):
    return read_together([results])
