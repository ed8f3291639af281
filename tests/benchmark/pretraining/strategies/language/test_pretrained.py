"""A BERT that is at hand: what is taken of it does what it does itself, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.errors import UserError
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.language.layers import Width, mask_of
from benchmark.pretraining.strategies.language.network import AudioAndText, Sizes
from benchmark.pretraining.strategies.language.pretrained import read
from benchmark.pretraining.strategies.language.tokenizer import PAD, SPECIAL, Tokenizer

transformers = pytest.importorskip("transformers")

PIECES = [
    "[PAD]",
    "[unused0]",
    "a",
    "calm",
    "piano",
    "##s",
    "slow",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ",",
    "drum",
    "bell",
]
TEXT = Width(2, 16, 4, 32)


def bert(folder: Path, pieces: list[str] = PIECES, lower: bool = True, **more: Any) -> Any:
    """Write a small BERT of three layers as its library does."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(pieces), max_position_embeddings=20, **(sizes | more))
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    transformers.BertTokenizer(vocab=vocabulary, do_lower_case=lower).save_pretrained(folder)
    return model


def test_what_is_taken_sees_captions_as_the_whole_does(tmp_path: Path) -> None:
    model = bert(tmp_path / "bert")
    found = read(str(tmp_path / "bert"), TEXT, 10)
    assert found.vocabulary[:5] == SPECIAL
    assert sorted(found.vocabulary) == sorted(PIECES)
    sizes = Sizes(len(PIECES), 10, 3, TEXT, Width(1, 8, 2, 16), Width(1, 8, 2), 0.1)
    ours = AudioAndText(build("musicnn-tiny"), 184, sizes).eval()
    found.fill(ours)
    captions = ["A calm piano, slow pianos", "slow drum"]
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path / "bert")(captions, padding=True, return_tensors="pt")
    tokens = torch.from_numpy(Tokenizer(found.vocabulary).rows(captions, 10))
    there = tokens != PAD
    assert torch.equal(there, theirs["attention_mask"].bool())
    rows = ours.text_input(tokens)
    for layer in ours.text_layers:
        rows = layer(rows, mask_of(there))
    expected = model(**theirs, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(rows[there], expected[there], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "sizes", "problem", "advice"),
    [
        ({}, Width(2, 32, 4, 32), "is of another size", "text_width=16 text_heads=4 text_hidden=32"),
        ({}, Width(4, 16, 4, 32), "has 3 layers and 20 places", "text_layers=3 tokens=10"),
        ({"hidden_act": "relu"}, TEXT, "its activation 'relu'", "leave text_model out"),
        ({"lower": False, "pieces": [*PIECES, "A"]}, TEXT, "has capitals", "an uncased BERT"),
        (
            {"pieces": [piece for piece in PIECES if piece != "[MASK]"]},
            TEXT,
            "has 14 entries with its special tokens, its weights 13",
            "an uncased BERT",
        ),
    ],
)
def test_one_that_does_not_fit_is_refused(
    more: dict[str, Any], sizes: Width, problem: str, advice: str, tmp_path: Path
) -> None:
    bert(tmp_path / "bert", **more)
    with pytest.raises(UserError, match=problem) as refusal:
        read(str(tmp_path / "bert"), sizes, 10)
    assert advice in str(refusal.value)


def test_one_that_is_not_at_hand_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(UserError, match="cannot be read") as refusal:
        read(str(tmp_path / "nowhere"), TEXT, 10)
    assert "leave text_model out" in str(refusal.value)


def test_one_that_lacks_weights_is_not_filled_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bert(tmp_path / "bert")
    path = tmp_path / "bert" / "model.safetensors"
    tensors = load_file(path)
    del tensors["encoder.layer.0.output.dense.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights: encoder\.layer\.0\.output\.dense\.weight"):
        read(str(tmp_path / "bert"), TEXT, 10)


def test_a_recipe_begins_with_it(tmp_path: Path) -> None:
    from benchmark.pretraining.strategies.contract import Data, make_strategy
    from benchmark.pretraining.strategies.mulap import Mulap
    from benchmark.pretraining.training import recipes

    bert(tmp_path / "bert")
    sizes = ["text_width=16", "text_heads=4", "text_hidden=32", "tokens=12"]
    recipe = recipes.load("tiny-mulap", [*sizes, f"text_model={tmp_path / 'bert'}"])
    strategy: Any = make_strategy(Mulap, recipe, Data(captions=("a calm piano, slow drums", "slow bells")))
    text = read(str(tmp_path / "bert"), TEXT, 12)
    assert strategy.tokenizer.vocabulary == text.vocabulary
    assert torch.equal(strategy.model.text_input.words.weight, text.words)
    for name, weight in text.layers[1].items():
        assert torch.equal(strategy.model.text_layers[1].state_dict()[name], weight)
    with pytest.raises(UserError, match="too few to hide some"):
        make_strategy(Mulap, recipe, Data(captions=("a calm piano, slow bells", "words that it does not know")))
