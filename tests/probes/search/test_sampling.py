import json
from dataclasses import replace

import numpy as np
import optuna
import pytest

from probes.protocol import PROTOCOLS, Settings, _contains, protocol_for
from probes.search.sampling import StudySampler, parameters_of, settings_of, suggest

PAPER = protocol_for("paper", "mtt")


def study_with(sampler: StudySampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", sampler=sampler)


def drawn(name: str = "random", seed: int = 0, protocol=PAPER, first=(), count: int = 8) -> list[Settings]:
    study, found = study_with(StudySampler(name, seed, first)), []
    for _ in range(count):
        trial = study.ask()
        suggest(trial, protocol)
        found.append(settings_of(trial.params, protocol))
        study.tell(trial, -abs(found[-1].learning_rate - 1e-4) * 1e4)
    return found


class TestSettings:
    @pytest.mark.parametrize("settings", [*PAPER.first, PAPER.middle(), *protocol_for("open", "mtt").starts()])
    def test_survive_the_storage(self, settings):
        protocol = protocol_for("open", "mtt")
        stored = json.loads(json.dumps(parameters_of(settings)))
        assert settings_of(stored, protocol) == settings

    def test_the_published_jump_is_not_among_the_parameters(self):
        protocol = protocol_for("paper", "mumu")
        (settings,) = protocol.first[:1]
        assert settings_of(parameters_of(settings), protocol) == replace(settings, warm_rate=None)

    @pytest.mark.parametrize("missing", ["learning_rate", "regularise", "steps", "hidden", "dropout", "batch_size"])
    def test_that_are_not_complete_are_an_error(self, missing):
        parameters = parameters_of(PAPER.middle())
        del parameters[missing]
        if missing == "regularise":
            del parameters["l2"]
        with pytest.raises(KeyError):
            settings_of(parameters, PAPER)

    @pytest.mark.parametrize("name", PROTOCOLS)
    @pytest.mark.parametrize("task", ["mtt", "gtzan", "emo", "mumu", "anything"])
    def test_are_suggested_within_the_protocol(self, name, task):
        protocol = protocol_for(name, task)
        for settings in drawn(protocol=protocol, count=30):
            assert _contains(protocol, settings)

    def test_explore_all_that_there_is_to_choose(self):
        protocol = protocol_for("open", "anything")
        found = drawn(protocol=protocol, count=200)
        for name in ("hidden", "dropout", "batch_size", "standardise"):
            assert {getattr(settings, name) for settings in found} == set(getattr(protocol, name))
        assert {settings.l2 > 0 for settings in found} == {True, False}

    @pytest.mark.parametrize("name", ["random", "tpe"])
    def test_one_parameter_does_not_follow_another(self, name):
        found = drawn(name, protocol=protocol_for("paper", "anything"), count=10 if name == "tpe" else 200)
        rates, steps = (np.log([getattr(s, key) for s in found]) for key in ("learning_rate", "steps"))
        assert abs(np.corrcoef(rates, steps)[0, 1]) < (0.9 if name == "tpe" else 0.25)

    def test_what_is_no_choice_is_no_parameter(self):
        trial = study_with(StudySampler("random", 0, ())).ask()
        suggest(trial, protocol_for("paper", "gtzan"))
        assert set(trial.params) - {"l2"} == {"learning_rate", "regularise", "steps", "standardise"}

    def test_a_published_configuration_is_the_only_one(self):
        protocol = protocol_for("published:audioset-sup", "nsynth_i")
        assert drawn(protocol=protocol, first=protocol.first, count=1) == [protocol.first[0]]


class TestStudySampler:
    @pytest.mark.parametrize("name", ["tpe", "random"])
    def test_the_seed_decides(self, name):
        first, again, other = (drawn(name, seed, count=20) for seed in (3, 3, 4))
        assert first == again
        assert not set(first) & set(other)
        assert len(set(first)) == 20

    @pytest.mark.parametrize("name", ["tpe", "random", "grid"])
    def test_given_trials_come_first(self, name):
        first = PAPER.first[:3]
        found = drawn(name, first=first, count=3)
        assert tuple(found) == first

    def test_they_do_not_change_what_comes_after(self):
        assert drawn(first=PAPER.first[:3])[3:] == drawn()[3:]

    def test_tpe_learns_and_random_does_not(self):
        tpe, random = (drawn(name, count=60)[40:] for name in ("tpe", "random"))
        near = [sum(5e-5 < s.learning_rate < 2e-4 for s in found) for found in (tpe, random)]
        assert near[0] > near[1] + 5

    def test_another_process_goes_on_as_the_first_would_have(self):
        """A new sampler on the same trials, and a trial whose parameters were asked for in part."""
        whole = drawn("tpe", count=14)
        study = study_with(StudySampler("tpe", 0, ()))
        for number in range(14):
            trial = study.ask()
            if number % 3 == 0:
                trial.suggest_float("learning_rate", *PAPER.learning_rate, log=True)
                trial.suggest_categorical("regularise", [False, True])
                trial = optuna.trial.Trial(study, trial._trial_id)
            study.sampler = StudySampler("tpe", 0, ())
            suggest(trial, PAPER)
            settings = settings_of(trial.params, PAPER)
            assert settings == whole[number]
            study.tell(trial, -abs(whole[number].learning_rate - 1e-4) * 1e4)
