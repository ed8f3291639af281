"""Batch normalisation: torch's own in one process, that of the joint batch in two."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.pretraining.networks.batch_norm import BatchNorm, NormalisedHead

SHAPES = [(6, 5), (3, 5, 4), (3, 5, 4, 2)]


def torchs(shape: tuple[int, ...]) -> nn.Module:
    return {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](shape[1])


def drawn(norm: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    return norm


@pytest.mark.parametrize("shape", SHAPES)
def test_in_one_process_it_is_torchs_to_the_bit(shape: tuple[int, ...]) -> None:
    own, theirs = drawn(BatchNorm(5)), drawn(torchs(shape))
    for step in range(3):
        torch.manual_seed(step)
        rows = torch.randn(shape) * 3 + 10
        inputs = [rows.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(given) for norm, given in zip((own, theirs), inputs, strict=True)]
        assert torch.equal(*outputs)
        for output in outputs:
            output.square().sum().backward()
        assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert own.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(own.state_dict()[name], tensor), name
    assert torch.equal(own.eval()(rows), theirs.eval()(rows))


def test_half_precision_is_normalised_in_float32() -> None:
    torch.manual_seed(0)
    rows = (torch.randn(64, 4) + 50).to(torch.bfloat16)
    norm = BatchNorm(4)
    found = norm(rows)
    assert found.dtype == torch.bfloat16
    expected = BatchNorm(4)(rows.float())
    assert (found.float() - expected).abs().max() < 0.02  # the rounding of the output alone
    torch.testing.assert_close(norm.running_mean, 0.1 * rows.float().mean(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(BatchNorm(4)(rows.float()), expected)


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1)])
def test_one_value_a_channel_is_refused_in_training(shape: tuple[int, ...]) -> None:
    norm = BatchNorm(4)
    with pytest.raises(ValueError, match="give a batch of 2 at least"):
        norm(torch.randn(shape))
    assert int(norm.num_batches_tracked) == 0
    norm.eval()(torch.randn(shape))


def test_a_momentum_of_0_leaves_the_running_statistics() -> None:
    norm = BatchNorm(4, momentum=0.0)
    norm(torch.randn(8, 4) + 7)
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert torch.equal(norm.running_var, torch.ones(4))
    assert int(norm.num_batches_tracked) == 0


def test_the_head_has_no_biases_and_ends_linearly() -> None:
    head = NormalisedHead(6, 5, 4, 3)
    assert [type(part) for part in head] == [nn.Linear, BatchNorm, nn.ReLU, nn.Linear, BatchNorm, nn.ReLU, nn.Linear]
    assert all(part.bias is None for part in head if isinstance(part, nn.Linear))
    assert sum(p.numel() for p in NormalisedHead(1024, 1024, 1024, 2048).parameters()) == 4_198_400  # of the paper


def test_a_head_without_hidden_layers_is_linear() -> None:
    assert [type(part) for part in NormalisedHead(6, 3)] == [nn.Linear]


#: One of two processes, or the only one: outputs, gradients and running statistics of the joint batch.
PROCESS = """
import os, sys
import torch, torch.distributed as dist
from benchmark.pretraining.networks.batch_norm import BatchNorm

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
if world > 1:
    dist.init_process_group("gloo")
found = {}
for name, shape, offset in (("rows", (8, 5), 0), ("far", (8, 5), 1000), ("images", (4, 5, 3, 2), 0)):
    torch.manual_seed(0)
    spread = torch.linspace(0.5, 4, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    joint = torch.randn(shape, dtype=torch.float64) * spread
    joint, wanted = joint + offset, torch.randn(shape, dtype=torch.float64)
    norm = BatchNorm(5).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    count = shape[0] // world
    part = slice(rank * count, (rank + 1) * count)
    rows = joint[part].clone().requires_grad_()
    output = norm(rows)
    # A mean over the rows of this process, as a strategy's loss.
    ((output - wanted[part]) ** 2 * (1 + output)).mean().backward()
    gathered = []
    for tensor in (output.detach(), rows.grad):
        parts = [torch.empty_like(tensor) for _ in range(world)]
        dist.all_gather(parts, tensor.contiguous()) if world > 1 else parts.__setitem__(0, tensor)
        gathered.append(torch.cat(parts))
    averaged = []
    for parameter in (norm.weight, norm.bias):
        gradient = parameter.grad.clone()
        if world > 1:
            dist.all_reduce(gradient)
        averaged.append(gradient / world)
    found[name] = {"output": gathered[0], "rows": gathered[1] / world, "weight": averaged[0], "bias": averaged[1],
                   "mean": norm.running_mean, "variance": norm.running_var}
if rank == 0:
    torch.save(found, sys.argv[1])
if world > 1:
    dist.barrier()
    dist.destroy_process_group()
"""


def test_two_processes_normalise_as_one_with_the_joint_batch(
    tmp_path: Path, two_processes: Callable[[str, Path], dict[str, dict[str, Tensor]]], one_process: Callable[..., dict]
) -> None:
    one, two = one_process(PROCESS, tmp_path / "one.pt"), two_processes(PROCESS, tmp_path / "two.pt")
    for name, expected in one.items():
        for what, tensor in expected.items():
            torch.testing.assert_close(two[name][what], tensor, rtol=1e-9, atol=1e-9, msg=f"{name} {what}")


def test_the_module_needs_no_process_group() -> None:
    assert "torch.distributed" in sys.modules
    assert not torch.distributed.is_initialized()
    BatchNorm(3)(torch.randn(4, 3))
