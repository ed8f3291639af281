"""What is hidden and swapped, in counts and in single rows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.pretraining.strategies.language.masking import IGNORED, hide_chunks, hide_tokens, pair
from benchmark.pretraining.strategies.language.tokenizer import CLS, MASK, PAD, SEP, SPECIAL, UNKNOWN


def near(count: int, of: int, share: float) -> bool:
    return abs(count / of - share) <= 4 * math.sqrt(share * (1 - share) / of)


def test_of_tokens_fifteen_per_cent_are_hidden_eighty_ten_ten() -> None:
    tokens = np.random.default_rng(0).integers(5, 1_000, (500, 60))
    found = hide_tokens(tokens, 1_000, np.random.default_rng(1))
    hidden = found.wanted != IGNORED
    assert near(hidden.sum(), tokens.size, 0.15)
    assert np.array_equal(found.wanted[hidden], tokens[hidden])
    assert np.array_equal(found.read[~hidden], tokens[~hidden])
    masked, kept = found.read[hidden] == MASK, found.read[hidden] == tokens[hidden]
    assert near(masked.sum(), hidden.sum(), 0.8)
    assert near(kept.sum(), hidden.sum(), 0.1)
    others = found.read[hidden][~masked & ~kept]
    assert near(len(others), hidden.sum(), 0.1)
    assert others.min() >= len(SPECIAL)


def test_special_tokens_are_never_hidden() -> None:
    tokens = np.array([[CLS, 7, UNKNOWN, SEP, PAD, PAD]])
    found = hide_tokens(tokens, 20, np.random.default_rng(0), 1.0)
    assert found.wanted.tolist() == [[IGNORED, 7, IGNORED, IGNORED, IGNORED, IGNORED]]
    assert np.array_equal(np.delete(found.read, 1), np.delete(tokens, 1))


def test_of_chunks_fifteen_per_cent_are_hidden() -> None:
    hidden = hide_chunks(5_000, 6, np.random.default_rng(0))
    assert hidden.shape == (5_000, 6)
    assert near(hidden.sum(), hidden.size, 0.15)
    assert not hide_chunks(50, 6, np.random.default_rng(0), 0.0).any()


def test_half_of_the_captions_are_swapped_and_never_for_one_of_the_same_text() -> None:
    texts = [f"text {i % 40}" for i in range(80)]  # each twice
    swapped, asked = 0, 0
    for seed in range(50):
        found = pair(texts, np.arange(len(texts)), np.random.default_rng(seed))
        shown = [texts[i] for i in found.caption]
        assert all((a != b) == s for a, b, s in zip(texts, shown, found.swapped, strict=True))
        swapped, asked = swapped + int(found.swapped.sum()), asked + int(found.asked.sum())
    assert asked == 50 * 80
    assert near(swapped, asked, 0.5)


def test_every_other_text_is_drawn_alike() -> None:
    texts = ["a", "b", "c", "d"]
    drawn = [pair(texts, np.arange(len(texts)), np.random.default_rng(seed), 1.0).caption[0] for seed in range(900)]
    assert all(near(drawn.count(other), 900, 1 / 3) for other in (1, 2, 3))
    assert 0 not in drawn


def test_rows_without_a_caption_keep_none_and_give_none() -> None:
    texts = ["a", None, "b", None, "a"]
    for seed in range(50):
        found = pair(texts, np.arange(len(texts)), np.random.default_rng(seed), 1.0)
        assert found.asked.tolist() == [True, False, True, False, True]
        assert found.swapped.tolist() == [True, False, True, False, True]
        assert found.caption[[0, 1, 3, 4]].tolist() == [2, 1, 3, 2]
        assert found.caption[2] in (0, 4)


def test_another_caption_of_the_same_track_is_no_mismatch() -> None:
    """A track that is drawn twice, or two pieces of it, may have two captions."""
    texts, tracks = ["a calm piece", "slow piano", "loud drums"], np.array([4, 4, 7])
    for seed in range(20):
        found = pair(texts, tracks, np.random.default_rng(seed), 1.0)
        assert found.caption[:2].tolist() == [2, 2]
        assert found.caption[2] in (0, 1)
    alone = pair(texts[:2], tracks[:2], np.random.default_rng(0), 1.0)
    assert not alone.asked.any()


@pytest.mark.parametrize("texts", [["a"], ["a", "a", "a"], [None, "a"], [None, None], [None]])
def test_where_no_caption_differs_nothing_is_asked(texts: list[str | None]) -> None:
    found = pair(texts, np.arange(len(texts)), np.random.default_rng(0), 1.0)
    assert not found.asked.any()
    assert not found.swapped.any()
    assert found.caption.tolist() == list(range(len(texts)))


def test_equal_generators_draw_alike() -> None:
    texts, tokens = [f"t{i}" for i in range(9)], np.full((9, 12), 8)
    first, second = (
        (pair(texts, np.arange(9), rng).caption, hide_tokens(tokens, 50, rng).read, hide_chunks(9, 6, rng))
        for rng in (np.random.default_rng(4), np.random.default_rng(4))
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
