from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from probes.protocol import DropoutPlace, Loss, ProbeSpec
from probes.training import mlp as module
from probes.training.dropout import DropoutMasks
from probes.training.matmul import Products
from probes.training.mlp import Probes, activate, draw_masks, forward, gradients, loss_grad

LOSSES = [
    ("multiclass", "cross_entropy"),
    ("multiclass", "binary_cross_entropy"),  # on one-hot targets, as GTZAN was published
    ("multilabel", "binary_cross_entropy"),
    ("regression", "squared_error"),
]
PLACES = ["hidden", "logits", "input_and_hidden"]


def encoded_targets(kind: str, loss: str, n: int, outputs: int) -> torch.Tensor:
    rng = np.random.default_rng(1)
    if loss == "cross_entropy":
        return torch.from_numpy(rng.integers(outputs, size=n))
    if kind == "multiclass":
        return F.one_hot(torch.from_numpy(rng.integers(outputs, size=n)), outputs).float()
    if kind == "multilabel":
        return torch.from_numpy((rng.random((n, outputs)) < 0.3).astype(np.float32))
    return torch.from_numpy(rng.normal(size=(n, outputs)).astype(np.float32))


def plain_loss(loss: str, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if loss == "cross_entropy":
        return F.cross_entropy(logits, targets)
    if loss == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(logits, targets.double())
    return F.mse_loss(logits, targets.double())


def plain_network(kernels, biases, mixing, x, masks):
    """A float64 network on lists of [fan_out, fan_in], with the given dropout factors."""
    if mixing is not None:
        x = (x.view(len(x), len(mixing), -1) * mixing.softmax(0)[:, None]).sum(1)
    if masks[0] is not None:
        x = x * masks[0]
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        x = F.linear(x, kernel, bias)
        if i < len(kernels) - 1:
            x = F.relu(x)
        if masks[i + 1] is not None:
            x = x * masks[i + 1]
    return x


def random_inputs(n: int, dim: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32))


def probes_of(spec: ProbeSpec, hidden: tuple[int, ...], dim: int, count: int) -> Probes:
    """Probes that differ, with biases and mixtures that are not zero."""
    found = Probes.stacked([Probes.initialise(spec, hidden, dim, seed, "cpu") for seed in range(count)])
    rng = torch.Generator().manual_seed(5)
    for tensor in found.parameters()[1]:
        tensor.copy_(torch.randn(tensor.shape, generator=rng) * 0.3)
    return found


def check_gradients(spec: ProbeSpec, hidden: tuple[int, ...], count: int, rate: float) -> None:
    n, dim = 32, 12
    probes = probes_of(spec, hidden, dim, count)
    x = random_inputs(n, dim)
    y = encoded_targets(spec.kind, spec.loss, n, spec.outputs)
    widths = [dim // (spec.layers or 1), *hidden, spec.outputs]
    masks = draw_masks(DropoutMasks(rate, 1, "cpu"), spec, widths, n)
    decayed, free = gradients(probes, x, y, masks, spec, Products())
    assert [g.shape for g in decayed] == [p.shape for p in probes.parameters()[0]]
    assert [g.shape for g in free] == [p.shape for p in probes.parameters()[1]]
    for k in range(count):
        leaves = [[p[k].double().requires_grad_() for p in each] for each in probes.parameters()]
        biases = leaves[1][: len(hidden) + 1]
        mixing = leaves[1][-1] if spec.layers else None
        factors = [None if mask is None else mask.double() for mask in masks]
        logits = plain_network(leaves[0], biases, mixing, x.double(), factors)
        plain_loss(spec.loss, logits, y).backward()
        for ours, theirs in zip([*decayed, *free], [*leaves[0], *leaves[1]], strict=True):
            assert theirs.grad.abs().max() > 1e-5
            torch.testing.assert_close(ours[k].double(), theirs.grad, rtol=1e-4, atol=1e-6)


class TestInitialise:
    def test_kernels_are_glorot_uniform_and_biases_zero(self):
        probes = Probes.initialise(ProbeSpec("multiclass", 10, "cross_entropy"), (512,), 300, seed=3, device="cpu")
        bound = np.sqrt(6 / (300 + 512))
        kernel = probes.kernels[0].numpy()
        assert [tuple(each.shape) for each in probes.kernels] == [(1, 512, 300), (1, 10, 512)]
        assert bound * 0.99 < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
        assert all(not bias.any() for bias in probes.biases)
        assert probes.mixing is None
        assert len(probes) == 1

    def test_the_seed_decides(self):
        spec = ProbeSpec("multiclass", 4, "cross_entropy")
        first, again, other = (Probes.initialise(spec, (16,), 8, seed, "cpu").kernels[0] for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_a_mixture_begins_as_the_mean_of_the_layers(self):
        spec = ProbeSpec("multiclass", 4, "cross_entropy", layers=3)
        probes = Probes.initialise(spec, (), 12, 0, "cpu")
        assert probes.kernels[0].shape == (1, 4, 4)
        x = random_inputs(5, 12)
        expected = x.view(5, 3, 4).mean(1) @ probes.kernels[0][0].T
        torch.testing.assert_close(forward(probes, x, Products())[:, 0], expected)


class TestTogether:
    @pytest.mark.parametrize("layers", [None, 3])
    def test_keeps_the_order_and_parts_are_views(self, layers):
        spec = ProbeSpec("multiclass", 4, "cross_entropy", layers=layers)
        alone = [Probes.initialise(spec, (5,), 12, seed, "cpu") for seed in range(3)]
        together = Probes.stacked(alone)
        assert len(together) == 3
        part, copy = together.part(slice(1, 2)), together.part(slice(1, 2)).copy()
        assert torch.equal(part.kernels[0], alone[1].kernels[0])
        for each in (*part.parameters()[0], *part.parameters()[1]):
            each.add_(1)
        assert torch.equal(together.kernels[1][1], alone[1].kernels[1][0] + 1)
        assert torch.equal(copy.kernels[1], alone[1].kernels[1])
        assert torch.equal(together.kernels[1][0], alone[0].kernels[1][0])
        assert (part.mixing is None) == (layers is None)


class TestGradients:
    @pytest.mark.parametrize(("kind", "loss"), LOSSES)
    @pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("rate", [0.0, 0.5])
    def test_equal_autograd_under_the_same_masks(self, kind, loss, hidden, place, rate):
        check_gradients(ProbeSpec(kind, 4, loss, dropout_place=place), hidden, 3, rate)

    @pytest.mark.parametrize("hidden", [(), (16,), (9, 16)])
    @pytest.mark.parametrize("width", [1, 10**9])
    def test_do_not_depend_on_which_products_are_shared(self, hidden, width, monkeypatch):
        monkeypatch.setattr(module, "WIDE", width)
        check_gradients(ProbeSpec("multiclass", 4, "cross_entropy"), hidden, 3, 0.5)

    @pytest.mark.parametrize(("kind", "loss"), LOSSES)
    @pytest.mark.parametrize("hidden", [(), (8,)])
    @pytest.mark.parametrize("place", PLACES)
    def test_of_a_mixture_of_layers_equal_autograd(self, kind, loss, hidden, place):
        check_gradients(ProbeSpec(kind, 4, loss, dropout_place=place, layers=3), hidden, 1, 0.5)

    def test_a_batch_does_not_change_its_inputs(self):
        spec = ProbeSpec("multilabel", 4, "binary_cross_entropy", dropout_place="input_and_hidden")
        probes, x = probes_of(spec, (8,), 12, 2), random_inputs(6, 12)
        kept = x.clone(), [p.clone() for p in probes.kernels]
        masks = draw_masks(DropoutMasks(0.5, 0, "cpu"), spec, [12, 8, 4], 6)
        gradients(probes, x, encoded_targets("multilabel", spec.loss, 6, 4), masks, spec, Products())
        assert torch.equal(x, kept[0])
        assert all(torch.equal(a, b) for a, b in zip(probes.kernels, kept[1], strict=True))


class TestForward:
    @pytest.mark.parametrize("hidden", [(), (6,), (130, 5)])
    def test_is_the_plain_network_of_each_probe(self, hidden):
        spec = ProbeSpec("multiclass", 3, "cross_entropy")
        probes, x = probes_of(spec, hidden, 5, 4), random_inputs(7, 5)
        found = forward(probes, x, Products())
        assert found.shape == (7, 4, 3)
        for k in range(4):
            kernels, biases = ([p[k].double() for p in each] for each in (probes.kernels, probes.biases))
            expected = plain_network(kernels, biases, None, x.double(), [None] * 4)
            torch.testing.assert_close(found[:, k].double(), expected, rtol=1e-5, atol=1e-5)


class TestDrawMasks:
    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            ("hidden", [False, True, True, False]),
            ("logits", [False] * 3 + [True]),
            ("input_and_hidden", [True] * 3 + [False]),
        ],
    )
    def test_drops_where_the_protocol_says(self, place, expected):
        spec = ProbeSpec("multiclass", 3, "cross_entropy", dropout_place=place)
        widths = [12, 8, 6, 3]
        masks = draw_masks(DropoutMasks(0.5, 0, "cpu"), spec, widths, 5)
        assert [mask is not None for mask in masks] == expected
        assert all(mask.shape == (5, w) for mask, w in zip(masks, widths, strict=True) if mask is not None)

    def test_a_linear_probe_has_no_hidden_layer_to_drop_from(self):
        spec = ProbeSpec("multiclass", 3, "cross_entropy")
        assert draw_masks(DropoutMasks(0.5, 0, "cpu"), spec, [12, 3], 5) == [None, None]


class TestLossSlope:
    @pytest.mark.parametrize(("kind", "loss"), LOSSES)
    def test_is_that_of_each_probes_mean_loss(self, kind, loss):
        y = encoded_targets(kind, loss, 6, 4)
        logits = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        leaf = logits.clone().requires_grad_()
        sum(plain_loss(loss, leaf[:, k], y) for k in range(3)).backward()
        found = loss_grad(ProbeSpec(kind, 4, loss), logits.float(), y)
        torch.testing.assert_close(found.double(), leaf.grad, rtol=1e-5, atol=1e-7)


class TestActivate:
    @pytest.mark.parametrize(("kind", "loss"), LOSSES)
    def test_follows_the_loss(self, kind, loss):
        logits = torch.tensor([[2.0, -1.0, 0.5]])
        expected = {
            "cross_entropy": logits.exp() / logits.exp().sum(),
            "binary_cross_entropy": 1 / (1 + (-logits).exp()),
            "squared_error": logits,
        }[loss]
        torch.testing.assert_close(activate(ProbeSpec(kind, 3, loss), logits), expected)


def test_all_losses_and_places_are_among_those_that_are_tested():
    assert set(get_args(DropoutPlace)) == set(PLACES)
    assert {loss for _, loss in LOSSES} == set(get_args(Loss))
