"""MuLaP: its losses at known values, captions that are missing, resuming, and two processes against one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.strategies.contract import Context, Data, make_strategy
from benchmark.pretraining.strategies.language.tokenizer import Tokenizer, train
from benchmark.pretraining.strategies.mulap import (
    Mulap,
    MulapRecipe,
    Shown,
    asked_of,
    chunk_loss,
    in_chunks,
    match_loss,
    word_loss,
)
from benchmark.pretraining.training import recipes

pytest.importorskip("transformers")

CAPTIONS = (
    "a calm piano piece, slow and soft",
    "a loud drum loop with a fast beat",
    "solo violin, slow and sad",
    "a bright guitar, warm and quick",
)
SMALL = [
    "frames=300", "batch=4", "steps=20", "warmup_steps=2", "text_width=16", "text_heads=2", "text_hidden=32",
    "audio_width=16", "audio_heads=2", "audio_hidden=32", "joint_width=16", "joint_heads=2",
]  # fmt: skip


def recipe_of(*more: str) -> MulapRecipe:
    found = recipes.load("tiny-mulap", [*SMALL, *more])
    assert isinstance(found, MulapRecipe)
    return found


def strategy_of(*more: str) -> Mulap:
    found = make_strategy(Mulap, recipe_of(*more), Data(captions=CAPTIONS))
    assert isinstance(found, Mulap)
    return found


def batch_of(captions: tuple[str | None, ...] | None = CAPTIONS, step: int = 0, rows: int = 4) -> Batch:
    waveforms = 0.1 * np.random.default_rng(step).standard_normal((rows, 48_000), np.float32)
    nothing: Any = None
    return Batch(step, np.arange(rows), nothing, None, None, waveforms=(waveforms,), captions=captions)


def context_of(strategy: Mulap) -> Context:
    return Context(strategy.model, torch.device("cpu"), strategy.recipe.seed)


def test_words_that_are_all_alike_cost_the_logarithm_of_the_vocabulary() -> None:
    for size in (7, 30_522):
        logits = torch.zeros(3, size, dtype=torch.float64)
        assert float(word_loss(logits, torch.tensor([0, 1, 2]))) == pytest.approx(math.log(size), abs=1e-8)


def test_words_are_a_mean_over_those_that_are_asked() -> None:
    torch.manual_seed(0)
    logits, wanted = torch.randn(5, 7, dtype=torch.float64), torch.tensor([3, -1, 0, -1, 6])
    expected = functional.cross_entropy(logits[[0, 2, 4]], wanted[[0, 2, 4]])
    assert float(word_loss(logits, wanted)) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("rows", [0, 3])
def test_where_nothing_is_asked_every_loss_is_zero_and_no_gradient_is_nan(rows: int) -> None:
    words = torch.randn(rows, 7, requires_grad=True)
    guessed, matches = torch.randn(rows, 2, 5, requires_grad=True), torch.randn(rows, 2, requires_grad=True)
    no = torch.zeros(rows, dtype=torch.bool)
    found = [
        word_loss(words, torch.full((rows,), -1)),
        chunk_loss(guessed, torch.randn(rows, 2, 5), torch.zeros(rows, 2, dtype=torch.bool)),
        match_loss(matches, no, no),
    ]
    torch.stack(found).sum().backward()
    assert [float(loss.detach()) for loss in found] == [0.0, 0.0, 0.0]
    for given in (words, guessed, matches):
        assert given.grad is not None
        assert not given.grad.any()


def test_matches_that_are_all_alike_cost_the_logarithm_of_two() -> None:
    logits, swapped = torch.zeros(4, 2, dtype=torch.float64), torch.tensor([True, False, True, False])
    assert float(match_loss(logits, swapped, ~torch.zeros(4, dtype=torch.bool))) == pytest.approx(math.log(2), abs=1e-8)


def test_only_rows_that_are_asked_are_matched() -> None:
    logits = torch.tensor([[0.0, 50.0], [50.0, 0.0], [50.0, 0.0]], dtype=torch.float64)
    swapped = torch.tensor([True, False, True])
    assert float(match_loss(logits, swapped, torch.tensor([True, True, False]))) == pytest.approx(0, abs=1e-8)
    assert float(match_loss(logits, swapped, torch.tensor([True, True, True]))) == pytest.approx(50 / 3, abs=1e-8)


def test_chunks_are_a_squared_error_at_hidden_places() -> None:
    torch.manual_seed(0)
    chunks = torch.randn(2, 3, 5, dtype=torch.float64)
    hidden = torch.tensor([[True, False, False], [False, True, True]])
    assert float(chunk_loss(chunks.clone(), chunks, hidden)) == 0
    assert float(chunk_loss(chunks + 2, chunks, hidden)) == pytest.approx(4, abs=1e-8)
    zeros = chunk_loss(torch.zeros_like(chunks), chunks, hidden)
    assert float(zeros) == pytest.approx(float(chunks[hidden].square().mean()), abs=1e-8)


def test_no_gradient_flows_into_what_is_to_be_guessed() -> None:
    guessed, chunks = torch.randn(1, 2, 5, requires_grad=True), torch.randn(1, 2, 5, requires_grad=True)
    chunk_loss(guessed, chunks, torch.ones(1, 2, dtype=torch.bool)).backward()
    assert chunks.grad is None
    assert guessed.grad is not None


def test_an_untrained_network_knows_nothing() -> None:
    strategy = strategy_of("hidden_tokens=0.5")
    values = strategy.backward(batch_of(), context_of(strategy)).values
    assert float(values["loss/words"]) == pytest.approx(math.log(len(strategy.tokenizer)), abs=0.1)
    assert float(values["loss/matches"]) == pytest.approx(math.log(2), abs=0.15)
    assert float(values["loss/chunks"]) > 0.1


def test_the_loss_is_the_weighted_sum() -> None:
    strategy = strategy_of("word_weight=0.3", "chunk_weight=5", "match_weight=7", "hidden_tokens=0.5")
    outcome = strategy.backward(batch_of(), context_of(strategy))
    words, chunks, matches = (float(outcome.values[f"loss/{name}"]) for name in ("words", "chunks", "matches"))
    assert min(words, chunks, matches) > 0
    assert float(outcome.loss) == pytest.approx(0.3 * words + 5 * chunks + 7 * matches, rel=1e-5)
    assert outcome.embeddings.shape == (4, 184)


def test_every_weight_gets_a_gradient() -> None:
    strategy = strategy_of("hidden_tokens=0.5", "hidden_chunks=0.5")
    strategy.backward(batch_of(), context_of(strategy))
    without = [name for name, parameter in strategy.model.named_parameters() if parameter.grad is None]
    assert without == ["network.input_norm.weight", "network.input_norm.bias"]
    assert strategy.model.network.wide[0].conv.weight.grad.any()  # type: ignore[union-attr, index]


def test_of_swapped_captions_no_word_is_asked() -> None:
    recipe, tokenizer = recipe_of("swapped_captions=0.5", "hidden_tokens=0.9"), Tokenizer(train(CAPTIONS, 500))
    seen = set()
    for seed in range(20):
        shown = Shown(torch.zeros(4, 48_000), CAPTIONS, np.arange(4))
        found = asked_of(shown, tokenizer, recipe, np.random.default_rng(seed))
        has_words = (found.wanted >= 0).any(1)
        assert torch.equal(has_words, ~found.swapped)
        assert found.asked.all()
        seen |= set(found.swapped.tolist())
    assert seen == {True, False}


def test_tracks_without_captions_add_the_audio_loss_alone() -> None:
    """Their words and pairs are not asked, and what they are makes no difference to what is."""
    strategy = strategy_of("hidden_tokens=0.5", "dropout=0")
    captions = (CAPTIONS[0], None, CAPTIONS[2], None)
    found = strategy.questions(batch_of(captions), context_of(strategy))
    assert found.asked.tolist() == [True, False, True, False]
    assert not (found.wanted[[1, 3]] >= 0).any()
    assert not found.swapped[[1, 3]].any()
    assert found.tokens[1].tolist()[:3] == [1, 2, 0]
    assert found.hidden.shape == (4, 3)


@pytest.mark.parametrize("captions", [(None,) * 4, None])
def test_a_batch_without_captions_has_the_audio_loss(captions: tuple[None, ...] | None) -> None:
    strategy = strategy_of("hidden_chunks=0.5")
    outcome = strategy.backward(batch_of(captions), context_of(strategy))
    assert float(outcome.values["loss/words"]) == 0
    assert float(outcome.values["loss/matches"]) == 0
    assert float(outcome.values["loss/chunks"]) > 0
    gradients = [parameter.grad for parameter in strategy.model.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert not strategy.model.match.weight.grad.any()  # type: ignore[union-attr]


def test_a_batch_whose_captions_are_all_the_same_asks_no_pair() -> None:
    strategy = strategy_of("hidden_tokens=0.5")
    outcome = strategy.backward(batch_of((CAPTIONS[0],) * 4), context_of(strategy))
    assert float(outcome.values["loss/matches"]) == 0
    assert float(outcome.values["loss/words"]) > 0


def test_captions_that_are_read_alike_are_not_told_apart() -> None:
    """Capitals and accents are not read, nor is what stands beyond the last token."""
    strategy = strategy_of("tokens=5")
    for captions in (("A calm piano", "a CALM piano"), ("slow and soft piano", "slow and soft guitar")):
        assert not strategy.questions(batch_of(captions, rows=2), context_of(strategy)).asked.any()
    assert strategy.questions(batch_of(("slow", "soft"), rows=2), context_of(strategy)).asked.all()


def test_a_track_that_is_drawn_twice_is_not_swapped_with_itself() -> None:
    strategy = strategy_of("swapped_captions=0.99")
    twice = replace(batch_of(CAPTIONS[:2], rows=2), tracks=np.array([3, 3]))
    assert not strategy.questions(twice, context_of(strategy)).asked.any()
    assert strategy.questions(batch_of(CAPTIONS[:2], rows=2), context_of(strategy)).asked.all()


def test_a_batch_of_one() -> None:
    strategy = strategy_of("hidden_tokens=0.5", "hidden_chunks=0.6")
    outcome = strategy.backward(batch_of((CAPTIONS[0],), rows=1), context_of(strategy))
    assert math.isfinite(float(outcome.loss))
    assert float(outcome.values["loss/matches"]) == 0


def test_draws_are_of_the_seed_the_step_and_the_process() -> None:
    strategy = strategy_of()
    first = strategy.questions(batch_of(), context_of(strategy))
    assert torch.equal(strategy.questions(batch_of(), context_of(strategy)).tokens, first.tokens)
    other = Context(strategy.model, torch.device("cpu"), strategy.recipe.seed, rank=1, world=2)
    assert not torch.equal(strategy.questions(batch_of(), other).hidden, first.hidden)


def test_chunks_of_waveforms_and_of_log_mels() -> None:
    waveforms, mels = torch.arange(12.0).view(2, 6), torch.arange(24.0).view(2, 2, 6)
    assert in_chunks(waveforms, 3)[1].tolist() == [[6, 7], [8, 9], [10, 11]]
    found = in_chunks(mels, 3)
    assert found.shape == (2, 3, 2, 2)
    assert torch.equal(found[0, 1], mels[0, :, 2:4])


def test_a_backbone_of_log_mels_does_as_well() -> None:
    recipe = recipe_of("network=sf-nfnet-tiny")
    strategy = make_strategy(Mulap, recipe, Data(captions=CAPTIONS))
    crops = np.random.default_rng(0).random((4, 96, 300), np.float32)
    batch = Batch(0, np.arange(4), crops, None, None, captions=CAPTIONS)
    context = Context(strategy.model, torch.device("cpu"), 0)
    assert strategy.views(recipe).signals == {"log-mel"}
    assert strategy.backward(batch, context).embeddings.shape == (4, 216)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("frames=250", "frames is 250: it must be a multiple of chunk_frames, 100"),
        ("text_heads=3", "text_width is 16: it must be a multiple of text_heads, 3"),
        ("joint_layers=3", "joint_layers is 3: there are 2 layers of the text and 2 of the audio"),
        ("vocabulary=10", "vocabulary: Input should be greater than or equal to 16"),
        ("chunk=2", "cannot take a step in chunks"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(override: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        strategy_of(override)


def store_with(*captions: str) -> Any:
    return SimpleNamespace(path="store", distinct_captions=lambda: captions)


@pytest.mark.parametrize(
    ("captions", "overrides", "problem", "advice"),
    [
        (("a calm piano piece",), (), "has 1 different captions", "prepare AUDIO --out store --captions FILE.csv"),
        (("rock", "jazz"), (), "2 different pieces of words, too few to hide some", "prepare AUDIO --captions FILE"),
        (CAPTIONS, ("vocabulary=20",), "a vocabulary of 20 is too small", "give vocabulary="),
    ],
)
def test_captions_that_do_not_do_are_refused_before_anything_is_built(
    captions: tuple[str, ...], overrides: tuple[str, ...], problem: str, advice: str
) -> None:
    with pytest.raises(UserError, match=problem) as refusal:
        Mulap.check(recipe_of(*overrides), store_with(*captions))
    assert advice in str(refusal.value)


def test_captions_that_do_are_taken() -> None:
    Mulap.check(recipe_of(), store_with(*CAPTIONS))


def trainer_of() -> Any:
    pytest.importorskip("lightning_fabric")
    from benchmark.pretraining.pretrain import make_fabric
    from benchmark.pretraining.training.trainer import Trainer

    recipe = recipe_of()
    return Trainer(recipe, make_fabric(recipe, "cpu"), Data(captions=CAPTIONS))


def steps(trainer: Any, first: int, last: int) -> list[float]:
    found = []
    for step in range(first, last):
        found.append(trainer.gradients(batch_of(step=step)).loss)
        trainer.update(step)
    return found


def test_a_resumed_run_is_an_unbroken_one_to_the_bit(tmp_path: Path) -> None:
    unbroken = trainer_of()
    losses = steps(unbroken, 0, 4)
    stopped = trainer_of()
    steps(stopped, 0, 2)
    torch.save(stopped.state(), tmp_path / "last.pt")
    resumed = trainer_of()
    resumed.restore(torch.load(tmp_path / "last.pt", weights_only=True))
    assert steps(resumed, 2, 4) == losses[2:]
    for name, tensor in unbroken.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_the_vocabulary_is_kept_as_plain_values() -> None:
    strategy, other = strategy_of(), strategy_of()
    state = strategy.state()
    other.tokenizer = Tokenizer(train(["quite other words, of some text that is another"], 100))
    other.restore(state)
    assert other.tokenizer.vocabulary == strategy.tokenizer.vocabulary
    assert all(isinstance(entry, str) for entry in state["vocabulary"])


def test_what_it_trains_is_an_encoder(make_store: Any, tmp_path: Path) -> None:
    """From a store of which one track has no caption to embeddings of the exported backbone."""
    pytest.importorskip("lightning_fabric")
    from benchmark.encoders.spec import parse
    from benchmark.pretraining.encoder import open_pretrained
    from benchmark.pretraining.pretrain import Choices, pretrain
    from benchmark.pretraining.training.checkpoint import load

    captions = {f"t{i}": [caption] for i, caption in enumerate(CAPTIONS)}
    store, run = make_store([350] * 5, waveforms=True, captions=captions), tmp_path / "run"
    pretrain(Choices("tiny-mulap", store.path, run, [*SMALL, "steps=2", "warmup_steps=1"], "cpu", tmp_path))
    encoder = open_pretrained(parse(f"pretrained:{run}"), tmp_path)
    encoder.to("cpu")
    windows = 0.1 * torch.randn(2, 1, 48_000)
    found = encoder.embed(windows)
    chunks = [encoder.embed(windows[:, :, start : start + 16_000]) for start in (0, 16_000, 32_000)]
    assert (encoder.dim, encoder.window_seconds, encoder.hop_seconds) == (184, 3.0, 3.0)
    torch.testing.assert_close(found, torch.stack(chunks).mean(0))
    state = load(run / "checkpoints" / "last.pt")
    assert state["strategy"]["vocabulary"] == list(train(CAPTIONS, 2_000))


def test_a_store_without_captions_is_refused_before_anything_is_written(make_store: Any, tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    from benchmark.pretraining.pretrain import Choices, pretrain

    store, run = make_store([350] * 5, waveforms=True), tmp_path / "run"
    with pytest.raises(UserError, match="has no captions") as refusal:
        pretrain(Choices("tiny-mulap", store.path, run, SMALL, "cpu", tmp_path))
    assert "--captions" in str(refusal.value)
    assert not run.exists()


#: One of two processes, or one alone: the same questions, asked of halves and of the whole.
PROCESS = """
import os, sys
from dataclasses import fields
import numpy as np, torch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.strategies.contract import Data
from benchmark.pretraining.strategies.mulap import Questions, Shown, asked_of
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
recipe = recipes.load("tiny-mulap", {small} + ["dropout=0", "hidden_tokens=0.5", "hidden_chunks=0.4"])
captions = {captions}
trainer = Trainer(recipe, make_fabric(recipe, "cpu"), Data(captions=captions))
waveforms = 0.1 * torch.randn(4, 48000, generator=torch.Generator().manual_seed(5))
halves = []
for half in range(2):
    rng, part = np.random.default_rng(half), slice(2 * half, 2 * half + 2)
    texts = captions[part] if half else (captions[0], None)  # not as many words and pairs in both
    shown = Shown(waveforms[part], texts, np.arange(4)[part])
    found = asked_of(shown, trainer.strategy.tokenizer, recipe, rng)
    longer = torch.nn.functional.pad
    tokens, wanted = longer(found.tokens, (0, 20 - found.tokens.shape[1])), longer(
        found.wanted, (0, 20 - found.wanted.shape[1]), value=-1)
    halves.append(Questions(found.signal, found.hidden, tokens, wanted, found.swapped, found.asked))
whole = Questions(*(torch.cat([getattr(half, field.name) for half in halves]) for field in fields(Questions)))
outcome = trainer.strategy.answered(halves[rank] if world > 1 else whole, 0, trainer.context)
found = {{
    "loss": float(trainer._mean(outcome.loss)),
    "asked": whole.asked.sum().item(), "words": (whole.wanted >= 0).sum().item(),
    "hidden": whole.hidden.sum(1).tolist(),
    "gradient": torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]),
    "mean": trainer.model.network.input_norm.running_mean.clone(),
}}
if rank == 0:
    torch.save(found, sys.argv[1])
trainer.fabric.barrier()
"""


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path, two_processes: Any, one_process: Any) -> None:
    pytest.importorskip("lightning_fabric")
    code = PROCESS.format(small=SMALL, captions=CAPTIONS)
    two, one = two_processes(code, tmp_path / "two.pt"), one_process(code, tmp_path / "one.pt")
    assert one["asked"] == 2  # of the second half alone
    assert one["words"] > 2
    assert sum(one["hidden"][:2]) != sum(one["hidden"][2:])
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
    torch.testing.assert_close(two["mean"], one["mean"], atol=1e-5, rtol=1e-5)
    difference = (two["gradient"] - one["gradient"]).abs().max()
    assert difference < 1e-5 * one["gradient"].abs().max()
