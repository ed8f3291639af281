"""Vocabularies of captions, and captions as rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.pretraining.strategies.language.tokenizer import (
    CLS,
    PAD,
    SEP,
    SPECIAL,
    UNKNOWN,
    Tokenizer,
    train,
    words_of,
)

CAPTIONS = [
    "A calm piano piece, slow and soft",
    "a loud drum loop with a fast beat",
    "Solo violin, slow and sad",
    "a calm guitar, soft and slow",
]


def test_words_are_read_as_uncased_bert_reads_them() -> None:
    transformers = pytest.importorskip("tokenizers")
    rule = transformers.pre_tokenizers.BertPreTokenizer()
    normal = transformers.normalizers.BertNormalizer(lowercase=True)
    for text in (*CAPTIONS, "Déjà-vu (live), 100% pure! R&B+soul's", "  tab\there ", "Björk/Ñandú – naïve…", "$5 ~ok~"):
        expected = [word for word, _ in rule.pre_tokenize_str(normal.normalize_str(text))]
        assert words_of(text) == expected, text


def joined_of(vocabulary: tuple[str, ...]) -> list[str]:
    return [piece for piece in vocabulary if len(piece.removeprefix("##")) > 1 and piece not in SPECIAL]


def test_pieces_that_occur_most_are_joined_first() -> None:
    """``ow`` stands in low three times and in slow twice, ``lo`` of low and lot four times."""
    vocabulary = train(["low low low", "slow slow", "lot", "xyz abc def ghi jk"], 100)
    assert joined_of(vocabulary)[:4] == ["##ow", "low", "##low", "slow"]  # 5; then 3; of 2, # is before s
    assert vocabulary[: len(SPECIAL)] == SPECIAL
    assert vocabulary[5] == "##o"  # the letter that occurs most
    assert len(set(vocabulary)) == len(vocabulary)


def test_joining_is_that_of_counting_all_pairs_anew() -> None:
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("aab"), rng.integers(1, 8))) for _ in range(60)] + list("cdefghij")
    split = [[word[0], *("##" + letter for letter in word[1:])] for word in words]
    expected: list[str] = []
    while True:
        pairs = Counter(pair for pieces in split for pair in pairwise(pieces))
        if not pairs:
            break
        one, other = min(pairs, key=lambda pair: (-pairs[pair], pair))
        whole = one + other.removeprefix("##")
        expected += [whole] if whole not in expected else []
        for pieces in split:
            at = 0
            while at < len(pieces) - 1:
                if pieces[at : at + 2] == [one, other]:
                    pieces[at : at + 2] = [whole]
                at += 1
    assert joined_of(train([" ".join(words)], 10_000)) == expected


def test_a_large_vocabulary_holds_every_word_and_a_small_one_pieces() -> None:
    large, small = Tokenizer(train(CAPTIONS, 1_000)), Tokenizer(train(CAPTIONS, 60))
    assert len(small) == 60
    for tokenizer in (large, small):
        for caption in CAPTIONS:
            row = tokenizer.row(caption, 100)
            assert (row[0], row[-1]) == (CLS, SEP)
            pieces = [tokenizer.vocabulary[number] for number in row[1:-1]]
            assert " ".join(pieces).replace(" ##", "") == " ".join(words_of(caption))
    assert all(len(large.pieces(word)) == 1 for caption in CAPTIONS for word in words_of(caption))
    assert any(len(small.pieces(word)) > 1 for caption in CAPTIONS for word in words_of(caption))


def test_a_vocabulary_depends_on_the_captions_alone() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), rng.integers(2, 7))) for _ in range(200)]
    captions = [" ".join(rng.choice(words, 8)) for _ in range(100)]
    expected = train(captions, 300)
    assert train([captions[i] for i in rng.permutation(100)], 300) == expected
    code = (
        "import sys; from benchmark.pretraining.strategies.language.tokenizer import train; "
        "print('\\n'.join(train(sys.stdin.read().splitlines(), 300)))"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found = subprocess.run(
            [sys.executable, "-c", code], input="\n".join(captions), env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert tuple(found.stdout.splitlines()) == expected


def test_training_reads_no_torch() -> None:
    code = "import sys, benchmark.pretraining.strategies.language.tokenizer; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_what_is_not_known_is_unknown_and_what_is_long_is_cut_at_its_end() -> None:
    tokenizer = Tokenizer(train(CAPTIONS, 1_000))
    assert tokenizer.row("calm 東京 piano", 100)[2] == UNKNOWN
    assert tokenizer.pieces("a" * 101) == (UNKNOWN,)
    full, cut = tokenizer.row(CAPTIONS[0], 100), tokenizer.row(CAPTIONS[0], 5)
    assert cut == [*full[:4], SEP]


def test_rows_are_as_long_as_the_longest_and_no_caption_is_an_empty_text() -> None:
    tokenizer = Tokenizer(train(CAPTIONS, 1_000))
    rows = tokenizer.rows(["a calm piano piece", None, "slow"], 64)
    assert rows.dtype == np.int64
    assert rows.shape == (3, 6)
    assert rows[1].tolist() == [CLS, SEP, PAD, PAD, PAD, PAD]
    assert (rows[2] == PAD).sum() == 3
    assert tokenizer.rows([None, None], 64).tolist() == [[CLS, SEP]] * 2


def test_too_small_a_vocabulary_is_refused_with_the_next_step() -> None:
    with pytest.raises(UserError, match=r"a vocabulary of 20 is too small") as refusal:
        train(CAPTIONS, 20)
    assert "vocabulary=1000" in str(refusal.value)


@pytest.mark.parametrize("captions", [["rock", "Rock!", "rock"], [], ["jazz", "rock and roll"], ["", " "]])
def test_captions_that_say_too_little_are_refused(captions: list[str]) -> None:
    with pytest.raises(UserError, match="too few to hide some") as refusal:
        train(captions, 1_000)
    assert "prepare AUDIO --captions FILE.csv" in str(refusal.value)


def test_a_vocabulary_without_the_special_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        Tokenizer(["a", "b"])
