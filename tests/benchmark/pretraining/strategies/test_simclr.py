"""SimCLR: NT-Xent against its formula in float64, its known values, invariances, pairs of one track."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.pretraining.strategies.simclr import nt_xent


def reference_nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """The formula as it is written, one anchor at a time."""
    rows = [row.tolist() for row in torch.cat([first, second])]
    count = len(first)

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for i in range(2 * count):
        weights = {k: math.exp(cosine(rows[i], rows[k]) / temperature) for k in range(2 * count) if k != i}
        total -= math.log(weights[(i + count) % (2 * count)] / sum(weights.values()))
    return total / (2 * count)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(2, 9), st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 10**6))
def test_nt_xent_is_the_formula(count: int, width: int, temperature: float, seed: int) -> None:
    torch.manual_seed(seed)
    first, second = torch.randn(2, count, width, dtype=torch.float64)
    assert abs(float(nt_xent(first, second, temperature)) - reference_nt_xent(first, second, temperature)) < 1e-10


def orthogonal(count: int, width: int = 32) -> torch.Tensor:
    return torch.eye(width, dtype=torch.float64)[:count]


@pytest.mark.parametrize(("count", "expected"), [(4, 1.945910149055), (8, 2.708050201102)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_rows_that_are_all_alike_or_all_orthogonal(count: int, expected: float, temperature: float) -> None:
    same = torch.ones(count, 5, dtype=torch.float64)
    assert float(nt_xent(same, same, temperature)) == pytest.approx(expected, abs=1e-10)
    rows = orthogonal(2 * count)
    assert float(nt_xent(rows[:count], rows[count:], temperature)) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("temperature", "expected"), [(0.1, 2.723625e-4), (0.5, 0.594438), (1.0, 1.165422)])
def test_identical_positives_among_orthogonal_rows(temperature: float, expected: float) -> None:
    rows = orthogonal(4)
    found = float(nt_xent(rows, rows, temperature))
    assert found == pytest.approx(expected, rel=1e-6)
    assert abs(found - math.log1p(6 * math.exp(-1 / temperature))) < 1e-10


@pytest.mark.parametrize(("temperature", "expected"), [(0.1, 11.791767), (0.5, 3.814065)])
def test_antipodal_positives(temperature: float, expected: float) -> None:
    rows = orthogonal(4)
    found = float(nt_xent(rows, -rows, temperature))
    assert found == pytest.approx(expected, abs=1e-6)
    assert abs(found - math.log1p(6 * math.exp(1 / temperature))) < 1e-10


def test_a_centred_simplex() -> None:
    rows = torch.eye(4, dtype=torch.float64) - 0.25
    assert float(nt_xent(rows, rows, 0.5)) == pytest.approx(0.348472, abs=1e-6)


def test_one_pair_has_no_negatives() -> None:
    assert float(nt_xent(torch.randn(1, 3), torch.randn(1, 3))) == 0.0


def test_what_nt_xent_does_not_see() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 5, dtype=torch.float64)
    loss = float(nt_xent(first, second))
    order, rotation = torch.randperm(6), torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    scales = torch.rand(6, 1, dtype=torch.float64) + 0.1
    for a, b in [
        (second, first),
        (first[order], second[order]),
        (first * scales, second),
        (first @ rotation, second @ rotation),
    ]:
        assert float(nt_xent(a, b)) == pytest.approx(loss, abs=1e-12)


def test_its_gradient_is_orthogonal_to_each_row() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 5, dtype=torch.float64)
    first.requires_grad_()
    nt_xent(first, second).backward()
    assert first.grad is not None
    assert first.grad.abs().max() > 1e-3
    assert (first * first.grad).sum(1).abs().max() < 1e-12


def test_half_precision_is_computed_in_float32() -> None:
    rows = torch.randn(8, 16).to(torch.bfloat16)
    found = nt_xent(rows, rows)
    assert found.dtype == torch.float32
    assert torch.equal(found, nt_xent(rows.float(), rows.float()))


def test_views_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[3, 2\] and \[4, 2\]"):
        nt_xent(torch.ones(3, 2), torch.ones(4, 2))


class TestPairsOfOneTrack:
    def test_they_are_no_negatives_of_each_other(self) -> None:
        """An anchor's loss is that of a batch in which its track is there once."""
        torch.manual_seed(0)
        first, second = torch.randn(2, 4, 6, dtype=torch.float64)
        tracks = torch.tensor([7, 3, 7, 5])
        kept = [torch.tensor(rows) for rows in ([0, 1, 3], [1, 0, 2, 3], [2, 1, 3], [3, 0, 1, 2])]
        views = torch.nn.functional.normalize(first, dim=1), torch.nn.functional.normalize(second, dim=1)
        total = 0.0
        for anchor, rows in enumerate(kept):
            for own, other in (views, views[::-1]):
                columns = torch.cat([other[rows], own[rows[1:]]])  # the positive first, and not itself
                logits = columns @ own[anchor] / 0.1
                total += float(torch.logsumexp(logits, 0) - logits[0])
        assert float(nt_xent(first, second, tracks=tracks)) == pytest.approx(total / 8, abs=1e-12)

    def test_where_tracks_differ_nothing_changes(self) -> None:
        first, second = torch.randn(2, 4, 6)
        assert torch.equal(nt_xent(first, second, tracks=torch.tensor([2, 0, 9, 1])), nt_xent(first, second))

    def test_where_all_are_of_one_track_there_are_no_negatives(self) -> None:
        first, second = torch.randn(2, 4, 6)
        assert float(nt_xent(first, second, tracks=torch.zeros(4, dtype=torch.int64))) == 0
