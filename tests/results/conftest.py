"""A valid record to start from, shared by the tests of this package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import pytest

from results.record import SCHEMA_VERSION, Record
from results.store import slug


class MakeRecord(Protocol):
    def __call__(
        self, task: str = ..., encoder: str = ..., scores: dict[str, float] | None = ..., **changes: Any
    ) -> Record: ...


def build_record(
    task: str = "gs_key",
    encoder: str = "example",
    scores: dict[str, float] | None = None,
    *,
    group: str = "paper",
    limit: int | None = None,
    protocol: str = "paper",
    task_version: int = 1,
    task_fingerprint: str = "f" * 64,
    encoder_fingerprint: str = "e" * 64,
    damaged: int = 0,
    trials: int = 2,
    sampler: str = "tpe",
    pruner: str = "halving",
    protocol_version: int = 2,
    layer: str | None = None,
    loses: Sequence[str] = (),
    curve: dict[str, Any] | None = None,
    given: bool = False,
    run_key: str | None = None,
    predictions: str | None = None,
) -> Record:
    """Return a record whose test scores are ``scores`` (metric to value), each with an interval of ±0.05.

    No two numbers that mean different things are equal: valid is lower than test by 0.0625, the two probes lie 0.007
    below and above their mean, the floors differ from each other, and there are more labels than trials or probes.

    ``loses`` names metrics in which the ridge is the better one by 0.1; ``given`` embeddings came without audio.
    """
    scores = {"weighted_accuracy": 0.7} if scores is None else scores
    if run_key is None:
        run_key = hashlib.sha256(f"{task} {encoder} {limit} {curve or ''}".encode()).hexdigest()

    def split(lower: float) -> dict[str, dict[str, Any]]:
        found = {metric: value - lower for metric, value in scores.items()}
        return {
            metric: {
                "value": value,
                "low": value - 0.05,
                "high": value + 0.05,
                "std": 0.01,
                "seeds": [value - 0.007, value + 0.007],
                "question": "items and seeds",
                "items_low": value - 0.04,
                "items_high": value + 0.03,
                "clusters": 604,
                "clustered": False,
            }
            for metric, value in found.items()
        }

    def floor(difference: dict[str, float]) -> dict[str, dict[str, float]]:
        found = {metric: value + difference[metric] for metric, value in scores.items()}
        return {metric: {"value": value, "low": value - 0.05, "high": value + 0.05} for metric, value in found.items()}

    content = {
        "schema_version": SCHEMA_VERSION,
        "run_key": run_key,
        "created": "2024-05-01T12:00:00+00:00",
        "limit": limit,
        "protocol": protocol,
        "task": {
            "id": task,
            "title": f"The task {task}",
            "version": task_version,
            "kind": "multiclass",
            "metrics": list(scores),
            "collection": "giantsteps",
            "group": group,
            "fingerprint": task_fingerprint,
        },
        "encoder": {
            "id": encoder,
            "version": "1.0",
            "fingerprint": encoder_fingerprint,
            "dim": 1728,
            "sample_rate": None if given else 16000,
            "channels": None if given else 1,
            "window_seconds": None if given else 3.0,
            "hop_seconds": None if given else 2.0,
            "space": "s" * 64,
        },
        "scores": {"valid": split(0.0625), "test": split(0.0)},
        "floors": {
            "constant": floor(dict.fromkeys(scores, -0.5)),
            "permuted": floor(dict.fromkeys(scores, -0.375)),
            "ridge": floor({metric: 0.1 if metric in loses else -0.1 for metric in scores}),
            "ridge_penalty": 0.5,
            "loses_to_ridge": list(loses),
        },
        "probe": {
            "hidden": [512],
            "dropout": 0.25,
            "dropout_place": "hidden",
            "batch_size": 64,
            "loss": "cross_entropy",
            "learning_rate": 1e-3,
            "warm_rate": None,
            "l2": 1e-4,
            "steps": 1000,
            "standardise": True,
            "parameters": 897048,
            "best_steps": [500, 600],
            "steps_run": [1000, 900],
            "precision": "fp32",
            "layer": layer,
        },
        "search": {
            "section": "default",
            "protocol_version": protocol_version,
            "sampler": sampler,
            "pruner": pruner,
            "objective": next(iter(scores), ""),
            "selected": 0,
            "trials": [
                {
                    "number": number,
                    "state": "complete",
                    "hidden": [512],
                    "dropout": 0.25,
                    "batch_size": 64,
                    "learning_rate": 1e-3,
                    "l2": 1e-4,
                    "steps": 1000,
                    "standardise": True,
                    "score": 0.5 - number / 64,
                    "best_step": 500 + number,
                    "steps_run": 1000,
                    "seconds": 1.5,
                }
                for number in range(trials)
            ],
            "steps_run": 1000 * trials,
            "steps_asked": 1000 * trials,
            "operations": 1e9 * trials,
            "floor_seconds": 0.5,
        },
        "data": {
            "fingerprint": "d" * 64,
            "counts": {"train": 923, "valid": 236, "test": 604},
            "labels": ["C major", "C minor", "G major"],
            "groups": 400,
            "shared_groups": [],
            "shared_audio": None if given else [],
            "audio_seconds": None if given else 12345.5,
            "clipped": None if given else [],
            "damaged": [
                {"track_id": str(i), "file": f"{i}.mp3", "problem": "cut off", "seconds_recovered": 1.0}
                for i in range(damaged)
            ],
            "missing": [],
            "allow_missing": 0,
            "allow_damaged": damaged,
        },
        "seeds": {"search": 7, "probes": [8, 9]},
        "versions": {"python": "3.11"},
        "hardware": {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "accelerator": None, "device": "cpu"},
        "seconds": {"embed": 1.0, "search": 2.0, "probes": 3.0, "total": 6.0},
        "predictions": f"{slug(encoder)}.{run_key[:12]}.parquet" if predictions is None else predictions,
        "curve": None if curve is None else {"seed": 0, "items": 92, "lost": [], **curve},
    }
    return Record.model_validate(content)


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    """Return the function that builds a valid record; session-wide, so that hypothesis may use it."""
    return build_record
