"""Chunks and processes against the joint batch: the same loss and the same gradients."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.pretraining.strategies.distributed import accumulated_gradients, all_gather, cached_gradients
from benchmark.pretraining.strategies.simclr import nt_xent
from benchmark.pretraining.strategies.supervised import supervised_loss


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 5)).double()


def pairwise(rows: Tensor) -> Tensor:
    return nt_xent(*rows.chunk(2))


def gradients(network: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


def whole_batch(inputs: Tensor) -> tuple[float, list[Tensor]]:
    network = small_network()
    loss = pairwise(network(inputs))
    loss.backward()
    return float(loss.detach()), gradients(network)


@pytest.mark.parametrize("chunk", [1, 3, 4, 16, 50])
def test_cached_gradients_are_those_of_the_whole_batch(chunk: int) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(16, 6, dtype=torch.float64)
    expected_loss, expected = whole_batch(inputs)
    network = small_network()
    loss, rows = cached_gradients(inputs, chunk, lambda _, part: network(part), pairwise, Tensor.backward)
    assert float(loss) == pytest.approx(expected_loss, abs=1e-12)
    torch.testing.assert_close(gradients(network), expected, rtol=0, atol=1e-12)
    assert rows.shape == (16, 5)
    assert not rows.requires_grad


def test_accumulated_contrastive_gradients_would_not_be() -> None:
    """What the cached ones are for: the loss of a chunk lacks the negatives of the others."""
    torch.manual_seed(1)
    inputs = torch.randn(16, 6, dtype=torch.float64)
    _, expected = whole_batch(inputs)
    network = small_network()
    views = inputs.chunk(2)
    for a, b in zip(*(view.chunk(2) for view in views), strict=True):
        (nt_xent(network(a), network(b)) / 2).backward()
    assert (gradients(network)[0] - expected[0]).abs().max() > 1e-3


def test_random_draws_are_seeded_by_the_chunk() -> None:
    """With noise that depends on the chunk's index alone, both passes see the same network."""
    torch.manual_seed(1)
    inputs = torch.randn(8, 6, dtype=torch.float64)
    network, seen = small_network(), []

    def forward(index: int, part: Tensor) -> Tensor:
        torch.manual_seed(index)
        rows = network(part) * (torch.rand(len(part), 1) < 0.7)
        seen.append((index, rows.detach()))
        return rows + 1

    cached_gradients(inputs, 4, forward, pairwise, Tensor.backward)
    assert [index for index, _ in seen] == [0, 1, 0, 1]
    assert torch.equal(seen[0][1], seen[2][1])
    assert torch.equal(seen[1][1], seen[3][1])


@pytest.mark.parametrize("chunk", [1, 3, 8, 20])
def test_accumulated_gradients_of_a_mean_are_those_of_the_whole_batch(chunk: int) -> None:
    torch.manual_seed(1)
    inputs, labels = torch.randn(8, 6, dtype=torch.float64), torch.rand(8, 5, dtype=torch.float64)
    network = small_network()
    expected_loss = supervised_loss(network(inputs), labels)
    expected_loss.backward()
    expected = gradients(network)
    network.zero_grad()
    loss, rows = accumulated_gradients(
        inputs, labels, chunk, lambda _, part: network(part), supervised_loss, Tensor.backward
    )
    assert float(loss) == pytest.approx(float(expected_loss.detach()), abs=1e-12)
    torch.testing.assert_close(gradients(network), expected, rtol=0, atol=1e-12)
    assert rows.shape == (8, 5)


def test_without_processes_rows_are_as_they_are() -> None:
    rows = torch.randn(3, 2)
    assert all_gather(rows) is rows


#: One of two processes: a step of each objective and way, its loss and its gradients, compared with one process.
PROCESS = """
import os, sys
import numpy as np, torch
from benchmark.pretraining.strategies.contract import Data
from benchmark.pretraining.training.recipes import recipe_of
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.training.trainer import Trainer

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
common = dict(network="sf-nfnet-tiny", batch=8, steps=10, warmup_steps=1, frames=48, projector_width=16,
              projector_layers=1, projection=8, mixup=False, drop_rate=0.0)
fabric = make_fabric(recipe_of({"objective": "simclr", **common}), "cpu")
found = {}
for kind, chunk in (("simclr", None), ("simclr", 3), ("supervised", None), ("supervised", 3), ("masked simclr", None),
                    ("masked simclr", 3), ("masked supervised", None), ("masked supervised", 3)):
    masked, objective = kind.startswith("masked"), kind.split()[-1]
    same = "masked" if masked else "negatives"
    recipe = recipe_of({"objective": objective, "chunk": chunk if world > 1 else None, "same_track": same, **common})
    trainer = Trainer(recipe, fabric, Data(labels=5))
    torch.manual_seed(1)
    for name, parameter in trainer.model.named_parameters():
        if name.endswith("skip_gain"):
            torch.nn.init.constant_(parameter, 0.5)
    rng = np.random.default_rng(3)
    first, second = rng.random((2, 8, 96, 48), dtype=np.float32)
    labels = (rng.random((8, 5)) < 0.3).astype(np.float32)
    part = slice(rank * 8 // world, (rank + 1) * 8 // world)
    if masked:
        labels[0], labels[1:3, 2], labels[7, :4] = np.nan, np.nan, np.nan  # not as many in both parts
    simclr = objective == "simclr"
    batch = Batch(0, np.arange(8)[part], first[part], second[part] if simclr else None,
                  None if simclr else labels[part], np.array([0, 1, 2, 3, 1, 4, 2, 1])[part], masked)
    outcome = trainer.gradients(batch)
    found[f"{kind}-{chunk}"] = {
        "loss": outcome.loss,
        "gradient": torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]),
    }
if rank == 0:
    torch.save(found, sys.argv[1])
fabric.barrier()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_two(script: Path, output: Path) -> None:
    port, children = free_port(), []
    for rank in range(2):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "GROUP_RANK": "0",
            "TORCHELASTIC_RUN_ID": "test",
        }  # fmt: skip - what torchrun sets
        children.append(
            subprocess.Popen(
                [sys.executable, str(script), str(output)], env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    for child in children:
        _, problems = child.communicate(timeout=240)
        assert child.returncode == 0, problems[-3000:]


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "process.py"
    script.write_text(PROCESS, encoding="utf-8")
    run_two(script, tmp_path / "two.pt")
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "one.pt")])
    runpy.run_path(str(script))
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    for name, expected in one.items():
        assert two[name]["loss"] == pytest.approx(expected["loss"], abs=1e-5), name
        difference = (two[name]["gradient"] - expected["gradient"]).abs().max()
        assert difference < 1e-5 * expected["gradient"].abs().max(), name
