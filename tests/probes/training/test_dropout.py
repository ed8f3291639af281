import numpy as np
import pytest
import torch

from probes.training.dropout import DropoutMasks, coins


class TestCoins:
    @pytest.mark.parametrize("kept", range(1, 64, 2))
    def test_of_all_outcomes_as_many_are_1_as_are_kept(self, kept):
        """Six fair coins have 64 outcomes; each stands once among the bits of these words."""
        outcomes = range(64)
        words = [sum((outcome >> place & 1) << outcome for outcome in outcomes) for place in range(6)]
        found = coins(np.array(words, np.uint64).reshape(6, 1), kept)
        assert int(found[0]).bit_count() == kept


class TestDropoutMasks:
    @pytest.mark.parametrize(
        ("rate", "bits", "kept"),
        [(0.5, 1, 1), (0.25, 2, 3), (0.75, 2, 1), (0.875, 3, 1), (0.1, 15, 29491), (0.9, 15, 3277), (0.3, 16, 45875),
         (0.999, 15, 33), (1e-9, 16, 65535)],
    )  # fmt: skip
    def test_are_of_as_few_coins_as_are_exact(self, rate, bits, kept):
        masks = DropoutMasks(rate, 0, "cpu")
        assert (masks._bits, masks._kept) == (bits, kept)
        assert kept / 2**bits == pytest.approx(1 - rate, abs=1 / 65536)
        assert masks.draw(3, 70).shape == (3, 70)

    def test_what_keeps_nothing_is_refused(self):
        with pytest.raises(ValueError, match="keeps nothing"):
            DropoutMasks(1 - 1e-9, 0, "cpu")

    @pytest.mark.parametrize("rate", [0.1, 0.25, 0.3, 0.5, 0.75, 0.8, 0.9])
    def test_drops_the_rate_and_keeps_the_mean(self, rate):
        factors = DropoutMasks(rate, 0, "cpu").draw(400, 500)
        assert factors.dtype == torch.float32
        assert (factors == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
        assert factors.mean().item() == pytest.approx(1, abs=0.03)
        assert set(factors.unique().tolist()) == {0, np.float32(1 / (1 - rate))}

    @pytest.mark.parametrize("rate", [0.25, 0.5, 0.3, 0.9])
    def test_units_are_dropped_independently(self, rate):
        """Neighbours in a row and in a column, units 64 apart (of one word) and rows: correlations of noise alone."""
        on = (DropoutMasks(rate, 3, "cpu").draw(512, 512) > 0).double()
        for apart in (1, 8, 64, 512):
            flat = on.flatten()
            pair = torch.stack([flat[:-apart], flat[apart:]])
            assert abs(torch.corrcoef(pair)[0, 1].item()) < 0.01  # five standard deviations

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
