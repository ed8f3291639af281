"""Layers of the two transformers against torch's own attention, and what padding may not do."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmark.errors import UserError
from benchmark.pretraining.strategies.language.layers import (
    CoAttention,
    Width,
    bert_layers,
    draw_as_bert,
    mask_of,
)

pytest.importorskip("transformers")

AUDIO, TEXT, JOINT = Width(2, 12, 2, 24), Width(3, 16, 4, 32), Width(1, 8, 2)


def real(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def test_a_layer_is_torchs_own_encoder_layer() -> None:
    torch.manual_seed(0)
    (layer,) = bert_layers(Width(1, 16, 4, 32), 0.1).eval()
    draw_as_bert(layer, 0.3)
    reference = nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", 1e-12, batch_first=True).eval()
    attention, out = layer.attention.self, layer.attention.output
    with torch.no_grad():
        reference.self_attn.in_proj_weight.copy_(
            torch.cat([part.weight for part in (attention.query, attention.key, attention.value)])
        )
        reference.self_attn.in_proj_bias.copy_(
            torch.cat([part.bias for part in (attention.query, attention.key, attention.value)])
        )
    for to, part in (
        (reference.self_attn.out_proj, out.dense), (reference.norm1, out.LayerNorm),
        (reference.linear1, layer.intermediate.dense), (reference.linear2, layer.output.dense),
        (reference.norm2, layer.output.LayerNorm),
    ):  # fmt: skip
        to.load_state_dict(part.state_dict())
    rows, there = torch.randn(2, 5, 16), real(5, 3)
    found = layer(rows, mask_of(there))
    expected = reference(rows, src_key_padding_mask=~there)
    torch.testing.assert_close(found[there], expected[there], atol=1e-5, rtol=1e-5)


def test_co_attention_is_attention_of_each_stream_to_the_other() -> None:
    torch.manual_seed(0)
    layer = CoAttention(AUDIO, TEXT, JOINT, 0.1).eval()
    audio, text, there = torch.randn(2, 7, 12), torch.randn(2, 5, 16), real(5, 3)
    found = layer(audio, text, mask_of(there))

    def asked(
        own: nn.Module, other: nn.Module, rows: torch.Tensor, of: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        queries, keys, values = own.query(rows), other.key(of), other.value(of)  # type: ignore[operator]
        heads = []
        for at in (slice(0, 4), slice(4, 8)):
            scores = queries[:, :, at] @ keys[:, :, at].transpose(1, 2) / 2  # the root of four
            heads.append(scores.masked_fill(~seen[:, None], -torch.inf).softmax(2) @ values[:, :, at])
        rows = own.out_norm(rows + own.out(torch.cat(heads, 2)))  # type: ignore[operator]
        more = own.narrow(functional.gelu(own.wide(rows)))  # type: ignore[operator]
        return own.norm(rows + more)  # type: ignore[operator]

    everything = torch.ones(2, 7, dtype=torch.bool)
    torch.testing.assert_close(found[0], asked(layer.audio, layer.text, audio, text, there))
    torch.testing.assert_close(found[1], asked(layer.text, layer.audio, text, audio, everything))


def test_what_stands_behind_a_caption_is_not_read() -> None:
    torch.manual_seed(0)
    layer = CoAttention(AUDIO, TEXT, JOINT, 0.1).eval()
    audio, text = torch.randn(1, 7, 12), torch.randn(1, 5, 16)
    changed = text.clone()
    changed[:, 3:] = 9.0
    for first, second in zip(
        layer(audio, text, mask_of(real(3, 5))[:1]), layer(audio, changed, mask_of(real(3, 5))[:1]), strict=True
    ):
        torch.testing.assert_close(first[:, :3], second[:, :3])


def test_without_transformers_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers.models.bert", None)
    with pytest.raises(UserError, match="transformers, which is not installed") as refusal:
        bert_layers(AUDIO, 0.1)
    assert "pip install" in str(refusal.value)
    assert "hf" in str(refusal.value)
