import pytest
import torch

from probes.training import matmul as module
from probes.training.matmul import Products


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["best", "fallback"])
def fp32(request, monkeypatch) -> Products:
    """Products as this build of torch has them, and as one without oneDNN would."""
    if request.param == "fallback":
        monkeypatch.setattr(module, "_onednn", lambda: None)
    return Products()


class TestProducts:
    @pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (7, 5, 3), (64, 300, 17)])
    def test_are_what_they_say(self, fp32, n, d, m):
        x, w, grad = random(n, d), random(m, d, seed=1), random(n, m, seed=2)
        expected = (x.double() @ w.double().T, grad.double().T @ x.double())
        for ours, theirs in zip((fp32.linear(x, w), fp32.matmul_tn(grad, x)), expected, strict=True):
            assert ours.dtype == torch.float32
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_add_a_bias_and_rectify(self, fp32, precision):
        products = fp32 if precision == "fp32" else Products(precision="bf16")
        x, w, bias = random(9, 30), random(5, 30, seed=1), random(5, seed=2)
        expected = x.double() @ w.double().T + bias.double()
        near = {"rtol": 1e-5, "atol": 1e-5} if precision == "fp32" else {"rtol": 0.02, "atol": 0.1}
        x = x.to(products.dtype)
        torch.testing.assert_close(products.linear(x, w, bias).double(), expected, **near)
        torch.testing.assert_close(products.linear(x, w, bias, rectified=True).double(), expected.clamp(min=0), **near)
        torch.testing.assert_close(
            products.linear(x, w, rectified=True).double(), (expected - bias).clamp(min=0), **near
        )

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_are_the_same_on_any_number_of_threads(self, precision):
        """Results of a training that is given more threads on its way stay the same."""
        products = Products(precision=precision)
        if not products.alike:
            pytest.skip("this build of torch has no oneDNN")
        x, w, grad = random(256, 1728).to(products.dtype), random(512, 1728, seed=1), random(256, 512, seed=2)
        before, found = torch.get_num_threads(), []
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                found.append((products.linear(x, w), products.matmul_tn(grad, x)))
        finally:
            torch.set_num_threads(before)
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))

    def test_take_views(self, fp32):
        """One probe's slice of [n, K, d], and a transposed kernel, as the gradient needs them."""
        x, w = random(9, 4, 6), random(6, 5, seed=1)
        expected = x[:, 2].double() @ w.double()
        torch.testing.assert_close(fp32.linear(x[:, 2], w.T).double(), expected, rtol=1e-5, atol=1e-5)
        outer = fp32.matmul_tn(x[:, 2], x[:, 3])
        torch.testing.assert_close(outer.double(), x[:, 2].double().T @ x[:, 3].double(), rtol=1e-5, atol=1e-5)

    def test_answer_in_memory_of_their_own(self, fp32):
        x, w = random(3, 4), random(2, 4, seed=1)
        kept = x.clone(), w.clone()
        fp32.linear(x, w).add_(1)
        assert torch.equal(x, kept[0])
        assert torch.equal(w, kept[1])

    def test_in_bf16_round_the_operands_and_answer_in_float32(self):
        products = Products(precision="bf16")
        assert products.dtype == torch.bfloat16
        x, w, grad = random(64, 300).bfloat16(), random(17, 300, seed=1), random(64, 17, seed=2)
        for ours, theirs in (
            (products.linear(x, w), x.double() @ w.double().T),
            (products.matmul_tn(grad, x), grad.double().T @ x.double()),
        ):
            assert ours.dtype == torch.float32
            error = (ours.double() - theirs).norm() / theirs.norm()
            assert 1e-5 < error < 1e-2

    def test_a_build_without_onednn_falls_back(self, monkeypatch):
        def broken(self) -> None:
            raise AttributeError("no such operator")

        monkeypatch.setattr(module._Onednn, "__init__", broken)
        assert Products().name == "mm"

    def test_onednn_that_multiplies_wrongly_is_not_used(self, monkeypatch):
        monkeypatch.setattr(module._Onednn, "__call__", lambda self, x, w: x @ w.T + 1)
        assert Products().name == "mm"

    def test_the_rate_is_positive(self):
        assert Products().rate(seconds=0.001) > 1e6
