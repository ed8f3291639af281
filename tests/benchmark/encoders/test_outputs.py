import numpy as np
import pytest
import torch

from benchmark.encoders.base import Encoder
from benchmark.encoders.outputs import EncoderOutput, OutputError, as_rows, call_encoder


class Given(Encoder):
    """Answers what it was told to."""

    name, sample_rate, dim = "given", 8000, 2

    def __init__(self, answer, **declared) -> None:
        vars(self).update(declared)
        self.answer = answer

    def embed(self, waveforms):
        return self.answer(waveforms) if callable(self.answer) else self.answer


WAVEFORMS = np.zeros((3, 1, 100), np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64"])
def test_the_name_of_the_encoders_own_dtype_is_kept(dtype):
    answer = call_encoder(Given(torch.ones(3, 2, dtype=getattr(torch, dtype))), WAVEFORMS, "cpu")
    assert (answer.dtype, answer.graph, answer.values.shape) == (dtype, False, (3, 2))


def test_arrays_and_lists():
    assert call_encoder(Given(np.ones((3, 2)), arrays="numpy"), WAVEFORMS, "cpu").dtype == "float64"
    assert call_encoder(Given([[1.0, 2.0]], arrays="numpy"), WAVEFORMS, "cpu").values.shape == (1, 2)


def test_torch_encoders_get_tensors_and_no_gradient_unless_they_ask_for_it():
    weight = torch.nn.Parameter(torch.ones(2))

    def linear(waveforms):
        assert isinstance(waveforms, torch.Tensor)
        return waveforms.mean((1, 2))[:, None] * weight

    def with_gradients(waveforms):
        with torch.enable_grad():
            return linear(waveforms)

    assert not call_encoder(Given(linear), WAVEFORMS, "cpu").graph
    assert call_encoder(Given(with_gradients), WAVEFORMS, "cpu").graph


def of(values, **declared):
    return as_rows(Given(None, **declared), EncoderOutput(np.asarray(values), str(np.asarray(values).dtype), False), 3)


def test_rows_are_float32_with_frames_averaged_and_layers_side_by_side():
    assert of(np.ones((3, 2), np.float64)).dtype == np.float32
    frames = np.arange(24.0).reshape(3, 4, 2)
    np.testing.assert_allclose(of(frames), frames.mean(1))
    np.testing.assert_array_equal(of(frames, layers=("a", "b", "c", "d")), frames.reshape(3, 8))


@pytest.mark.parametrize(
    ("values", "declared", "rule"),
    [
        (np.ones((3, 2), int), {}, "dtype"),
        (np.ones((3, 3)), {}, "shape"),
        (np.ones((2, 2)), {}, "shape"),
        (np.ones((3, 0, 2)), {}, "shape"),
        (np.ones((3, 2, 2)), {"layers": ("a",)}, "layers"),
        (np.ones((3, 2)), {"layers": ("a",)}, "shape"),
    ],
)
def test_a_broken_rule_is_named(values, declared, rule):
    with pytest.raises(OutputError) as caught:
        of(values, **declared)
    assert caught.value.rule == rule


def test_a_graph_is_refused():
    with pytest.raises(OutputError, match="graph") as caught:
        as_rows(Given(None), EncoderOutput(np.ones((3, 2)), "float32", True), 3)
    assert caught.value.rule == "no graph"


def test_what_float32_cannot_hold_becomes_infinite():
    assert np.isinf(of(np.full((3, 2), 1e300))).all()


def test_float32_convolutions_are_not_rounded_to_tf32_and_the_callers_choice_comes_back():
    from torch.backends import cudnn

    seen = []

    def convolution(waveforms):
        seen.append(cudnn.allow_tf32)
        return torch.ones(3, 2)

    def failing(waveforms):
        raise ValueError("broken")

    before = cudnn.allow_tf32
    try:
        for chosen in (True, False):
            cudnn.allow_tf32 = chosen
            call_encoder(Given(convolution), WAVEFORMS, "cpu")
            assert (seen.pop(), cudnn.allow_tf32) == (False, chosen)
            with pytest.raises(ValueError, match="broken"):
                call_encoder(Given(failing), WAVEFORMS, "cpu")
            assert cudnn.allow_tf32 == chosen
    finally:
        cudnn.allow_tf32 = before
