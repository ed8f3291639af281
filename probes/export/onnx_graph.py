"""A probe as an ONNX graph: standardisation, layers, activation, and the targets' own units."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.function import ProbeFunction

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8


def onnx_graph(probe: ProbeFunction, labels: Sequence[str], description: str) -> onnx.ModelProto:
    """Return the probe as an ONNX model: ``embeddings`` float32 [n, D] to ``outputs`` float32 [n, outputs].

    Args:
        probe: The probe.
        labels: Names of its outputs, kept in the model's metadata as JSON, with the probe's activation.
        description: One line, kept too.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    at = "embeddings"
    at = graph.add("Sub", at, graph.constant("input_mean", probe.input_mean))
    at = graph.add("Mul", at, graph.constant("input_scale", probe.input_scale))
    for i, (kernel, bias) in enumerate(zip(probe.kernels, probe.biases, strict=True)):
        if i:
            at = graph.add("Relu", at)
        names = graph.constant(f"kernel_{i}", kernel), graph.constant(f"bias_{i}", bias)
        at = graph.add("Gemm", at, *names)
    if probe.activation == "softmax":
        at = graph.add("Softmax", at, axis=1)
    elif probe.activation == "sigmoid":
        at = graph.add("Sigmoid", at)
    at = graph.add("Mul", at, graph.constant("target_scale", probe.target_scale))
    graph.add("Add", at, graph.constant("target_mean", probe.target_mean), result="outputs")
    made = helper.make_graph(
        graph.nodes,
        "probe",
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", probe.width])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["n", probe.outputs])],
        graph.constants,
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="music-probe-benchmark",
    )
    model.doc_string = description
    properties: Mapping[str, str] = {
        "activation": probe.activation,
        "labels": json.dumps(list(labels), ensure_ascii=False),
        "calibrated": "no: outputs are the probe's own; probe.json holds the calibration",
    }
    helper.set_model_props(model, dict(properties))
    checker.check_model(model)
    return model


class _Graph:
    """Nodes in a row, and the constants that they take."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, result: str = "", **attributes: Any) -> str:
        from onnx import helper

        result = result or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [result], **attributes))
        return result
