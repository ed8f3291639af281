"""The network of audio and text: its size, what it cannot see, and what it is to guess."""

from __future__ import annotations

import pytest
import torch

from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.language.layers import Width
from benchmark.pretraining.strategies.language.network import AudioAndText, Sizes

pytest.importorskip("transformers")

SMALL = Sizes(30, 8, 4, Width(2, 16, 2, 32), Width(2, 12, 2, 24), Width(1, 8, 2), 0.1)
NOTHING = torch.zeros(0, dtype=torch.int64)


@pytest.fixture
def network() -> AudioAndText:
    torch.manual_seed(0)
    return AudioAndText(build("musicnn-tiny"), 184, SMALL).eval()


def chunks(seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(2, 4, 16_000, generator=torch.Generator().manual_seed(seed))


def captions() -> torch.Tensor:
    return torch.tensor([[1, 7, 8, 9, 2], [1, 20, 2, 0, 0]])


HIDDEN = torch.tensor([[True, False, False, True], [False, True, False, False]])


def test_the_papers_network_has_the_papers_size() -> None:
    sizes = Sizes(30_522, 64, 6, Width(6, 768, 12, 3072), Width(6, 256, 8, 1024), Width(2, 1024, 8), 0.1)
    with torch.device("meta"):
        network = AudioAndText(build("musicnn"), 1506, sizes)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    never_called = 2 * (1024 * 768 + 768 + 1024 * 256 + 256)  # in ViLBERT's co-attention
    places = (512 - 64) * 768 + (213 - 7) * 256  # of longer texts and crops
    kinds = 2 * 768  # of first and second sentence
    assert parameters + never_called + places + kinds == 95_151_264  # the published 95.15 M


def test_hidden_chunks_cannot_be_read(network: AudioAndText) -> None:
    asked = torch.tensor([2, 6])
    signal, changed, visible = chunks(), chunks(), chunks()
    changed[HIDDEN] = torch.randn(int(HIDDEN.sum()), 16_000)
    visible[0, 1] = torch.randn(16_000)
    with torch.inference_mode():
        found, same, other = (network(given, HIDDEN, captions(), asked) for given in (signal, changed, visible))
    for name in ("words", "guessed", "matches"):
        assert torch.equal(getattr(found, name), getattr(same, name)), name
        assert not torch.equal(getattr(found, name)[0], getattr(other, name)[0]), name
    assert not torch.equal(found.chunks[HIDDEN], same.chunks[HIDDEN])


def test_the_token_of_the_whole_is_the_mean_of_what_is_seen(network: AudioAndText) -> None:
    rows = torch.randn(2, 4, 184)
    seen: list[torch.Tensor] = []
    network.audio_input.into.register_forward_hook(lambda _module, args, _output: seen.append(args[0]))
    network.audio_input(rows, HIDDEN)
    assert torch.equal(seen[0][0, 1:][HIDDEN[0]], torch.zeros(2, 184))
    assert torch.equal(seen[0][0, 2], rows[0, 1])
    torch.testing.assert_close(seen[0][:, 0], torch.stack([rows[0, [1, 2]].mean(0), rows[1, [0, 2, 3]].mean(0)]))


def test_where_all_is_hidden_the_whole_is_zeros(network: AudioAndText) -> None:
    all_hidden = torch.ones(2, 4, dtype=torch.bool)
    one, other = (network.audio_input(torch.randn(2, 4, 184), all_hidden) for _ in range(2))
    assert torch.isfinite(one).all()
    assert torch.equal(one, other)


def test_what_is_to_be_guessed_is_not_zeros(network: AudioAndText) -> None:
    """The published code compares with what it has hidden, in place: with zeros."""
    signal = chunks()
    found = network(signal, HIDDEN, captions(), NOTHING)
    expected = network.network.embedded(signal.flatten(0, 1)).unflatten(0, (2, 4))
    torch.testing.assert_close(found.chunks, expected)
    assert (found.chunks[HIDDEN].abs().amax(1) > 0.1).all()


def test_no_gradient_flows_through_the_token_of_the_whole(network: AudioAndText) -> None:
    rows = torch.randn(2, 4, 184, requires_grad=True)
    network.audio_input(rows, HIDDEN)[:, 0].square().sum().backward()
    assert rows.grad is None or not rows.grad.any()


def test_padding_changes_nothing(network: AudioAndText) -> None:
    with torch.inference_mode():
        both = network(chunks(), HIDDEN, captions(), torch.tensor([6]))
        alone = network(chunks()[1:], HIDDEN[1:], captions()[1:, :3], torch.tensor([1]))
    torch.testing.assert_close(both.words, alone.words, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.matches[1:], alone.matches, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.guessed[1:], alone.guessed, atol=1e-5, rtol=1e-4)


def test_text_and_audio_read_each_other(network: AudioAndText) -> None:
    other_text = captions()
    other_text[0, 1] = 25
    with torch.inference_mode():
        found = network(chunks(), HIDDEN, captions(), torch.tensor([2]))
        of_text = network(chunks(), HIDDEN, other_text, torch.tensor([2]))
        of_audio = network(chunks(1), HIDDEN, captions(), torch.tensor([2]))
    assert not torch.equal(found.guessed[0], of_text.guessed[0])
    assert torch.equal(found.guessed[1], of_text.guessed[1])
    assert not torch.equal(found.words, of_audio.words)
