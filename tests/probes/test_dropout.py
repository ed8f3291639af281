import numpy as np
import pytest
import torch

from probes.dropout import DropoutMasks


class TestDropoutMasks:
    @pytest.mark.parametrize("rate", [0.1, 0.25, 0.3, 0.5, 0.75, 0.8, 0.9])
    def test_drops_the_rate_and_keeps_the_mean(self, rate):
        factors = DropoutMasks(rate, 0, "cpu").draw(400, 500)
        assert factors.dtype == torch.float32
        assert (factors == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
        assert factors.mean().item() == pytest.approx(1, abs=0.03)
        assert set(factors.unique().tolist()) == {0, np.float32(1 / (1 - rate))}

    def test_no_dropout_needs_no_factors(self):
        masks = DropoutMasks(0.0, 0, "cpu")
        assert masks.draw(3, 4) is None
        masks.next_step()
        assert masks.draw(3, 4) is None

    @pytest.mark.parametrize("rate", [0.5, 0.3])
    def test_are_seeded_and_never_repeat(self, rate):
        first, again, other = (DropoutMasks(rate, seed, "cpu") for seed in (7, 7, 8))
        one, two = first.draw(8, 64), first.draw(8, 64)
        assert torch.equal(one, again.draw(8, 64))
        assert not torch.equal(one, two)
        assert not torch.equal(one, other.draw(8, 64))
        first.next_step()
        assert not torch.equal(one, first.draw(8, 64))

    @pytest.mark.parametrize("rate", [0.5, 0.3])
    def test_go_on_from_any_step(self, rate):
        masks = DropoutMasks(rate, 7, "cpu")
        for step in range(5):
            later = DropoutMasks(rate, 7, "cpu", step)
            for width in (33, 5):  # several places in one step
                assert torch.equal(masks.draw(9, width), later.draw(9, width))
            masks.next_step()

    @pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 5), (7, 9)])
    def test_any_shape_will_do(self, rows, width):
        for rate in (0.5, 0.3):
            assert DropoutMasks(rate, 0, "cpu").draw(rows, width).shape == (rows, width)
