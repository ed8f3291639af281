import numpy as np
import pytest

from probes.statistics import percentile_interval, resample_weights, sample_deviation


class TestResampleWeights:
    def test_every_resample_draws_as_many_items_as_there_are(self):
        weights = resample_weights(37, None, seed=0, resamples=50)
        assert weights.shape == (50, 37)
        assert (weights.sum(1) == 37).all()
        assert weights.mean() == pytest.approx(1)

    def test_groups_are_drawn_whole(self):
        groups = ["a", "a", "b", "c", "c", "c"]
        weights = resample_weights(6, groups, seed=0, resamples=200)
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 3] == weights[:, 5]).all()
        assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()

    def test_is_seeded(self):
        first, again, other = (resample_weights(20, None, seed=s, resamples=5) for s in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_refuses_groups_of_another_length(self):
        with pytest.raises(ValueError, match="2 groups for 3 items"):
            resample_weights(3, ["a", "b"], seed=0)


class TestInterval:
    def test_covers_a_mean_about_as_often_as_it_says(self):
        rng, hits, draws = np.random.default_rng(0), 0, 300
        for draw in range(draws):
            sample = rng.normal(size=80)
            weights = resample_weights(80, None, seed=draw, resamples=400)
            low, high = percentile_interval(weights @ sample / weights.sum(1))
            hits += low <= 0 <= high
        assert 0.90 <= hits / draws <= 0.98

    def test_is_wider_over_groups_when_groups_matter(self):
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(20), 10)
        sample = rng.normal(size=20)[groups] + 0.1 * rng.normal(size=200)
        widths = []
        for names in (None, groups.astype(str).tolist()):
            weights = resample_weights(200, names, seed=0)
            low, high = percentile_interval(weights @ sample / weights.sum(1))
            widths.append(high - low)
        assert widths[1] > 2 * widths[0]

    def test_leaves_out_undefined_resamples_and_refuses_when_all_are(self):
        values = np.array([np.nan, 1.0, 2.0, 3.0])
        assert percentile_interval(values) == pytest.approx((1.05, 2.95))
        with pytest.raises(ValueError, match="undefined"):
            percentile_interval(np.full(3, np.nan))


def test_sample_deviation_has_one_degree_of_freedom_less_and_is_zero_for_one():
    assert sample_deviation([1.0, 3.0]) == pytest.approx(np.sqrt(2))
    assert sample_deviation([5.0]) == 0
