"""Settings of the whole process decide no embedding, and no encoder changes them."""

import numpy as np
import pytest
import torch

from benchmark.encoders.base import Encoder
from benchmark.encoders.outputs import call_encoder
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.torch_settings import float32_throughout
from benchmark.errors import UserError

PLUG_IN = """
import torch
from benchmark import Encoder
{at_import}


class Mine(Encoder):
    name, version, sample_rate, dim = "mine", "1", 16000, 4

    def __init__(self):
        {at_opening}
        self.weights = torch.linspace(0.1, 1, 4)

    def embed(self, waveforms):
        return waveforms.mean((1, 2))[:, None] * torch.ones(4) * self.weights
"""


@pytest.fixture
def other_settings():
    """A script that computes in float64 and multiplies fast."""
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    yield
    assert (torch.get_default_dtype(), torch.get_float32_matmul_precision()) == (torch.float64, "medium")
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")


def write(folder, at_import="", at_opening="pass"):
    (folder / "mine.py").write_text(PLUG_IN.format(at_import=at_import, at_opening=at_opening))
    return str(folder / "mine.py")


def test_an_encoder_is_opened_and_called_under_torchs_own(tmp_path, request):
    noise = np.random.default_rng(0).normal(size=(2, 1, 8)).astype(np.float32)
    plain = resolve_one(write(tmp_path))
    expected = call_encoder(plain, noise, "cpu")
    request.getfixturevalue("other_settings")
    encoder = resolve_one(write(tmp_path))
    found = call_encoder(encoder, noise, "cpu")
    assert encoder.fingerprint() == plain.fingerprint()
    assert found.dtype == expected.dtype == "float32"
    np.testing.assert_array_equal(found.values, expected.values)


def test_it_is_set_back_whatever_an_encoder_does_when_it_is_called(other_settings):
    class Changing(Encoder):
        name, sample_rate, dim = "changing", 16000, 1

        def embed(self, waveforms):
            torch.set_default_dtype(torch.float16)
            raise OSError

    with pytest.raises(OSError):
        call_encoder(Changing(), np.zeros((1, 1, 8), np.float32), "cpu")


@pytest.mark.parametrize("place", ["at_import", "at_opening"])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("torch.set_default_dtype(torch.float64)", r"changes the default dtype to torch\.float64 for all of this"),
        ("torch.set_float32_matmul_precision('medium')", r"changes the precision of products to 'medium' for all"),
    ],
)
def test_one_that_changes_them_is_refused(tmp_path, place, code, message):
    with pytest.raises(UserError, match=message):
        resolve_one(write(tmp_path, **{place: code}))
    assert (torch.get_default_dtype(), torch.get_float32_matmul_precision()) == (torch.float32, "highest")


def test_nothing_is_loaded_for_it(monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "torch")
    with float32_throughout():
        pass
