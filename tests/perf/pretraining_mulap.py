"""A step of MuLaP against a plain PyTorch loop of the same arithmetic.

    python tests/perf/pretraining_mulap.py [--steps 10] [--threads 1]

The sizes are those of ``tiny-mulap``: 32 examples of three chunks of 1 s with a caption each. The loop is what one
would write for these sizes alone: one forward, three losses, one backward, AdamW. Steps of both alternate; CPU seconds
are compared, which a busy machine moves less than the clock.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.encoders.published.musicnn.frontend import slaney_filters
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.strategies.contract import Data
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

BATCH, CHUNKS, SAMPLES = 32, 3, 16_000
TOKENS, VOCABULARY, SPECIAL, MASK = 16, 2_000, 5, 3
TEXT, AUDIO, JOINT, HEADS, DROPOUT = 128, 64, 64, 4, 0.1
WARM_UP, STEPS, PEAK = 100, 1_000, 1e-3


class Backbone(nn.Module):
    """MusiCNN's shape: wide and long filters, three convolutions over time, maximum and mean over time."""

    def __init__(self, wide: int = 16, long: int = 4, middle: int = 16) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(512), persistent=False)
        self.register_buffer("filters", torch.from_numpy(slaney_filters(16_000, 512, 96)), persistent=False)
        self.input_norm = nn.BatchNorm2d(1).requires_grad_(False)
        self.wide = nn.ModuleList(nn.Conv1d(7, wide, height) for height in (67, 38))
        self.wide_norm = nn.ModuleList(nn.BatchNorm1d(wide) for _ in range(2))
        self.long = nn.ModuleList(nn.Conv1d(1, long, width, padding=width // 2) for width in (129, 65, 33))
        self.long_norm = nn.ModuleList(nn.BatchNorm1d(long) for _ in range(3))
        front = 2 * wide + 3 * long
        self.middle = nn.ModuleList(nn.Conv1d(inputs, middle, 7, padding=3) for inputs in (front, middle, middle))
        self.middle_norm = nn.ModuleList(nn.BatchNorm1d(middle) for _ in range(3))
        self.dim = 2 * (front + 3 * middle)

    def log_mels(self, waveforms: Tensor) -> Tensor:
        spectrum = torch.stft(waveforms, 512, 256, window=self.window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        decibels = 10 * torch.log10((self.filters.T @ power).clamp_min(1e-10))
        return torch.maximum(decibels, decibels.amax((1, 2), keepdim=True) - 80)[:, None]

    def forward(self, waveforms: Tensor) -> Tensor:
        x = self.input_norm(self.log_mels(waveforms))[:, 0]
        frames = functional.pad(x, (3, 3)).unfold(2, 7, 1).permute(0, 2, 3, 1).flatten(0, 1).contiguous()
        parts = []
        for conv, norm in zip(self.wide, self.wide_norm, strict=True):
            parts.append(torch.relu(norm(conv(frames)).amax(2)).unflatten(0, (len(x), -1)).transpose(1, 2))
        mean = x.mean(1, keepdim=True)
        parts += [torch.relu(norm(conv(mean))) for conv, norm in zip(self.long, self.long_norm, strict=True)]
        front = torch.cat(parts, dim=1)
        first = torch.relu(self.middle_norm[0](self.middle[0](front)))
        second = first + torch.relu(self.middle_norm[1](self.middle[1](first)))
        third = second + torch.relu(self.middle_norm[2](self.middle[2](second)))
        features = torch.cat([front, first, second, third], dim=1)
        return torch.cat([features.amax(2), features.mean(2)], dim=1)


class CoAttention(nn.Module):
    """Each stream asks the other (ViLBERT)."""

    def __init__(self) -> None:
        super().__init__()
        self.audio, self.text = nn.Linear(AUDIO, 3 * JOINT), nn.Linear(TEXT, 3 * JOINT)
        self.audio_out, self.text_out = nn.Linear(JOINT, AUDIO), nn.Linear(JOINT, TEXT)
        self.audio_norms = nn.ModuleList(nn.LayerNorm(AUDIO) for _ in range(2))
        self.text_norms = nn.ModuleList(nn.LayerNorm(TEXT) for _ in range(2))
        self.audio_ff = nn.Sequential(nn.Linear(AUDIO, 4 * AUDIO), nn.GELU(), nn.Linear(4 * AUDIO, AUDIO))
        self.text_ff = nn.Sequential(nn.Linear(TEXT, 4 * TEXT), nn.GELU(), nn.Linear(4 * TEXT, TEXT))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, audio: Tensor, text: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        def heads(rows: Tensor) -> list[Tensor]:
            return [part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in rows.chunk(3, dim=2)]

        (qa, ka, va), (qt, kt, vt) = heads(self.audio(audio)), heads(self.text(text))
        rate = DROPOUT if self.training else 0.0
        of_text = functional.scaled_dot_product_attention(qa, kt, vt, real[:, None, None], dropout_p=rate)
        of_audio = functional.scaled_dot_product_attention(qt, ka, va, dropout_p=rate)
        of_text, of_audio = of_text.transpose(1, 2).flatten(2), of_audio.transpose(1, 2).flatten(2)
        audio = self.audio_norms[0](audio + self.dropout(self.audio_out(of_text)))
        text = self.text_norms[0](text + self.dropout(self.text_out(of_audio)))
        audio = self.audio_norms[1](audio + self.dropout(self.audio_ff(audio)))
        return audio, self.text_norms[1](text + self.dropout(self.text_ff(text)))


def layer(width: int) -> nn.Module:
    return nn.TransformerEncoderLayer(width, HEADS, 4 * width, DROPOUT, "gelu", batch_first=True)


@dataclass(frozen=True)
class Example:
    """Waveforms [B, chunks, samples], hidden chunks, tokens as read, those to predict (-1: none), swapped captions."""

    waveforms: Tensor
    hidden: Tensor
    tokens: Tensor
    real: Tensor
    wanted: Tensor
    swapped: Tensor


class Model(nn.Module):
    """Backbone, two transformers with co-attention between them, and a head for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Backbone()
        dim = self.network.dim
        self.tokens, self.positions = nn.Embedding(VOCABULARY, TEXT), nn.Embedding(TOKENS, TEXT)
        self.text_norm, self.audio_norm = nn.LayerNorm(TEXT), nn.LayerNorm(AUDIO)
        self.into, self.places = nn.Linear(dim, AUDIO), nn.Embedding(CHUNKS + 1, AUDIO)
        self.text_layers = nn.ModuleList(layer(TEXT) for _ in range(2))
        self.audio_layers = nn.ModuleList(layer(AUDIO) for _ in range(2))
        self.co_attention = CoAttention()
        self.text_pool, self.audio_pool = nn.Linear(TEXT, JOINT), nn.Linear(AUDIO, JOINT)
        self.match = nn.Linear(JOINT, 2)
        self.word_head = nn.Sequential(nn.Linear(TEXT, TEXT), nn.GELU(), nn.LayerNorm(TEXT))
        self.word_bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.chunk_head = nn.Sequential(nn.Linear(AUDIO, AUDIO), nn.GELU(), nn.LayerNorm(AUDIO), nn.Linear(AUDIO, dim))
        self.dropout = nn.Dropout(DROPOUT)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, example: Example) -> Tensor:
        chunks = self.network(example.waveforms.flatten(0, 1)).unflatten(0, example.waveforms.shape[:2])
        targets, visible = chunks.detach(), ~example.hidden[:, :, None]
        seen = chunks * visible
        whole = (targets * visible).sum(1, keepdim=True) / visible.sum(1, keepdim=True).clamp_min(1)
        audio = self.into(torch.cat([whole, seen], dim=1)) + self.places.weight
        audio = self.dropout(self.audio_norm(audio))
        text = self.tokens(example.tokens) + self.positions.weight[: example.tokens.shape[1]]
        text = self.dropout(self.text_norm(text))
        text = self.text_layers[0](text, src_key_padding_mask=~example.real)
        audio, text = self.co_attention(audio, text, example.real)
        text = self.text_layers[1](text, src_key_padding_mask=~example.real)
        audio = self.audio_layers[1](self.audio_layers[0](audio))
        asked = example.wanted >= 0
        words = functional.linear(self.word_head(text[asked]), self.tokens.weight, self.word_bias)
        mlm = functional.cross_entropy(words, example.wanted[asked], reduction="sum") / asked.sum().clamp_min(1)
        missed = self.chunk_head(audio[:, 1:][example.hidden]) - targets[example.hidden]
        mam = missed.square().sum() / (example.hidden.sum() * targets.shape[2]).clamp_min(1)
        both = torch.tanh(self.text_pool(text[:, 0])) * torch.tanh(self.audio_pool(audio[:, 0]))
        atm = functional.cross_entropy(self.match(self.dropout(both)), example.swapped.long())
        return 0.1 * mlm + 4.0 * mam + 2.0 * atm


def example(rng: np.random.Generator, waveforms: Tensor, captions: Tensor) -> Example:
    """Draw what a step hides and swaps."""
    swapped = torch.from_numpy(rng.random(BATCH) < 0.5)
    partner = (torch.arange(BATCH) + torch.from_numpy(rng.integers(1, BATCH, BATCH))) % BATCH
    captions = captions[torch.where(swapped, partner, torch.arange(BATCH))]
    drawn = torch.from_numpy(rng.random(captions.shape))
    asked = (drawn < 0.15) & (captions >= SPECIAL)
    how = torch.from_numpy(rng.random(captions.shape))
    other = torch.from_numpy(rng.integers(SPECIAL, VOCABULARY, captions.shape))
    tokens = torch.where(asked & (how < 0.8), MASK, torch.where(asked & (how >= 0.9), other, captions))
    wanted = torch.where(asked & ~swapped[:, None], captions, -1)
    hidden = torch.from_numpy(rng.random((BATCH, CHUNKS)) < 0.15)
    return Example(waveforms, hidden, tokens, captions > 0, wanted, swapped)


def rate(step: int) -> float:
    """Return the learning rate: up to the peak, then down to 0, both linearly."""
    return PEAK * min(step / WARM_UP, (STEPS - step) / (STEPS - WARM_UP))


class PlainLoop:
    """The loop, a step at a time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Model().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)

    def step(self, step: int, waveforms: Tensor, captions: Tensor) -> float:
        loss = self.model(example(np.random.default_rng(step), waveforms, captions))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())


def material(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return noise [B, chunks, samples] and captions [B, tokens] of 6 to 14 words, between [CLS] and [SEP]."""
    captions = np.zeros((BATCH, TOKENS), np.int64)
    for row in captions:
        words = rng.integers(6, TOKENS - 1)
        row[: words + 2] = [1, *rng.integers(SPECIAL, VOCABULARY, words), 2]
    noise = 0.1 * rng.standard_normal((BATCH, CHUNKS, SAMPLES), np.float32)
    return torch.from_numpy(noise), torch.from_numpy(captions)


class OfTheHarness:
    """The strategy's step, with as large a vocabulary and captions as long."""

    def __init__(self) -> None:
        recipe = recipes.load("tiny-mulap")
        words = [f"{first}{second}{third}" for first in "bdfgklm" for second in "aeiou" for third in range(60)]
        rng = np.random.default_rng(1)
        captions = [" ".join(rng.choice(words, 12)) for _ in range(2_000)]
        self.trainer = Trainer(recipe, make_fabric(recipe, "cpu"), Data(captions=tuple(captions)))
        tokenizer = self.trainer.strategy.tokenizer
        whole = [word for word in words if len(tokenizer.pieces(word)) == 1]
        self.captions = tuple(" ".join(rng.choice(whole, rng.integers(6, TOKENS - 1))) for _ in range(BATCH))
        print(
            f"vocabulary of {len(tokenizer)}, captions of {tokenizer.rows(self.captions, 32).shape[1]} tokens at most"
        )

    def step(self, step: int, waveforms: Tensor) -> float:
        crops = waveforms.flatten(1).numpy()
        batch = Batch(step, np.arange(BATCH), None, None, None, waveforms=(crops,), captions=self.captions)
        outcome = self.trainer.gradients(batch)
        self.trainer.update(step)
        return outcome.loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plain, harness = PlainLoop(), OfTheHarness()
    waveforms, captions = material(np.random.default_rng(0))
    found: dict[str, list[float]] = {"plain loop": [], "the harness": []}
    for step in range(given.steps + 1):
        for name in found:
            processed = time.process_time()
            loss = plain.step(step, waveforms, captions) if name == "plain loop" else harness.step(step, waveforms)
            found[name].append(time.process_time() - processed)
            if step == given.steps:
                model = plain.model if name == "plain loop" else harness.trainer.model
                parameters = sum(parameter.numel() for parameter in model.parameters())
                seconds = found[name][1:]  # the first one allocates
                print(f"{name}: {parameters:,} parameters, loss {loss:.3f}")
                print(f"  CPU seconds a step  {statistics.median(seconds):.3f} (best {min(seconds):.3f})")
    ratios = [ours / theirs for theirs, ours in zip(*(seconds[1:] for seconds in found.values()), strict=True)]
    print(f"harness / plain: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
