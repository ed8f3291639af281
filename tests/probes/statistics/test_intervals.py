import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from probes.statistics.intervals import (
    Jackknifed,
    blocks_of,
    change,
    clusters_of,
    compare,
    contributions,
    sample_deviation,
    score_interval,
)

UNIT = (0.0, 1.0)


def means_of(right, blocks, seeded=True):
    """Return the jackknife of k means over items [k, n]."""
    right = np.asarray(right, float)
    weights = blocks.weights().astype(float)
    return Jackknifed(right.mean(1), right @ weights.T / weights.sum(1), seeded)


class TestBlocks:
    def test_few_items_are_a_block_each(self):
        blocks = blocks_of(5, None, seed=0)
        assert blocks.weights().tolist() == (1 - np.eye(5)).tolist()
        assert (blocks.clusters, blocks.sizes.tolist()) == (5, [1] * 5)

    def test_groups_stay_whole(self):
        groups = ["b", "a", "b", "c", "c", "c"]
        weights = blocks_of(6, groups, seed=0).weights()
        assert weights.shape == (3, 6)
        assert (weights[:, 0] == weights[:, 2]).all()
        assert (weights[:, 3] == weights[:, 5]).all()
        assert (weights == 0).sum(0).tolist() == [1] * 6

    def test_many_are_dealt_into_blocks_of_nearly_one_size(self):
        groups = [f"g{i // 2}" for i in range(1001)]
        blocks = blocks_of(1001, groups, seed=0, most=100)
        assert blocks.clusters == 501
        assert set(blocks.sizes) <= {9, 10, 11, 12}
        assert len(blocks.sizes) == 100
        assert all(blocks.member[i] == blocks.member[i + 1] for i in range(0, 1000, 2))

    def test_dealing_is_seeded(self):
        first, again, other = (blocks_of(1000, None, seed=seed).member for seed in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_refuses_groups_of_another_length_and_what_cannot_vary(self):
        with pytest.raises(ValueError, match="2 groups for 3 items"):
            blocks_of(3, ["a", "b"], seed=0)
        for n, groups in ((1, None), (0, None), (3, ["a"] * 3)):
            with pytest.raises(ValueError, match="too few"):
                blocks_of(n, groups, seed=0)

    def test_clusters_are_numbered_in_order_of_name(self):
        assert clusters_of(3, ["b", "a", "b"]).tolist() == [1, 0, 1]


class TestScoreInterval:
    def test_of_one_probe_is_the_t_interval_of_a_mean_but_for_its_bend(self):
        rng = np.random.default_rng(0)
        right, blocks = (rng.random((1, 200)) < 0.5).astype(float), blocks_of(200, None, seed=0)
        found = score_interval(means_of(right, blocks), blocks, UNIT)
        half = t.ppf(0.975, 199) * right.std(ddof=1) / np.sqrt(200)
        assert (found.low, found.high) == pytest.approx((right.mean() - half, right.mean() + half), abs=2e-3)
        assert (found.low, found.high, found.question) == (found.items_low, found.items_high, "items")

    def test_the_variance_by_hand(self):
        # Two probes and three items: contributions, variances and degrees of freedom are those of the formulas.
        right = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        blocks = blocks_of(3, None, seed=0)
        scores, floor = means_of(right, blocks), means_of(np.full((1, 3), 0.1), blocks, seeded=False)
        assert contributions(scores) == pytest.approx([0.5, -0.5, 0.0])
        items = (0.5**2 + 0.5**2) / (3 * 2)
        square = (1 / 3) ** 2 / 2
        noise = 2 * ((1 / 6) ** 2 * 2 + (1 / 3) ** 2) / (1 * 3 * 2)
        assert square <= noise  # then seeds add nothing to the items
        found = compare(scores, floor, blocks, UNIT)
        half = t.ppf(0.975, found.degrees) * np.sqrt(items)
        assert found.value == pytest.approx(0.4)
        assert (found.interval.low, found.interval.high) == pytest.approx((0.4 - half, min(1, 0.4 + half)))

    def test_the_part_of_the_seeds_by_hand(self):
        """Two probes that differ by more than by the items that each errs on; a range so wide that nothing is bent."""
        right = np.array([[0.9, 0.1, 0.6, 0.4], [0.5, 0.0, 0.3, 0.1]])
        (k, n), blocks = right.shape, blocks_of(4, None, seed=0)
        centred = right - right.mean(1, keepdims=True)
        items = (centred.mean(0) ** 2).sum() / (n * (n - 1))
        noise = ((centred - centred.mean(0)) ** 2).sum() / ((k - 1) * n * (n - 1))
        square = right.mean(1).var(ddof=1)
        assert square > 2 * noise > 0
        total = items + (square - noise) / k
        degrees = max(1, min(n - 1, total**2 / (items**2 / (n - 1) + (square / k) ** 2 / (k - 1))))
        found = score_interval(means_of(right, blocks), blocks, (-1e6, 1e6))
        assert found.high - found.low == pytest.approx(2 * t.ppf(0.975, degrees) * np.sqrt(total), rel=1e-4)
        assert found.items_high - found.items_low == pytest.approx(2 * t.ppf(0.975, n - 1) * np.sqrt(items), rel=1e-4)

    def test_of_one_probe_each_the_test_is_the_paired_t_test(self):
        rng, blocks = np.random.default_rng(0), blocks_of(40, None, seed=0)
        first, second = rng.random((1, 40)), rng.random((1, 40)) - 0.1
        found = compare(means_of(first, blocks), means_of(second, blocks), blocks, (-1e6, 1e6))
        known = ttest_rel(first[0], second[0])
        assert found.p == pytest.approx(known.pvalue, rel=1e-6)
        known = known.confidence_interval()
        assert (found.interval.low, found.interval.high) == pytest.approx((known.low, known.high), rel=1e-6)

    def test_seeds_that_lie_apart_widen_it_and_these_probes_stay_as_they_were(self):
        rng, blocks = np.random.default_rng(0), blocks_of(300, None, seed=0)
        base = rng.random(300)
        apart = np.clip(base[None] + np.array([[-0.05], [0.0], [0.05]]), 0, 1)
        found = [score_interval(means_of(each, blocks), blocks, UNIT) for each in ([base] * 3, apart)]
        assert (found[0].low, found[0].high) == (found[0].items_low, found[0].items_high)
        assert found[1].high - found[1].low > 2 * (found[1].items_high - found[1].items_low)
        assert found[1].low < found[1].items_low < base.mean() < found[1].items_high < found[1].high

    @pytest.mark.parametrize("seed", range(20))
    def test_is_never_narrower_than_that_of_these_probes_and_stays_in_range(self, seed):
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(2, 30)), int(rng.integers(1, 6))
        right = (rng.random((k, n)) < rng.choice([0.02, 0.5, 0.9, 0.99])).astype(float)
        groups = [str(i) for i in rng.integers(4, size=n)] if seed % 2 else None
        try:
            blocks = blocks_of(n, groups, seed=0)
        except ValueError:
            return
        found = score_interval(means_of(right, blocks), blocks, UNIT)
        rounding = 1e-12
        assert 0 <= found.low <= found.items_low + rounding <= right.mean() + 2 * rounding
        assert right.mean() <= found.items_high + rounding <= found.high + 2 * rounding
        assert found.high <= 1

    def test_what_never_failed_may_fail_on_the_next_item(self):
        blocks = blocks_of(60, None, seed=0)
        found = score_interval(means_of(np.ones((3, 60)), blocks), blocks, UNIT)
        assert found.high == 1
        assert found.low == pytest.approx(0.94, abs=0.003)
        few = score_interval(means_of(np.ones((3, 60)), blocks), blocks, UNIT, clusters=5)
        assert few.low == pytest.approx(0.56, abs=0.02)

    def test_below_a_largest_value_alone_it_is_symmetric_in_the_logarithm_of_the_distance(self):
        rng, blocks = np.random.default_rng(0), blocks_of(50, None, seed=0)
        found = score_interval(means_of(rng.normal(0.6, 0.5, (1, 50)), blocks), blocks, (-np.inf, 1.0))
        value = np.random.default_rng(0).normal(0.6, 0.5, (1, 50)).mean()
        assert found.high < 1
        assert (1 - found.low) / (1 - value) == pytest.approx((1 - value) / (1 - found.high))

    def test_groups_that_stand_or_fall_together_make_it_wider_and_few_of_them_wider_still(self):
        rng = np.random.default_rng(0)
        right = np.repeat((rng.random(12) < 0.5).astype(float), 20)[None]
        groups = [f"g{i // 20:02d}" for i in range(240)]
        alone, grouped = blocks_of(240, None, seed=0), blocks_of(240, groups, seed=0)
        widths = [
            (found := score_interval(means_of(right, blocks), blocks, UNIT)).high - found.low
            for blocks in (alone, grouped)
        ]
        assert widths[1] > 3.5 * widths[0]

    def test_one_large_group_counts_for_less_than_many(self):
        sizes = {"even": [20] * 12, "uneven": [130] + [10] * 11}
        found = {}
        for name, each in sizes.items():
            groups = [f"g{j:02d}" for j, size in enumerate(each) for _ in range(size)]
            blocks = blocks_of(240, groups, seed=0)
            right = np.repeat(np.arange(12) % 2, each)[None].astype(float)
            found[name] = compare(means_of(right, blocks), means_of(0 * right, blocks), blocks, UNIT).degrees
        assert found["even"] == pytest.approx(11)
        assert found["uneven"] < 3

    def test_a_score_undefined_without_a_block_has_none(self):
        blocks = blocks_of(20, None, seed=0)
        scores = means_of(np.ones((2, 20)), blocks)
        scores.without[1, 3] = np.nan
        assert score_interval(scores, blocks, UNIT) is None
        assert compare(scores, means_of(np.zeros((1, 20)), blocks), blocks, UNIT) is None
        assert change(scores, scores, blocks, UNIT) is None


class TestChange:
    def test_of_the_same_probes_is_paired_by_seed(self):
        rng, blocks = np.random.default_rng(0), blocks_of(200, None, seed=0)
        before = rng.random(200) * 0.5 + np.array([[-0.1], [0.0], [0.1]]) + 0.2
        found = change(means_of(before - 0.05, blocks), means_of(before, blocks), blocks, UNIT)
        assert (found.low, found.high) == pytest.approx((-0.05, -0.05), abs=0.001)
        assert found.question == "items and seeds"
        unpaired = compare(means_of(before - 0.05, blocks), means_of(before, blocks), blocks, UNIT)
        assert unpaired.interval.low < -0.2


def test_sample_deviation():
    assert sample_deviation([0.1, 0.3]) == pytest.approx(0.1414, abs=1e-4)
    assert sample_deviation([0.3]) is None
