"""How a training computes: in bf16, compiled, and alone in an allocation of SLURM; on whatever device is there."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.pretraining import fabric
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.networks import sf_nfnet
from benchmark.pretraining.networks.table import NETWORKS
from benchmark.pretraining.pretrain import Choices, pretrain
from benchmark.system import precision
from benchmark.system.progress import Silent

pytest.importorskip("lightning_fabric")

QUICK = (
    "batch=4", "steps=3", "warmup_steps=1", "frames=32", "projector_width=16", "projector_layers=1", "drop_rate=0",
    "log_every=1",
)  # fmt: skip
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Small(nn.Module):
    """A network of one convolution: whole ones take minutes to compile."""

    dim = 216

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, self.dim, (96, 3))

    def embedded(self, signal: Tensor) -> Tensor:
        return self.convolution(signal[:, None].float()).relu().mean((2, 3))

    def forward(self, signal: Tensor) -> Tensor:
        return self.embedded(signal)


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def losses(tmp_path, monkeypatch):
    """Train a small network so, and return the losses of its steps and what was said."""
    rng = np.random.default_rng(0)
    write_store(tmp_path / "store", ((f"t{i}", rng.random((120, 96)).astype(np.float16)) for i in range(6)))
    monkeypatch.setattr(sf_nfnet, "small", lambda drop_rate: Small(), raising=False)
    kind = NETWORKS["sf-nfnet-tiny"]
    monkeypatch.setitem(NETWORKS, "sf-nfnet-tiny", replace(kind, build=f"{sf_nfnet.__name__}:small"))

    def training(*overrides: str, device: str = DEVICE) -> tuple[list[float], list[str]]:
        run, told = tmp_path / "-".join(["run", *overrides]), Told()
        pretrain(Choices("tiny-simclr", str(tmp_path / "store"), run, (*QUICK, *overrides), device), told)
        with (run / "metrics.csv").open(encoding="utf-8") as file:
            return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "loss"], told.lines

    return training


def test_bf16_trains_alike_and_what_it_costs_is_said_where_it_is_slow(losses):
    plain, lines = losses()
    assert not any("in bf16 takes" in line for line in lines)
    half, lines = losses("precision=bf16")
    assert half == pytest.approx(plain, rel=0.1)
    assert half != plain
    if DEVICE == "cpu":
        slow = bool(precision.processor_flags()) and not precision.BF16_FLAGS & set(precision.processor_flags())
        said = [line for line in lines if re.search(r"in bf16 takes \d+\.\d times as long as in fp32", line)]
        assert len(said) == slow


@pytest.mark.skipif(
    DEVICE == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))),
    reason="torch.compile needs a C++ compiler on a CPU, and there is none",
)
@pytest.mark.timeout(300)
def test_compiled_it_trains_alike_and_goes_on_uncompiled_weights(losses, tmp_path):
    plain, _ = losses()
    compiled, _ = losses("compile=true")
    assert compiled == pytest.approx(plain, rel=1e-4)
    from safetensors.numpy import load_file

    names = [set(load_file(tmp_path / run / "encoder.safetensors")) for run in ("run", "run-compile=true")]
    assert names[0] == names[1]  # no trace of the compiler in what is exported


def test_one_process_in_an_allocation_of_slurm_is_alone(losses, monkeypatch):
    """As in the shell of salloc: Lightning would take it for one of several, or refuse the numbers of the job."""
    for name, value in {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    found, lines = losses()
    assert len(found) == 3
    assert any("(1 process, fp32)" in line for line in lines)


def test_what_processes_cannot_share_is_refused(losses, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UserError, match="a batch of 4 cannot be shared equally among 3 processes: choose a multiple"):
        losses(device="cpu")
    with pytest.raises(UserError, match="3 processes cannot be on machines of 2 each"):
        fabric._refuse_few_devices("cpu", 3, 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"4 processes of this machine see 1 GPU.*--gpus-per-node N"):
        fabric._refuse_few_devices("cuda", 8, 4)
