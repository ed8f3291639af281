import itertools
import math

import pytest

from probes.search.pruning import PRUNERS, Halving

QUARTER = Halving(shares=(0.1, 0.3), keep=(0.25, 0.5), fewest=1)


class TestHalving:
    @pytest.mark.parametrize(("count", "survivors"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
    def test_the_best_share_goes_on_rounded_up(self, count, survivors):
        found = QUARTER.survive(0, [float(i) for i in range(count)], [])
        assert found == [i >= count - survivors for i in range(count)]

    def test_each_rung_has_its_own_share(self):
        scores = [3.0, 1.0, 2.0, 0.0]
        assert QUARTER.survive(0, scores, []) == [True, False, False, False]
        assert QUARTER.survive(1, scores, []) == [True, False, True, False]

    def test_earlier_trials_are_company(self):
        assert QUARTER.survive(0, [1.0, 5.0], [2.0, 3.0]) == [False, True]
        assert QUARTER.survive(0, [1.0, 2.0], [3.0, 4.0]) == [False, False]
        assert QUARTER.survive(0, [3.5, 2.0], [3.0, 4.0, 1.0, 0.5, 0.2]) == [True, False]

    def test_of_equals_those_that_came_first_go_on(self):
        assert QUARTER.survive(0, [0.5] * 8, []) == [True, True, *[False] * 6]
        assert QUARTER.survive(0, [0.5, 0.5], [0.5, 0.4]) == [False, False]
        assert QUARTER.survive(0, [0.5, 0.6], [0.5, 0.4]) == [False, True]

    @pytest.mark.parametrize("order", list(itertools.permutations([1.0, 2.0, 3.0, 4.0, 5.0])))
    def test_order_is_of_no_other_consequence(self, order):
        found = QUARTER.survive(0, order, [])
        assert sorted(score for score, stays in zip(order, found, strict=True) if stays) == [4.0, 5.0]

    def test_what_diverged_never_goes_on(self):
        assert QUARTER.survive(0, [-math.inf] * 3, []) == [False] * 3
        assert QUARTER.survive(1, [-math.inf, -1e9, -math.inf], []) == [False, True, False]
        assert QUARTER.survive(0, [-1.0], [-math.inf] * 3) == [True]

    def test_nobody_is_left_of_nobody(self):
        assert QUARTER.survive(0, [], []) == []
        assert QUARTER.survive(0, [], [1.0]) == []

    def test_the_best_of_the_starts_goes_on_beside_them(self):
        scores = [0.1, 0.3, 0.2, 0.9, 0.8, 0.7, 0.6, 0.5]
        assert QUARTER.survive(0, scores, [], starts=3) == [False, True, False, True, True, False, False, False]
        assert QUARTER.survive(0, scores[1:], scores[:1], starts=3) == [True, False, True, True, False, False, False]
        assert QUARTER.survive(0, [0.9, 0.3, 0.2, 0.1], [], starts=2) == [True, False, False, False]
        assert QUARTER.survive(0, [0.3, 0.3, 0.9, 0.8], [], starts=2) == [
            True,
            False,
            True,
            False,
        ]  # the earlier of equals

    def test_a_start_that_diverged_does_not(self):
        assert QUARTER.survive(0, [-math.inf, 0.5, 0.4, 0.3], [], starts=1) == [False, True, False, False]

    def test_a_round_in_parts_gives_what_the_whole_gives(self):
        """A resumed search compares the rest of a round with what was told of it."""
        scores = [0.3, 0.9, 0.9, 0.1, 0.9, 0.5, 0.8, 0.2]
        whole = QUARTER.survive(0, scores, [])
        for cut in range(len(scores)):
            assert QUARTER.survive(0, scores[cut:], scores[:cut]) == whole[cut:]


def test_the_pruners_are_halving_and_none():
    assert PRUNERS["none"] is None
    halving = PRUNERS["halving"]
    assert halving == Halving()
    assert len(halving.shares) == len(halving.keep)
    assert list(halving.shares) == sorted(halving.shares)
    assert 0 < halving.shares[0] <= halving.shares[-1] < 1
    assert all(0 < keep <= 1 for keep in halving.keep)


def test_what_passes_is_a_share_of_all_trials_not_of_those_that_came():
    scores = [0.5, 0.4, 0.3, 0.2]
    assert QUARTER.survive(0, scores, [], of=16) == [True] * 4
    assert QUARTER.survive(0, scores, [], of=8) == [True, True, False, False]
    assert QUARTER.survive(0, scores[2:], scores[:2], of=9) == [True, False]


@pytest.mark.parametrize(
    ("trials", "passed"), [(1, [1, 1, 1]), (9, [9, 9, 9]), (10, [4, 2, 1]), (16, [7, 2, 1]), (60, [24, 8, 4])]
)
def test_so_many_of_a_round_pass_the_rungs(trials, passed):
    halving, going, found = Halving(), [float(i) for i in range(trials)], []
    for rung in range(3):
        going = [score for score, on in zip(going, halving.survive(rung, going, [], of=trials), strict=True) if on]
        found.append(len(going))
    assert found == passed
