import math

import numpy as np
import pytest

from probes import search as module
from probes.protocol import ProbeSpec, protocol_for
from probes.search import search

SPEC = ProbeSpec("multiclass", 3, (), 0.0, 64)
PROTOCOL = protocol_for("demo")


def accuracy(targets: np.ndarray, outputs: np.ndarray) -> float:
    return float((outputs.argmax(1) == targets).mean())


class TestSearch:
    def test_tries_as_many_as_asked_within_the_ranges(self, classes):
        found = search(SPEC, PROTOCOL, classes(), accuracy, trials=9, seed=0)
        assert [trial.number for trial in found.trials] == list(range(9))
        for trial in found.trials:
            settings = trial.settings
            assert PROTOCOL.learning_rate[0] <= settings.learning_rate <= PROTOCOL.learning_rate[1]
            assert settings.l2 == 0 or PROTOCOL.l2[0] <= settings.l2 <= PROTOCOL.l2[1]
            assert PROTOCOL.steps[0] <= settings.steps <= PROTOCOL.steps[1]
        assert len({trial.settings for trial in found.trials}) == 9

    def test_explores_l2_on_and_off_and_standardisation_on_and_off(self, classes):
        found = search(SPEC, PROTOCOL, classes(60), accuracy, trials=12, seed=0)
        assert {trial.settings.l2 > 0 for trial in found.trials} == {True, False}
        assert {trial.settings.standardise for trial in found.trials} == {True, False}

    def test_selects_the_best_on_valid_and_the_earliest_of_equals(self, classes):
        scores = iter([0.2, 0.9, 0.5, 0.9])
        current = [0.0]

        def by_trial(_data, asked):
            current[0] = next(scores)

        found = search(SPEC, PROTOCOL, classes(60), lambda *_: current[0], trials=3, seed=0, progress=by_trial)
        values = [trial.score for trial in found.trials]
        assert values == [0.0, 0.2, 0.9]
        assert found.selected == 2
        tied = search(SPEC, PROTOCOL, classes(60), lambda *_: 0.5, trials=4, seed=0)
        assert tied.selected == 0

    def test_the_seed_decides_everything(self, classes):
        first, again, other = (search(SPEC, PROTOCOL, classes(60), accuracy, trials=5, seed=s) for s in (3, 3, 4))
        assert [t.settings for t in first.trials] == [t.settings for t in again.trials]
        assert [t.score for t in first.trials] == [t.score for t in again.trials]
        assert [t.settings for t in first.trials] != [t.settings for t in other.trials]

    def test_a_diverging_trial_is_kept_and_never_selected(self, classes, monkeypatch):
        train, calls = module.train, iter(range(10))

        def fails_once(*args, **kwargs):
            if next(calls) == 0:
                raise FloatingPointError("diverged")
            return train(*args, **kwargs)

        monkeypatch.setattr(module, "train", fails_once)
        found = search(SPEC, PROTOCOL, classes(60), accuracy, trials=3, seed=0)
        assert found.trials[0].score == -math.inf
        assert found.selected != 0

    def test_all_diverging_is_an_error(self, classes):
        with pytest.raises(FloatingPointError, match="all 2 trials"):
            search(SPEC, PROTOCOL, classes(60), lambda *_: math.nan, trials=2, seed=0)

    def test_no_trials_is_an_error(self, classes):
        with pytest.raises(ValueError, match="at least one"):
            search(SPEC, PROTOCOL, classes(60), accuracy, trials=0, seed=0)

    def test_only_ever_scores_the_whole_of_valid(self, classes):
        data, seen = classes(90), []

        def watching(targets: np.ndarray, outputs: np.ndarray) -> float:
            seen.append(targets)
            return accuracy(targets, outputs)

        search(SPEC, PROTOCOL, data, watching, trials=2, seed=0)
        assert seen
        assert all(np.array_equal(targets, data.valid.targets) for targets in seen)
