"""The table of networks: what each says of itself is what it is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from benchmark.pretraining.networks.files import load, save, weights_digest
from benchmark.pretraining.networks.table import NETWORKS, build

SMALL = [name for name in NETWORKS if "tiny" in name]


def signal_of(name: str, seconds: float = 4.0) -> torch.Tensor:
    torch.manual_seed(0)
    shape = (2, 96, round(100 * seconds)) if NETWORKS[name].signal == "log-mel" else (2, round(16_000 * seconds))
    return torch.rand(shape) - (0.5 if NETWORKS[name].signal == "waveform" else 0.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_as_wide_as_the_table_says(name: str) -> None:
    with torch.device("meta"):
        network: Any = build(name)
    assert network.dim == NETWORKS[name].dim
    assert hasattr(network, "frames") == NETWORKS[name].frames


@pytest.mark.parametrize("name", SMALL)
def test_it_embeds_its_signal(name: str) -> None:
    network: Any = build(name).eval()
    with torch.inference_mode():
        found = network.embedded(signal_of(name))
    assert found.shape == (2, NETWORKS[name].dim)
    assert torch.isfinite(found).all()
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_drawn_from_the_seed(name: str) -> None:
    def drawn(seed: int) -> str:
        torch.manual_seed(seed)
        return weights_digest(build(name), name)

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


@pytest.mark.parametrize("name", SMALL)
def test_a_file_holds_the_network(name: str, tmp_path: Any) -> None:
    torch.manual_seed(3)
    network: Any = build(name).eval()
    save(name, network, tmp_path / "network.safetensors", {"step": "5"})
    again: Any = load(tmp_path / "network.safetensors")[1]
    assert weights_digest(again, name) == weights_digest(network, name)
    first = (tmp_path / "network.safetensors").read_bytes()
    save(name, network, tmp_path / "network.safetensors", {"step": "5"})
    assert (tmp_path / "network.safetensors").read_bytes() == first


@pytest.mark.parametrize("name", [name for name, kind in NETWORKS.items() if kind.signal == "waveform"])
def test_a_network_of_waveforms_says_its_windows(name: str) -> None:
    kind = NETWORKS[name]
    assert kind.window_seconds
    assert kind.hop_seconds


def test_the_table_imports_no_torch() -> None:
    code = "import sys, benchmark.pretraining.networks.table, benchmark.pretraining.strategies.table; "
    code += "import benchmark.pretraining.strategies.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
