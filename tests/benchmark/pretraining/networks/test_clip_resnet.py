"""The residual network on waveforms: its size, its front end, crops of other lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.pretraining.networks.batch_norm import BatchNorm
from benchmark.pretraining.networks.clip_resnet import PAPER, TINY, AttentionPool, ClipResNet, LogMel, published, tiny


def tone(hz: float, seconds: float, level: float = 1.0) -> torch.Tensor:
    return level * torch.sin(2 * torch.pi * hz * torch.arange(round(16_000 * seconds)) / 16_000)


def test_it_has_the_parameters_of_the_paper() -> None:
    network = published(0.0)
    assert sum(p.numel() for p in network.parameters()) == 2_800_392
    assert sum(p.numel() for p in network.pool.parameters()) == 1_319_936
    assert PAPER.grid == (4, 3)
    assert network.dim == 1024


def test_the_small_one() -> None:
    network = tiny(0.0)
    assert sum(p.numel() for p in network.parameters()) == 359_252
    assert network.eval()(torch.randn(2, 32_000)).shape == (2, 128)


def test_its_blocks_begin_as_the_identity() -> None:
    """As CLIP does: the last normalisation of a block has a weight of 0."""
    block = tiny(0.0).stages[-1].eval()
    x = torch.rand(2, 128, 4, 4)
    expected = torch.relu(block.shortcut(torch.nn.functional.avg_pool2d(x, 2)))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("seconds", [0.96, 1.0, 1.5, 2.0, 3.0, 4.0])
def test_crops_of_other_lengths_have_positions_in_between(seconds: float) -> None:
    network = tiny(0.0).eval()
    assert torch.isfinite(network(tone(440, seconds)[None])).all()


def test_a_crop_under_one_position_is_refused() -> None:
    with pytest.raises(ValueError, match="15000 samples: give 15360"):
        tiny(0.0)(torch.randn(2, 15_000))


def test_positions_of_the_learned_grid_are_as_they_are_learned() -> None:
    pool = AttentionPool(8, (2, 3), 2, 4)
    assert pool._positions((2, 3)) is pool.positions
    wider = pool._positions((4, 6))
    assert wider.shape == (25, 8)
    assert torch.equal(wider[0], pool.positions[0])
    torch.testing.assert_close(wider[1:].mean(0), pool.positions[1:].mean(0), rtol=0.3, atol=0.3)


def test_the_pool_is_the_attention_of_torch() -> None:
    torch.manual_seed(0)
    pool = AttentionPool(8, (2, 2), 2, 5)
    for layer in (pool.query, pool.key, pool.value, pool.output):
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 8, 2, 2)
    cells = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([cells.mean(0, keepdim=True), cells]) + pool.positions[:, None]
    expected, _ = torch.nn.functional.multi_head_attention_forward(
        query=tokens[:1], key=tokens, value=tokens, embed_dim_to_check=8, num_heads=2, in_proj_weight=None,
        in_proj_bias=torch.cat([pool.query.bias, pool.key.bias, pool.value.bias]), bias_k=None, bias_v=None,
        add_zero_attn=False, dropout_p=0.0, out_proj_weight=pool.output.weight, out_proj_bias=pool.output.bias,
        use_separate_proj_weight=True, q_proj_weight=pool.query.weight, k_proj_weight=pool.key.weight,
        v_proj_weight=pool.value.weight, need_weights=False,
    )  # fmt: skip
    torch.testing.assert_close(pool(x), expected[0])


class TestFrontEnd:
    def test_a_tone_is_loudest_in_its_band(self) -> None:
        front = LogMel(128)
        for hz in (110.0, 440.0, 3000.0, 7600.0):
            found = front(tone(hz, 4)[None])
            assert found.shape == (1, 1, 128, 126)
            band = int(front.filters[:, round(hz * 1024 / 16_000)].argmax())
            assert abs(int(found[0, 0, :, 60].argmax()) - band) <= 1, hz

    def test_every_band_holds_a_bin(self) -> None:
        """Of the published front end 11 of 128 are empty, for they lie beyond half of the sampling rate."""
        for mels in (64, 128):
            assert (LogMel(mels).filters.amax(dim=1) > 0).all()

    def test_levels_are_relative_to_the_loudest_cell(self) -> None:
        front, noise = LogMel(64), torch.from_numpy(np.random.default_rng(0).standard_normal((1, 32_000))).float()
        loud, quiet = front(noise), front(0.1 * noise)
        assert float(loud.amax()) == 1
        torch.testing.assert_close(loud, quiet, atol=1e-4, rtol=0)
        both = front(torch.cat([noise, 0.1 * noise]))
        torch.testing.assert_close(both[:1], loud, atol=1e-5, rtol=0)

    def test_what_is_100_db_down_is_at_the_bottom(self) -> None:
        found = LogMel(64)(torch.cat([tone(1000, 1), torch.zeros(16_000)])[None])
        assert float(found.amin()) == -1
        assert float(found[0, 0, :, -1].amax()) == -1

    def test_silence_is_finite(self) -> None:
        assert torch.isfinite(LogMel(64)(torch.zeros(1, 32_000))).all()
        network = tiny(0.0)
        network(torch.zeros(2, 32_000)).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())

    def test_it_is_in_float32_under_autocast(self) -> None:
        front, noise = LogMel(64), torch.randn(1, 16_000)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(front(noise), front(noise))
            assert front(noise).dtype == torch.float32

    def test_it_is_not_part_of_the_weights(self) -> None:
        assert not [name for name in tiny(0.0).state_dict() if name.startswith("front")]


def test_embeddings_are_float32_under_autocast_and_near_those_without() -> None:
    torch.manual_seed(0)
    network, crops = tiny(0.0).eval(), torch.randn(3, 16_000)
    expected = network(crops)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(crops)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_it_normalises_over_processes_everywhere() -> None:
    kinds = {
        type(part).__name__ for part in ClipResNet(TINY).modules() if part._buffers.get("running_mean") is not None
    }
    assert kinds == {BatchNorm.__name__}
