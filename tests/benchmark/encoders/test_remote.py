"""What is asked of an encoder in another process, and of one in this."""

import numpy as np
import pytest

from benchmark.encoders.base import Encoder
from benchmark.encoders.outputs import call_encoder
from benchmark.encoders.parameters import parameter_count
from benchmark.encoders.remote import EncoderOutput, RemoteEncoder, Software, device_for
from benchmark.errors import UserError


class Far(RemoteEncoder):
    name, sample_rate, dim, parameter_total = "far", 8000, 2, 7
    software = Software("old", "3.9.18", 3, "ab" * 32, {"numpy": "2.0.2"})

    def answer(self, waveforms):
        return EncoderOutput(np.ones((len(waveforms), 2), np.float32), "bfloat16", graph=True)

    def device_there(self, device):
        return f"{device} there"


class Near(Encoder):
    name, sample_rate, dim, arrays = "near", 8000, 2, "numpy"


def test_device_and_parameters_are_those_of_the_other_process():
    assert device_for(Far(), "cuda") == "cuda there"
    assert device_for(Near(), "auto") == "cpu"
    assert parameter_count(Far()) == 7
    with pytest.raises(UserError, match="there is no device 'gpu'"):
        device_for(Near(), "gpu")


def test_an_answer_keeps_its_own_type_and_graph():
    output = call_encoder(Far(), np.zeros((3, 1, 8), np.float32), "cpu")
    assert (output.dtype, output.graph, output.values.shape) == ("bfloat16", True, (3, 2))
    assert Far().embed(np.zeros((3, 1, 8))).shape == (3, 2)


def test_software_in_words():
    assert str(Far.software) == f"old: Python 3.9.18, numpy 2.0.2; 3 packages, list {'ab' * 6}"
