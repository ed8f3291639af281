import pytest
import torch

from probes.training import adam

RATES = [0.0, 1e-4, 5e-3, 1e-2, 3e-3, 1e-5, 2e-2, 1e-3]


@pytest.fixture(params=["fused", "plain"])
def update(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.delattr(torch, "_fused_adam_", raising=False)
    elif not hasattr(torch, "_fused_adam_"):
        pytest.skip("this build of torch has no fused Adam")
    return adam.update


def parameters() -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(1, 7, 13, generator=rng), torch.randn(1, 7, generator=rng), torch.randn(33, generator=rng)]


@pytest.mark.parametrize("decay", [0.0, 2e-2])
@pytest.mark.parametrize("size", [1e-9, 1e-3, 10.0])
def test_equals_torchs_in_float64(update, decay, size):
    """Gradients of the order of epsilon too, where epsilon's place and value show."""
    ours, theirs = parameters(), [p.double().requires_grad_() for p in parameters()]
    moments = adam.Moments.zeros(ours)
    reference = torch.optim.Adam(theirs, lr=1.0, betas=(0.9, 0.999), eps=1e-7, weight_decay=decay)
    rng = torch.Generator().manual_seed(1)
    for step, rate in enumerate(RATES, start=1):
        gradients = [torch.randn(p.shape, generator=rng) * size for p in ours]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.double()
        reference.param_groups[0]["lr"] = rate
        reference.step()
        update(ours, gradients, moments, step=step, learning_rate=rate, decay=decay)
    for mine, other, start in zip(ours, theirs, parameters(), strict=True):
        torch.testing.assert_close(mine.double(), other.detach(), rtol=1e-5, atol=1e-6)
        moved = (other.detach() - start).abs().max()
        assert moved > 1e-5
        assert (mine.double() - other.detach()).abs().max() < 0.01 * moved


def test_updates_views_in_place(update):
    """The probes of a batch are slices of one array; their neighbours stay as they are."""
    together = torch.ones(3, 4, 5)
    alone = torch.ones(1, 4, 5)
    for step in (1, 2):
        gradient = torch.arange(20.0).view(1, 4, 5) - 7
        if step == 1:
            moments = [adam.Moments.zeros([alone]) for _ in range(2)]
        for parameter, mean in zip((together[1:2], alone), moments, strict=True):
            update([parameter], [gradient.clone()], mean, step=step, learning_rate=1e-2, decay=1e-3)
    assert torch.equal(together[1:2], alone)
    assert (together[[0, 2]] == 1).all()
    assert (alone != 1).any()


def test_a_rate_of_zero_moves_only_the_moments(update):
    values = parameters()
    moments = adam.Moments.zeros(values)
    update(values, [torch.ones_like(p) for p in values], moments, step=1, learning_rate=0.0, decay=0.0)
    assert all(torch.equal(a, b) for a, b in zip(values, parameters(), strict=True))
    for first, second in zip(moments.first, moments.second, strict=True):
        torch.testing.assert_close(first, torch.full_like(first, 0.1))
        torch.testing.assert_close(second, torch.full_like(second, 0.001))
