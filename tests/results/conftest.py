"""A valid record to start from, shared by the tests of this package."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import pytest

from results.record import Record
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
    protocol: str = "mccallum2022",
    task_version: int = 1,
    task_fingerprint: str = "f" * 64,
    encoder_fingerprint: str = "e" * 64,
    damaged: int = 0,
    trials: int = 2,
    run_key: str | None = None,
    predictions: str | None = None,
) -> Record:
    """Return a record whose test scores are ``scores`` (metric to value), each with an interval of ±0.05."""
    scores = {"weighted_accuracy": 0.7} if scores is None else scores
    if run_key is None:
        run_key = hashlib.sha256(f"{task} {encoder} {limit}".encode()).hexdigest()
    parts = {
        metric: {"value": value, "low": value - 0.05, "high": value + 0.05, "std": 0.01, "seeds": [value, value]}
        for metric, value in scores.items()
    }
    content = {
        "schema_version": 1,
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
            "sample_rate": 16000,
            "channels": 1,
            "window_seconds": 3.0,
            "hop_seconds": 2.0,
            "space": "s" * 64,
        },
        "scores": {"valid": parts, "test": parts},
        "probe": {
            "hidden": [512],
            "dropout": 0.25,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "l2": 1e-4,
            "steps": 1000,
            "standardise": True,
            "parameters": 1000,
            "best_steps": [500, 600],
        },
        "search": {
            "sampler": "tpe",
            "objective": next(iter(scores), ""),
            "selected": 0,
            "trials": [
                {
                    "number": number,
                    "learning_rate": 1e-3,
                    "l2": 1e-4,
                    "steps": 1000,
                    "standardise": True,
                    "score": 0.5,
                    "best_step": 500,
                    "seconds": 1.5,
                }
                for number in range(trials)
            ],
        },
        "data": {
            "fingerprint": "e" * 64,
            "counts": {"train": 923, "valid": 236, "test": 604},
            "labels": ["C major", "C minor"],
            "groups": 400,
            "shared_groups": [],
            "shared_audio": [],
            "audio_seconds": 12345.5,
            "clipped": [],
            "damaged": [
                {"track_id": str(i), "file": f"{i}.mp3", "problem": "cut off", "seconds_recovered": 1.0}
                for i in range(damaged)
            ],
            "missing": [],
            "allow_missing": 0,
            "allow_damaged": damaged,
        },
        "seeds": {"search": 0, "probes": [0, 1]},
        "versions": {"python": "3.11"},
        "hardware": {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "accelerator": None, "device": "cpu"},
        "seconds": {"embed": 1.0, "search": 2.0, "probes": 3.0, "total": 6.0},
        "predictions": f"{slug(encoder)}.{run_key[:12]}.parquet" if predictions is None else predictions,
    }
    return Record.model_validate(content)


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    """Return the function that builds a valid record; session-wide, so that hypothesis may use it."""
    return build_record
