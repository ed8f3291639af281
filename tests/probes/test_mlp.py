import numpy as np
import pytest
import torch
from torch.nn import functional as F

from probes.mlp import DropoutMasks, Mlp
from probes.protocol import ProbeSpec
from probes.training import loss_slope

LOSSES = {
    "multiclass": F.cross_entropy,
    "multilabel": F.binary_cross_entropy_with_logits,
    "regression": F.mse_loss,
}


def targets_for(kind: str, n: int, outputs: int, rng: np.random.Generator) -> torch.Tensor:
    if kind == "multiclass":
        return torch.from_numpy(rng.integers(outputs, size=n))
    if kind == "multilabel":
        return torch.from_numpy((rng.random((n, outputs)) < 0.3).astype(np.float32))
    return torch.from_numpy(rng.normal(size=(n, outputs)).astype(np.float32))


class TestInitialise:
    def test_kernels_are_glorot_uniform_and_biases_zero(self):
        mlp = Mlp.initialise(ProbeSpec("multiclass", 10, (512,)), 300, seed=3, device="cpu")
        bound = np.sqrt(6 / (300 + 512))
        kernel = mlp.kernels[0].numpy()
        assert kernel.shape == (300, 512)
        assert bound * 0.99 < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
        assert all(not bias.any() for bias in mlp.biases)

    def test_the_seed_decides(self):
        spec = ProbeSpec("multiclass", 4, (16,))
        first, again, other = (Mlp.initialise(spec, 8, seed, "cpu").kernels[0] for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


class TestGradient:
    @pytest.mark.parametrize("kind", list(LOSSES))
    @pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
    @pytest.mark.parametrize("dropout", [0.0, 0.5])
    def test_equals_autograd_under_the_same_masks(self, kind, hidden, dropout):
        rng = np.random.default_rng(0)
        spec = ProbeSpec(kind, 4, hidden, dropout)
        mlp = Mlp.initialise(spec, 12, 0, "cpu")
        x, y = torch.from_numpy(rng.normal(size=(32, 12)).astype(np.float32)), targets_for(kind, 32, 4, rng)
        masks = DropoutMasks(dropout, 1, "cpu")
        layers = mlp.forward_hidden(x, masks)
        mlp.backward(layers, loss_slope(spec, layers[-1], y), masks)

        kernels = [kernel.clone().requires_grad_() for kernel in mlp.kernels]
        biases = [bias.clone().requires_grad_() for bias in mlp.biases]
        same, h = DropoutMasks(dropout, 1, "cpu"), x
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            h = h @ kernel + bias
            if i < len(kernels) - 1:
                h = F.relu(h) * same.apply(torch.ones_like(h))
        torch.testing.assert_close(layers[-1], h.detach())
        LOSSES[kind](h, y).backward()
        for ours, theirs in zip([*mlp.kernels, *mlp.biases], [*kernels, *biases], strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)

    def test_forward_without_dropout_is_the_plain_network(self):
        mlp = Mlp.initialise(ProbeSpec("multiclass", 3, (6,)), 5, 0, "cpu")
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
        expected = F.relu(x @ mlp.kernels[0] + mlp.biases[0]) @ mlp.kernels[1] + mlp.biases[1]
        torch.testing.assert_close(mlp.forward(x), expected)


class TestDropoutMasks:
    @pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.8])
    def test_drops_the_rate_and_keeps_the_mean(self, rate):
        dropped = DropoutMasks(rate, 0, "cpu").apply(torch.ones(400, 500))
        assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
        assert dropped.mean().item() == pytest.approx(1, abs=0.02)
        assert dropped.max().item() == pytest.approx(1 / (1 - rate))

    def test_is_seeded_and_never_repeats(self):
        first, again = DropoutMasks(0.5, 7, "cpu"), DropoutMasks(0.5, 7, "cpu")
        one, two = first.apply(torch.ones(8, 64)), first.apply(torch.ones(8, 64))
        assert torch.equal(one, again.apply(torch.ones(8, 64)))
        assert not torch.equal(one, two)
