import numpy as np
import torch

from benchmark.encoders.base import Encoder
from benchmark.encoders.parameters import parameter_count
from benchmark.encoders.registry import resolve_one


class Plain(Encoder):
    name, sample_rate, dim = "plain", 16_000, 4

    def __init__(self, **held: object) -> None:
        vars(self).update(held)

    def embed(self, waveforms: np.ndarray) -> np.ndarray:
        return np.zeros((len(waveforms), 4), np.float32)


def test_parameters_of_all_networks_are_counted_once():
    network = torch.nn.Linear(3, 2)  # 8
    assert parameter_count(Plain(network=network)) == 8
    both = {"a": network, "b": [torch.nn.Sequential(network, torch.nn.Linear(2, 1, bias=False))]}
    assert parameter_count(Plain(networks=both)) == 8 + 2


def test_an_encoder_without_a_network_has_no_number():
    assert parameter_count(Plain(weights=np.ones(3))) is None
    assert parameter_count(Plain(network=torch.nn.ReLU())) is None
    assert parameter_count(resolve_one("logmel")) is None


def test_what_holds_itself_ends():
    held: list[object] = []
    held.append(held)
    assert parameter_count(Plain(held=held)) is None


def test_counting_changes_no_fingerprint():
    encoder = Plain(network=torch.nn.Linear(3, 2))
    before = encoder.fingerprint()
    parameter_count(encoder)
    assert encoder.fingerprint() == before
