import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from probes.export.onnx_graph import onnx_graph

MADE = run_path(str(Path(__file__).parents[1].joinpath("stored_probes.py")))
probe_of = MADE["probe_of"]

onnxruntime = pytest.importorskip("onnxruntime")


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["outputs"], {"embeddings": x})[0]


@pytest.mark.parametrize("hidden", [(), (5,), (7, 4)])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
def test_the_graph_is_the_probe(activation, hidden):
    probe = probe_of(activation, hidden=hidden)
    for n in (1, 17):
        x = np.random.default_rng(n).normal(size=(n, probe.width)).astype(np.float32)
        found = run(onnx_graph(probe, ["a", "b", "c"], ""), x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, probe.predict(x), rtol=1e-5, atol=1e-6)


def test_the_graph_names_its_ends_and_its_labels():
    labels = ["Größe", 'quo"te', "new\nline"]
    model = onnx_graph(probe_of(), labels, "what it is")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("embeddings", "tensor(float)", ["n", 6])
    assert (answer.name, answer.type, answer.shape) == ("outputs", "tensor(float)", ["n", 3])
    meta = session.get_modelmeta()
    assert json.loads(meta.custom_metadata_map["labels"]) == labels
    assert meta.custom_metadata_map["activation"] == "softmax"
    assert meta.description == "what it is"
