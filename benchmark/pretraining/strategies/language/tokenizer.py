"""A vocabulary of word pieces that is trained on a store's captions, and captions as rows of its numbers.

Text is read as BERT's uncased models read it: lower case, without accents, split at white space and at punctuation; a
word is the longest pieces of the vocabulary from its front, ``##`` before those inside it. Pieces are found by joining
the pair that occurs most often, until the vocabulary is full; of equal ones the first in the order of their letters. So
equal captions give equal vocabularies, on every machine and in whatever order they come. (The trainer of the package
tokenizers gives another vocabulary on every run.)
"""

from __future__ import annotations

import heapq
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from benchmark.errors import UserError

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")
PAD, CLS, SEP, MASK, UNKNOWN = range(len(SPECIAL))
INSIDE = "##"
#: Captions that come to fewer different pieces are no text of which some can be hidden and guessed. Ours.
LEAST_PIECES = 8
#: A longer word is not looked up, as in BERT's tokenizer.
LONGEST_WORD = 100

Pair = tuple[str, str]


def words_of(text: str) -> list[str]:
    """Return the words and the signs of punctuation of a text, in lower case and without accents.

    >>> words_of("Déjà-vu,  slowly")
    ['deja', '-', 'vu', ',', 'slowly']
    """
    plain = (letter for letter in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(letter) != "Mn")
    spaced = "".join(f" {letter} " if _is_sign(letter) else letter for letter in plain)
    return spaced.split()


def _is_sign(letter: str) -> bool:
    """Say whether a character stands alone: punctuation, and symbols of ASCII such as ``+``, as in BERT's tokenizer."""
    return unicodedata.category(letter).startswith("P") or letter in "$+<=>^`|~"


def train(captions: Iterable[str], size: int) -> tuple[str, ...]:
    """Return a vocabulary of at most ``size`` entries: special tokens, letters by how often they occur, joined pieces.

    Args:
        captions: Texts; their order does not matter.
        size: The most entries.

    Raises:
        UserError: The letters alone are more, or the captions come to fewer than 8 different pieces.
    """
    counts = Counter(word for caption in captions for word in words_of(caption))
    words = sorted(counts)
    split = [_letters(word) for word in words]
    occurrences: Counter[str] = Counter()
    for word, pieces in zip(words, split, strict=True):
        for piece in pieces:
            occurrences[piece] += counts[word]
    vocabulary = [*SPECIAL, *sorted(occurrences, key=lambda piece: (-occurrences[piece], piece))]
    if len(vocabulary) > size:
        raise UserError(
            f"a vocabulary of {size} is too small for the captions: special tokens and letters are {len(vocabulary)}",
            f"give vocabulary={max(1000, 2 * len(vocabulary))} or more",
        )
    known = set(vocabulary)
    for piece in _joined(split, [counts[word] for word in words]):
        if len(vocabulary) == size:
            break
        if piece not in known:
            vocabulary.append(piece)
            known.add(piece)
    refuse_small(Tokenizer(vocabulary), words)
    return tuple(vocabulary)


def refuse_small(tokenizer: Tokenizer, captions: Iterable[str]) -> None:
    """See whether captions come to enough different pieces.

    Raises:
        UserError: They come to fewer than 8.
    """
    used = {number for caption in captions for word in words_of(caption) for number in tokenizer.pieces(word)}
    used.discard(UNKNOWN)
    if len(used) < LEAST_PIECES:
        raise UserError(
            f"the captions come to {len(used)} different pieces of words, too few to hide some and have them guessed",
            f"give the store captions that say more, {LEAST_PIECES} pieces at least: bench pretrain prepare AUDIO "
            "--captions FILE.csv",
        )


def _letters(word: str) -> list[str]:
    return [word[0], *(INSIDE + letter for letter in word[1:])]


def _joined(split: list[list[str]], counts: Sequence[int]) -> Iterator[str]:
    """Yield pieces in the order in which pairs are joined; ``split`` holds the pieces of each word and is changed."""
    total: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for at, pieces in enumerate(split):
        for pair in pairwise(pieces):
            total[pair] += counts[at]
            places[pair].add(at)
    heap = [(-count, pair) for pair, count in total.items()]
    heapq.heapify(heap)
    while heap:
        count, pair = heapq.heappop(heap)
        if total[pair] != -count:
            continue  # its count has changed since; the present one is in the heap too
        changed: set[Pair] = set()
        for at in places.pop(pair):
            before = split[at]
            after = _with_pair_joined(before, pair)
            for pieces, sign in ((before, -1), (after, 1)):
                for other in pairwise(pieces):
                    total[other] += sign * counts[at]
                    changed.add(other)
            for other in pairwise(after):
                places[other].add(at)
            split[at] = after
        for other in changed:
            if total[other] > 0:
                heapq.heappush(heap, (-total[other], other))
        yield _join(pair)


def _join(pair: Pair) -> str:
    return pair[0] + pair[1].removeprefix(INSIDE)


def _with_pair_joined(pieces: Sequence[str], pair: Pair) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(pieces):
        if tuple(pieces[at : at + 2]) == pair:
            found.append(_join(pair))
            at += 2
        else:
            found.append(pieces[at])
            at += 1
    return found


class Tokenizer:
    """Captions as rows of numbers of a vocabulary.

    Attributes:
        vocabulary: All entries; a piece's number is its place.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Take a vocabulary that begins with the special tokens.

        Raises:
            ValueError: It does not.
        """
        self.vocabulary = tuple(vocabulary)
        if self.vocabulary[: len(SPECIAL)] != SPECIAL:
            raise ValueError(f"a vocabulary begins with {', '.join(SPECIAL)}: {self.vocabulary[: len(SPECIAL)]}")
        self._numbers = {piece: number for number, piece in enumerate(self.vocabulary)}
        self._words: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.vocabulary)

    def pieces(self, word: str) -> tuple[int, ...]:
        """Return the numbers of a word's pieces: the longest from the front; ``[UNK]`` where one is not known."""
        found = self._words.get(word)
        if found is None:
            found = self._words[word] = tuple(self._longest(word))
        return found

    def _longest(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [UNKNOWN]
        found, start = [], 0
        while start < len(word):
            mark = INSIDE if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if mark + word[start:end] in self._numbers), None)
            if end is None:
                return [UNKNOWN]
            found.append(self._numbers[mark + word[start:end]])
            start = end
        return found

    def row(self, caption: str | None, tokens: int) -> list[int]:
        """Return ``[CLS]``, at most ``tokens - 2`` pieces from the caption's front, and ``[SEP]``.

        Of no caption it is those two.
        """
        pieces = [number for word in words_of(caption or "") for number in self.pieces(word)]
        return [CLS, *pieces[: tokens - 2], SEP]

    def rows(self, captions: Sequence[str | None], tokens: int) -> np.ndarray:
        """Return int64 [B, longest]: the rows of captions, with ``[PAD]`` behind the shorter ones."""
        return padded([self.row(caption, tokens) for caption in captions])


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return int64 [B, longest]: rows of numbers with ``[PAD]`` behind the shorter ones."""
    found = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for to, row in zip(found, rows, strict=True):
        to[: len(row)] = row
    return found
