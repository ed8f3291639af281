import numpy as np
import pytest
import torch

from benchmark.encoders.base import Encoder, WeightsFound
from benchmark.encoders.check import rules as rules
from benchmark.encoders.outputs import EncoderOutput


class Plain(Encoder):
    name, sample_rate, dim = "plain", 8000, 4


def answer(values=(), dtype="float32", graph=False) -> EncoderOutput:
    return EncoderOutput(np.asarray(values), dtype, graph)


def test_differences_are_relative_by_row_and_layer():
    a = np.array([[3.0, 4.0, 100.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    b = np.array([[3.0, 4.5, 100.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    found = rules.differences(a, b, layers=2)
    np.testing.assert_allclose(found, [[0.5 / np.hypot(3, 4.5), 0], [0, 0]])
    assert rules.differences(a, b).max() < 0.005  # one large layer would hide a small one's error


@pytest.mark.parametrize(("gain", "passed"), [(1.0, True), (1 + 5e-5, True), (1 + 2e-4, False), (0.0, False)])
def test_same_allows_a_relative_difference(gain, passed):
    rows = np.random.default_rng(0).normal(size=(3, 8)) * 1e6
    finding = rules.same("batch", rows * gain, rows, rules.TOLERANCE, what="alone and together")
    assert finding.passed is passed
    assert "at most 0.0001 allowed (alone and together)" in finding.numbers


def test_same_holds_nan_to_be_different_and_zeros_to_be_the_same():
    zeros = np.zeros((2, 4))
    assert rules.same("batch", zeros, zeros, 0.0).passed
    assert not rules.same("batch", np.full((2, 4), np.nan), zeros, 1.0).passed


def test_half_precision_is_compared_less_strictly():
    encoder = Plain()
    assert rules.tolerance_of(encoder, answer(dtype="float32")) == rules.TOLERANCE
    assert rules.tolerance_of(encoder, answer(dtype="bfloat16")) == rules.HALF_TOLERANCE
    encoder.precision = "bf16"
    assert rules.tolerance_of(encoder, answer(dtype="float32")) == rules.HALF_TOLERANCE


def test_shape_and_dtype_tell_what_becomes_of_them():
    assert rules.shape(Plain(), answer(np.ones((4, 4)))).numbers == "[4, 4] as declared"
    assert "9 frame(s) a window, averaged" in rules.shape(Plain(), answer(np.ones((4, 9, 4)))).numbers
    assert rules.dtype(answer(dtype="float32")).numbers == "float32"
    assert "rounded" in rules.dtype(answer(dtype="float64")).numbers
    assert "no more exact" in rules.dtype(answer(dtype="float16")).numbers


def test_layers_are_counted():
    encoder = Plain()
    assert rules.layers_counted(encoder, answer(np.ones((2, 4)))).passed
    encoder.layers = ("a", "b", "c")
    assert rules.layers_counted(encoder, answer(np.ones((2, 3, 4)))).passed
    finding = rules.layers_counted(encoder, answer(np.ones((2, 2, 4))))
    assert not finding.passed
    assert finding.numbers == "2 returned, 3 declared"


def test_finite_names_the_input():
    bad = np.array([1.0, np.nan, np.inf])
    finding = rules.finite({"silence": bad, "clicks": np.ones(3)})
    assert not finding.passed
    assert finding.numbers == "2 of 3 not finite on silence"
    assert rules.finite({"silence": np.zeros(3), "clicks": np.full(3, -7.0)}).numbers.endswith("largest number 7")


def test_inputs_matter():
    rows = np.random.default_rng(0).normal(size=(4, 8))
    assert rules.inputs_matter(rows).passed
    rows[3] = rows[1] * (1 + 1e-7)
    assert not rules.inputs_matter(rows).passed
    assert not rules.inputs_matter(np.full((4, 8), np.nan)).passed


def test_graph():
    assert rules.no_graph(answer()).passed
    assert not rules.no_graph(answer(graph=True)).passed


class TestEvaluationMode:
    def test_of_parts_in_lists_and_of_modules_that_are_encoders(self):
        class Whole(torch.nn.Module, Encoder):
            name, sample_rate, dim = "whole", 8000, 1

        encoder = Plain()
        assert rules.evaluation_mode(encoder).numbers == "no torch module"
        encoder.parts = [torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())]
        finding = rules.evaluation_mode(encoder)
        assert not finding.passed
        assert "3 of 3 modules in training mode: Sequential, Linear, Dropout" in finding.numbers
        encoder.parts[0].eval()
        assert rules.evaluation_mode(encoder).passed
        whole = Whole()
        assert not rules.evaluation_mode(whole).passed
        assert rules.evaluation_mode(whole.eval()).passed


class TestWeights:
    def test_what_is_not_used_and_what_no_file_holds_are_named(self):
        finding = rules.weights(WeightsFound(tuple(f"head.{i}" for i in range(7)), ("masked_spec_embed",)))
        assert finding.passed
        assert finding.numbers == (
            "7 tensors (head.0, head.1, head.2, head.3, head.4 and 2 more) of its files are not used; no file holds "
            "1 tensor (masked_spec_embed), computed or left at zero"
        )
        assert rules.weights(WeightsFound()).numbers == "every tensor of its files is used"

    def test_layers_that_are_not_used_break_it(self):
        finding = rules.weights(WeightsFound(("layers.3.weight",), (), ("layers.3.weight",)))
        assert not finding.passed
        assert "1 tensor (layers.3.weight) of its files are named like its layers and are not used" in finding.numbers


def test_fingerprint():
    assert rules.fingerprint_unchanged("a" * 64, "a" * 64).passed
    finding = rules.fingerprint_unchanged("a" * 64, "b" * 64)
    assert not finding.passed
    assert "not_in_fingerprint" in finding.numbers
