import itertools
import math

import pytest

from probes.protocol import ProbeSpec, Settings, protocol_for
from probes.training.schedule import (
    LEAST_VALIDATIONS,
    VALIDATION_SHARE,
    VALIDATIONS,
    learning_rate_at,
    validation_steps,
    warmup_steps,
)

SPEC = ProbeSpec("multiclass", 3, "cross_entropy")


class TestWarmup:
    def test_is_what_the_protocol_says_or_a_tenth_of_a_short_training(self):
        assert warmup_steps(10_000, 1000) == 1000
        assert warmup_steps(400_000, 1000) == 1000
        assert warmup_steps(9_999, 1000) == 999
        assert warmup_steps(300, 1000) == 30
        assert warmup_steps(400_000, 5000) == 5000
        assert warmup_steps(20_000, 5000) == 2000
        assert warmup_steps(9, 1000) == 0


class TestLearningRate:
    def test_at_the_start_the_peak_the_middle_and_the_end(self):
        settings = Settings(2e-3, 0, 11_000, True)
        assert learning_rate_at(0, settings, SPEC) == 0
        assert learning_rate_at(500, settings, SPEC) == pytest.approx(1e-3)
        assert learning_rate_at(1000, settings, SPEC) == pytest.approx(2e-3)
        assert learning_rate_at(3500, settings, SPEC) == pytest.approx(2e-3 * 0.5 * (1 + math.cos(math.pi / 4)))
        assert learning_rate_at(6000, settings, SPEC) == pytest.approx(1e-3)
        assert learning_rate_at(11_000, settings, SPEC) == pytest.approx(0, abs=1e-12)

    def test_the_published_mumu_probes_jump_where_the_warm_up_ends(self):
        protocol = protocol_for("published:musicset-sup", "mumu")
        (settings,), spec = protocol.first, protocol.spec("multilabel", 250)
        assert learning_rate_at(500, settings, spec) == pytest.approx(0.0005)
        assert learning_rate_at(999, settings, spec) == pytest.approx(0.000999)
        assert learning_rate_at(1000, settings, spec) == pytest.approx(0.0001)
        assert learning_rate_at(15_500, settings, spec) == pytest.approx(0.00005)

    def test_never_rises_after_the_warm_up(self):
        settings = Settings(1e-3, 0, 500, True)
        rates = [learning_rate_at(step, settings, SPEC) for step in range(50, 500)]
        assert all(a >= b for a, b in itertools.pairwise(rates))
        assert rates[0] == 1e-3

    def test_a_training_of_a_few_steps_has_no_warm_up(self):
        assert learning_rate_at(0, Settings(1e-3, 0, 5, True), SPEC) == 1e-3

    def test_a_constant_one_is_constant(self):
        spec = ProbeSpec("multiclass", 3, "cross_entropy", schedule="constant")
        settings = Settings(3e-4, 0, 5000, True)
        assert {learning_rate_at(step, settings, spec) for step in (0, 1, 500, 2500, 4999)} == {3e-4}


class TestLookSteps:
    @pytest.mark.parametrize("steps", [4, 7, 25, 100, 333, 20_000])
    @pytest.mark.parametrize("valid", [1, 50, 5000, 1_000_000])
    @pytest.mark.parametrize("batch_size", [64, 2560])
    def test_end_with_the_training_and_are_neither_too_few_nor_too_many(self, steps, valid, batch_size):
        looks = validation_steps(Settings(1e-3, 0, steps, True, batch_size=batch_size), SPEC, valid)
        assert looks == sorted(set(looks))
        assert looks[0] >= 1
        assert looks[-1] == steps
        assert LEAST_VALIDATIONS <= len(looks) <= VALIDATIONS

    @pytest.mark.parametrize("steps", [1, 2, 3])
    def test_a_training_of_a_few_steps_is_looked_at_after_each(self, steps):
        assert validation_steps(Settings(1e-3, 0, steps, True), SPEC, 10) == list(range(1, steps + 1))

    @pytest.mark.parametrize("valid", [100, 2000, 10_000, 40_000])
    def test_are_rarer_where_valid_is_large_so_that_they_stay_cheap(self, valid):
        settings = Settings(1e-3, 0, 10_000, True, batch_size=256)
        looks = validation_steps(settings, SPEC, valid)
        assert (
            len(looks) == LEAST_VALIDATIONS
            or len(looks) * valid * VALIDATION_SHARE <= settings.steps * settings.batch_size
        )

    def test_cheap_looks_are_made_as_often_as_may_be_and_dear_ones_as_seldom(self):
        settings = Settings(1e-3, 0, 1000, True, batch_size=256)
        assert validation_steps(settings, SPEC, 100) == [40 * (i + 1) for i in range(25)]
        assert len(validation_steps(settings, SPEC, 2560)) == 10
        assert validation_steps(settings, SPEC, 10**6) == [250, 500, 750, 1000]

    def test_a_protocol_may_fix_them(self):
        spec = ProbeSpec("multiclass", 3, "cross_entropy", look_every=64)
        assert validation_steps(Settings(1e-3, 0, 200, True), spec, 10**6) == [64, 128, 192, 200]
        assert validation_steps(Settings(1e-3, 0, 128, True), spec, 10) == [64, 128]
        assert validation_steps(Settings(1e-3, 0, 30, True), spec, 10) == [30]
