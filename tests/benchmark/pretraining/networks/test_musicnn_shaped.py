"""The network of MusiCNN's shape: its size, its front end, its filters, and signals of several chunks."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from benchmark.encoders.published.musicnn.frontend import LogMelFrames
from benchmark.pretraining.networks.musicnn_shaped import TINY, DecibelMels, MusicnnShaped, Shape, WideFilter


def noise(rows: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed))


def test_it_is_of_the_papers_size() -> None:
    with torch.device("meta"):
        network = MusicnnShaped()
    assert sum(parameter.numel() for parameter in network.parameters()) == 472_450
    assert network.dim == 1506
    assert network.chunk == 48_000


def test_decibels_are_of_the_published_mel_bands() -> None:
    """The published encoder's front end gives log10(1 + 10000 power) of the same bands."""
    waveforms = noise(2, 16_000)
    found = DecibelMels()(waveforms)
    power = (10 ** LogMelFrames()(waveforms).double() - 1) / 10_000
    assert found.shape == (2, 96, 63)
    torch.testing.assert_close(found[:, :, :62], 10 * torch.log10(power).transpose(1, 2).float(), atol=0.02, rtol=0)


def test_at_most_80_decibels_below_the_largest_of_its_own_chunk() -> None:
    loud = torch.sin(torch.arange(16_000) * 0.3)
    quiet = 0.05 * loud * (torch.arange(16_000) < 8_000)
    both = DecibelMels()(torch.stack([quiet, loud]))
    for chunk, alone in zip(both, (quiet, loud), strict=True):
        assert float(chunk.max() - chunk.min()) == pytest.approx(80, abs=1e-3)
        torch.testing.assert_close(chunk, DecibelMels()(alone[None])[0])
    silent = DecibelMels()(torch.zeros(1, 16_000))
    assert torch.equal(silent, torch.full_like(silent, -100.0))


def test_a_wide_filter_is_a_convolution_over_bands_and_time() -> None:
    torch.manual_seed(0)
    block, x = WideFilter(3, 38).eval(), torch.randn(2, 96, 20)
    frames = functional.pad(x, (3, 3)).unfold(2, 7, 1).permute(0, 2, 3, 1).flatten(0, 1)
    found = block(frames).unflatten(0, (2, 20)).transpose(1, 2)
    kernel = block.conv.weight.transpose(1, 2)[:, None]
    maps = functional.conv2d(x[:, None], kernel, block.conv.bias, padding=(0, 3))
    expected = torch.relu(maps / (1 + 1e-5) ** 0.5).amax(2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_long_filters_see_the_mean_of_all_bands() -> None:
    """What leaves the mean as it is moves no long filter's channel, and wide ones."""
    torch.manual_seed(0)
    network = MusicnnShaped(Shape(2, 3, 4, 1.0)).eval()
    seen: list[torch.Tensor] = []
    for block in network.long:
        block.register_forward_hook(lambda _module, args, _output: seen.append(args[0]))
    network(noise(2, 16_000))
    mels = network.mels(noise(2, 16_000)) / (1 + 1e-5) ** 0.5
    assert len(seen) == 3
    for given in seen:
        torch.testing.assert_close(given, mels.mean(1, keepdim=True))


def test_a_longer_signal_has_the_mean_of_its_chunks() -> None:
    torch.manual_seed(0)
    network, signal = MusicnnShaped(TINY).eval(), noise(2, 48_000)
    with torch.inference_mode():
        chunks = [network(signal[:, start : start + 16_000]) for start in (0, 16_000, 32_000)]
        torch.testing.assert_close(network.embedded(signal), torch.stack(chunks).mean(0))
        assert torch.equal(network.embedded(signal[:, :16_000]), chunks[0])


def test_of_a_signal_that_is_no_multiple_the_last_chunk_ends_with_it() -> None:
    network, signal = MusicnnShaped(TINY).eval(), noise(1, 40_000)
    chunks = network.chunks(signal)
    assert chunks.shape == (1, 3, 16_000)
    assert torch.equal(chunks[0, 2], signal[0, 24_000:])
    changed = signal.clone()
    changed[0, -100:] = 0.5
    assert not torch.equal(network.embedded(changed), network.embedded(signal))


def test_a_shorter_signal_is_one_chunk() -> None:
    network = MusicnnShaped(TINY).eval()
    assert network.chunks(noise(2, 5_000)).shape == (2, 1, 5_000)
    assert torch.isfinite(network.embedded(noise(2, 5_000))).all()


def test_the_inputs_normalisation_follows_the_data_and_has_no_gradient() -> None:
    network = MusicnnShaped(TINY)
    for seed in range(60):
        network(noise(4, 16_000, seed))
    mels = network.mels(noise(4, 16_000, 99))
    assert float(network.input_norm.running_mean) == pytest.approx(float(mels.mean()), abs=0.5)
    network(noise(4, 16_000)).sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {"input_norm.weight", "input_norm.bias"}
