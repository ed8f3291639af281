"""Probes and cards to write and read."""

from __future__ import annotations

import itertools

import numpy as np

from probes.export.files import EncoderPart, ProbeCard, TaskPart
from probes.function import ProbeFunction

KINDS = {"softmax": "multiclass", "sigmoid": "multilabel", "identity": "regression"}
LABELS = ("high", "low", "middle")


def probe_of(activation="softmax", dim=6, hidden=(5,), outputs=3, seed=0):
    """A probe of random weights."""
    rng = np.random.default_rng(seed)
    widths = [dim, *hidden, outputs]
    regression = activation == "identity"

    def array(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return ProbeFunction(
        activation,
        tuple(array(a, b) for a, b in itertools.pairwise(widths)),
        tuple(array(b) for b in widths[1:]),
        array(dim),
        np.abs(array(dim)) + 0.5,
        array(outputs) * 9 if regression else np.zeros(outputs, np.float32),
        np.abs(array(outputs)) + 1 if regression else np.ones(outputs, np.float32),
    )


def card_of(probe, task="tones", encoder="bands", **encoder_part):
    labels = LABELS if probe.outputs == 3 else tuple(f"label {i}" for i in range(probe.outputs))
    part = {"version": "1", "fingerprint": "f" * 64, "space": {"key": "k"}, "text": encoder, **encoder_part}
    return ProbeCard(
        kind=KINDS[probe.activation],
        activation=probe.activation,
        labels=labels,
        metrics=("accuracy",),
        task=TaskPart(id=task, title="Tönes", version=1, fingerprint="t"),
        encoder=EncoderPart(id=encoder, **part),
        protocol="paper",
        seed=0,
        settings={"learning_rate": 1e-3, "steps": 300, "standardise": True, "hidden": "5", "warm_rate": None},
        scores={"valid": {"accuracy": 0.5}, "test": {"accuracy": 0.4}},
        versions={"numpy": "2"},
    )
