"""The layer graph of a Keras file, followed from output to input and compared with the network to be loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.encoders.published.mule.network import Block, SlowFastNFNet, StandardisedConv

if TYPE_CHECKING:
    pass


Layer = dict[str, Any]


class MismatchError(Exception):
    """What a file holds and what was expected instead; the file is named where it is caught."""


class Walk:
    """Follows a graph from its output to its input and notes which layer holds which part of a network."""

    def __init__(self, model: Layer, network: SlowFastNFNet) -> None:
        self.graph = model["config"]
        self.layers: dict[str, Layer] = {layer["name"]: layer for layer in self.graph["layers"]}
        self.network = network
        self.names: dict[str, str] = {}

    def places(self) -> dict[str, str]:
        """Return {prefix of parameter names: name of the layer that holds them}."""
        config = self.network.config
        ((output, *_),) = self.graph["output_layers"]
        slow, fast = self.several(self.gelu(output), "Concatenate", axis=-1)
        slow, fast = self.one(slow, "GlobalAveragePooling2D"), self.one(fast, "GlobalAveragePooling2D")
        for stage, depth in reversed(list(enumerate(config.depths))):
            for block in reversed(range(depth)):
                slow = self.block(slow, f"slow_stages.{stage}.{block}")
                fast = self.block(fast, f"fast_stages.{stage}.{block}")
            slow, fused = self.several(slow, "Concatenate", axis=-1)
            start = self.conv(self.conv(fused, f"fusions.{stage}.widen"), f"fusions.{stage}.time")
            self.same(start, fast, f"fusion {stage}")
        ends = {self.stem(slow, "slow_stem.convs"), self.stem(fast, "fast_stem.convs")}
        if ends != {entry[0] for entry in self.graph["input_layers"]}:
            raise MismatchError(f"the stems begin at {sorted(ends)}, not at the input")
        shape = self.layers[ends.pop()]["config"]
        shape = shape.get("batch_input_shape", shape.get("batch_shape"))
        if shape[1] != config.mels or shape[3:] != [1]:
            raise MismatchError(f"its input has the shape {shape}, expected [null, {config.mels}, T, 1]")
        return self.names

    def stem(self, name: str, prefix: str) -> str:
        """Return the layer before a stem of four convolutions that ends in ``name``."""
        for i in (3, 2, 1):
            name = self.gelu(self.conv(name, f"{prefix}.{i}"))
        return self.conv(name, f"{prefix}.0")

    def block(self, name: str, prefix: str) -> str:
        """Follow a block from its sum to its input."""
        module = self.network.get_submodule(prefix)
        assert isinstance(module, Block)
        shortcut, r = self.several(name, "StochDepth", survival_probability=module.survival, scale_during_test=False)
        r = self.one(r, "ScalarMultiply", init_gain=module.alpha, learnable=False)
        self.names[f"{prefix}.skip_gain"] = r
        r = self.one(r, "ScalarMultiply", learnable=True)
        gates, conv3 = self.several(r, "TFOpLambda", function="math.multiply")
        widen, double = ("expand_dims", {"axis": 1}), ("math.multiply", {"y": 2.0})
        for function, constants in (widen, widen, double):
            called_with = self.inputs(gates)[1]
            if called_with != constants:
                raise MismatchError(
                    f"the layer {gates} ({function}) is called with {called_with}, expected {constants}"
                )
            gates = self.one(gates, "TFOpLambda", function=function)
        for part, activation in (("excite", "sigmoid"), ("squeeze", "relu")):
            self.names[f"{prefix}.gate.{part}"] = gates
            gates = self.one(gates, "Dense", activation=activation, use_bias=True)
        self.same(self.one(gates, "GlobalAveragePooling2D"), conv3, f"the gates of {prefix}")
        r = self.gelu(self.conv(conv3, f"{prefix}.conv3"))
        r = self.gelu(self.conv(r, f"{prefix}.conv2"))
        r = self.gelu(self.conv(r, f"{prefix}.conv1", stride=(module.stride, 1)))
        h = self.conv(r, f"{prefix}.conv0")
        x = self.gelu(self.one(h, "ScalarMultiply", init_gain=module.beta, learnable=False))
        if module.shortcut is None:
            self.same(shortcut, x, f"the shortcut of {prefix}")
            return x
        shortcut = self.conv(shortcut, f"{prefix}.shortcut")
        if module.stride > 1:
            size = [module.stride, 1]
            shortcut = self.one(shortcut, "AveragePooling2D", pool_size=size, strides=size)
        self.same(shortcut, h, f"the shortcut of {prefix}")
        return x

    def conv(self, name: str, prefix: str, stride: tuple[int, int] | None = None) -> str:
        """Return the layer before the standardised convolution ``name``, which is the network's ``prefix``."""
        module = self.network.get_submodule(prefix)
        assert isinstance(module, StandardisedConv)
        before = self.one(name, "WeightStandardization")
        conv = self.layers[name]["config"]["layer"]
        expected = {
            "filters": module.weight.shape[0],
            "kernel_size": list(module.weight.shape[2:]),
            "strides": list(stride or module.stride),
            "groups": module.groups,
            "padding": "same",
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "activation": "linear",
            "use_bias": True,
        }
        check(f"the convolution in {name}", conv["class_name"], conv["config"], "Conv2D", expected)
        self.names[prefix] = name
        return before

    def gelu(self, name: str) -> str:
        """Return the layer before the activation ``name``."""
        before = self.one(name, "Activation")
        activation = self.layers[name]["config"]["activation"]
        activation = activation["config"] if isinstance(activation, dict) else activation
        if activation != "_scaled_gelu_activation":
            raise MismatchError(f"the layer {name} is the activation {activation}, expected the scaled GELU")
        return before

    def one(self, name: str, kind: str, **expected: Any) -> str:
        """Return the one input of a layer after a look at its class and configuration."""
        return self.several(name, kind, count=1, **expected)[0]

    def several(self, name: str, kind: str, count: int = 2, **expected: Any) -> list[str]:
        """Return the inputs of a layer after a look at its class, its configuration and how many they are."""
        layer = self.layers[name]
        check(f"the layer {name}", layer["class_name"], layer["config"], kind, expected)
        inputs, _ = self.inputs(name)
        if len(inputs) != count:
            raise MismatchError(f"the layer {name} ({kind}) has {len(inputs)} inputs, expected {count}")
        return inputs

    def inputs(self, name: str) -> tuple[list[str], Layer]:
        """Return the names of a layer's inputs and the constants it is called with."""
        (call,) = self.layers[name]["inbound_nodes"]
        entries = call if isinstance(call[0], list) else [call]
        names, constants = [], {}
        for before, _, _, arguments in entries:
            names.append(before)
            for key, value in arguments.items():
                if isinstance(value, list):
                    names.append(value[0])
                elif value is not None:
                    constants[key] = value
        return names, constants

    @staticmethod
    def same(actual: str, expected: str, where: str) -> None:
        """Refuse a connection that the network does not have."""
        if actual != expected:
            raise MismatchError(f"{where} is connected to {actual}, expected {expected}")


def check(what: str, kind: str, config: Layer, expected_kind: str, expected: Mapping[str, Any]) -> None:
    """Refuse a layer of another class or configuration.

    Args:
        what: The layer, for the message.
        kind: Its class.
        config: Its configuration.
        expected_kind: The class that the network needs.
        expected: What its configuration must hold; floats to a millionth.

    Raises:
        MismatchError: It is another.
    """
    if kind != expected_kind:
        raise MismatchError(f"{what} is a {kind}, expected a {expected_kind}")
    for key, value in expected.items():
        actual = config.get(key)
        close = (
            isinstance(value, float) and isinstance(actual, int | float) and math.isclose(actual, value, rel_tol=1e-6)
        )
        if actual != value and not close:
            raise MismatchError(f"{what} has {key} {actual}, expected {value}")
