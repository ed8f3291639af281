from dataclasses import replace
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from scipy.special import expit, softmax

from probes import function as module
from probes.function import ACTIVATIONS

MADE = run_path(str(Path(__file__).with_name("stored_probes.py")))
probe_of = MADE["probe_of"]


@pytest.mark.parametrize("hidden", [(), (5,), (7, 4)])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
def test_outputs_are_those_of_the_network(activation, hidden):
    import torch

    probe = probe_of(activation, hidden=hidden)
    x = np.random.default_rng(1).normal(size=(9, 6)).astype(np.float32) * 4
    at = torch.from_numpy((x - probe.input_mean) * probe.input_scale).double()
    for i, (kernel, bias) in enumerate(zip(probe.kernels, probe.biases, strict=True)):
        at = (at.relu() if i else at) @ torch.from_numpy(kernel).double() + torch.from_numpy(bias)
    logits = at.numpy()
    function = {"softmax": lambda z: softmax(z, axis=1), "sigmoid": expit, "identity": lambda z: z}[activation]
    expected = function(logits) * probe.target_scale + probe.target_mean
    found = probe.predict(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("multiclass", "cross_entropy"),
        ("multiclass", "binary_cross_entropy"),
        ("multilabel", "binary_cross_entropy"),
        ("regression", "squared_error"),
    ],
)
@pytest.mark.parametrize("standardise", [True, False])
def test_outputs_are_those_of_the_trained_probe(kind, loss, standardise):
    """The two differ in their matrix products alone: torch's or numpy's."""
    from probes.data import SplitArrays, TrainValid
    from probes.protocol import ProbeSpec, Settings
    from probes.training.trainer import train

    rng = np.random.default_rng(2)
    x = rng.normal(2, 5, size=(60, 6)).astype(np.float32)
    y = {"multiclass": rng.integers(3, size=60), "multilabel": rng.random((60, 3)) < 0.4,
         "regression": rng.normal(50, 20, size=(60, 3))}[kind]  # fmt: skip
    y = y if kind == "multiclass" else y.astype(np.float32)
    ids = tuple(map(str, range(60)))
    data = TrainValid(SplitArrays(ids[:40], x[:40], y[:40]), SplitArrays(ids[40:], x[40:], y[40:]), frozenset())
    settings = Settings(1e-2, 0.0, 50, standardise, (8,), 0.0, 16)
    trained = train(ProbeSpec(kind, 3, loss), settings, data, lambda *_: 0.0, seed=0)
    assert trained.function.activation == ACTIVATIONS[loss]
    np.testing.assert_allclose(trained.function.predict(x), trained.predict(x), rtol=1e-4, atol=1e-5)


def test_rows_in_blocks_equal_all_at_once_and_no_rows_give_none(monkeypatch):
    probe, x = probe_of(), np.random.default_rng(5).normal(size=(10, 6)).astype(np.float32)
    at_once = probe.predict(x)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    np.testing.assert_allclose(probe.predict(x), at_once, rtol=1e-6)
    assert probe.predict(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_extreme_logits_stay_probabilities(activation):
    probe = replace(probe_of(activation, hidden=()), biases=(np.float32([1e4, -1e4, 0]),))
    found = probe.predict(np.zeros((1, 6), np.float32))
    np.testing.assert_allclose(found[0, :2], [1, 0], atol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (2, 5), (2, 7), (2, 6, 1)])
def test_embeddings_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"not \(n, 6\)"):
        probe_of().predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": (), "biases": ()}, "no probe"),
        ({"biases": (np.zeros(5, np.float32),)}, "2 kernels and 1 biases"),
        ({"biases": (np.zeros(5, np.float32), np.zeros(4, np.float32))}, "bias_1 is"),
        ({"kernels": (np.zeros((6, 4), np.float32), np.zeros((5, 3), np.float32))}, "bias_0|follows"),
        ({"kernels": (np.zeros((6, 5), np.float32), np.zeros(3, np.float32))}, "kernel_1 has the shape"),
        ({"input_mean": np.zeros(7, np.float32)}, "input_mean"),
        ({"input_scale": np.zeros(7, np.float32)}, "input_scale"),
        ({"target_mean": np.zeros(1, np.float32)}, "target_mean"),
        ({"target_scale": np.full(3, np.nan, np.float32)}, "target_scale has numbers that are not finite"),
    ],
)
def test_arrays_that_are_no_probe_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(probe_of(), **change)
