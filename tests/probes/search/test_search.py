import json
import math
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.trial import TrialState

from probes.data import LeakError, SplitArrays, TrainValid
from probes.protocol import ProbeSpec, Settings, protocol_for
from probes.search.pruning import PRUNERS
from probes.search.sampling import suggest
from probes.search.search import search
from probes.search.storage import open_study
from probes.search.trials import SearchResult
from probes.training.trainer import Trainer

SPEC = ProbeSpec("multiclass", 3, "cross_entropy", look_every=4)
PROTOCOL = replace(
    protocol_for("paper", "demo", ("demo",), hidden=(), dropout=0.0, batch_size=64),
    steps=(20, 60),
    round=4,
    first=(Settings(1e-2, 0.0, 40, True, (), 0.0, 64),),
)


def likelihood(targets: np.ndarray, outputs: np.ndarray) -> float:
    return float(np.log(np.maximum(outputs[np.arange(len(targets)), targets], 1e-30)).mean())


def find(data, score=likelihood, *, protocol=PROTOCOL, spec=SPEC, trials=6, seed=0, **options) -> SearchResult:
    with open_study(None, None, "s") as study:
        return search(Trainer(spec, data, score), protocol, study, trials=trials, seed=seed, **options)


def gist(found: SearchResult) -> list[tuple]:
    return [(t.number, t.settings, t.state, t.score, t.best_step, t.steps_run, t.rungs) for t in found.trials]


class TestSearch:
    def test_tries_as_many_as_asked_within_the_ranges(self, classes):
        found = find(classes(60), trials=9)
        assert [trial.number for trial in found.trials] == list(range(9))
        for trial in found.trials:
            settings = trial.settings
            assert PROTOCOL.learning_rate[0] <= settings.learning_rate <= PROTOCOL.learning_rate[1]
            assert settings.l2 == 0 or PROTOCOL.l2[0] <= settings.l2 <= PROTOCOL.l2[1]
            assert PROTOCOL.steps[0] <= settings.steps <= PROTOCOL.steps[1]
        assert len({trial.settings for trial in found.trials}) == 9

    def test_the_first_settings_come_first_in_order(self, classes):
        protocol = replace(
            protocol_for("paper", "mumu"),
            steps=(10, 40),
            round=2,
            first=(Settings(1e-4, 1e-6, 12, False, (), 0.3, 256, warm_rate=1e-3), Settings(1e-3, 0, 9, True, (), 0.3)),
        )
        found = find(classes(60), protocol=protocol, spec=replace(SPEC, dropout_place="logits"), trials=3)
        assert tuple(trial.settings for trial in found.trials[:2]) == protocol.first  # the jump of the rate too
        assert found.trials[2].settings.warm_rate is None

    def test_a_published_protocol_trains_its_one_configuration(self, problem):
        protocol = protocol_for("published:audioset-sup", "gs_key")
        (settings,) = protocol.first
        short = replace(protocol, first=(replace(settings, steps=8),), steps=(8, 8))
        found = find(problem("multiclass"), protocol=short, spec=short.spec("multiclass", 5), trials=1)
        assert [trial.settings for trial in found.trials] == list(short.first)
        assert (found.selected, found.trials[0].state) == (0, "complete")

    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    def test_the_seed_decides_everything(self, classes, sampler):
        first, again, other = (find(classes(60), seed=s, trials=5, sampler=sampler) for s in (3, 3, 4))
        assert gist(first) == gist(again)
        assert first.selected == again.selected
        assert not {t.settings for t in first.trials[1:]} & {t.settings for t in other.trials}

    def test_selects_the_best_on_valid(self, classes):
        found = find(classes(60), trials=7, pruner="none")
        assert found.trials[found.selected].score == max(trial.score for trial in found.trials)
        assert found.settings == found.trials[found.selected].settings
        assert len({trial.score for trial in found.trials}) == 7

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_of_equals_the_earliest(self, classes, pruner):
        assert find(classes(60), lambda *_: 0.5, trials=6, pruner=pruner).selected == 0

    def test_never_selects_what_was_pruned(self, classes):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            found = find(classes(60), lambda *_, rng=rng: float(rng.random()), trials=12, seed=seed)
            assert any(trial.state == "pruned" for trial in found.trials)
            assert found.trials[found.selected].state == "complete"

    def test_what_was_pruned_is_not_selected_though_it_came_first_and_counts_as_equal(self, classes):
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        with open_study(None, None, "s") as study:
            for state, score in (("pruned", 0.93), ("complete", 0.95), ("complete", 0.94)):
                trial = study.study.ask()
                suggest(trial, PROTOCOL)
                spent = {"best_step": 8, "steps_run": 8, "seconds": 0.1, "rungs": [score]}
                trial.set_user_attr("outcome", {"state": state, "score": score, **spent})
                study.study.tell(trial, score if state == "complete" else None, state=told[state])
            found = search(Trainer(SPEC, classes(60), likelihood), PROTOCOL, study, trials=3, seed=0)
        assert found.tolerance > 0.02  # the three count as equal
        assert found.selected == 1
        assert found.runner_up is not None
        assert found.runner_up.number == 2

    def test_hands_on_the_probe_of_the_selected_trial(self, classes):
        data = classes(60)
        found = find(data)
        trial = found.trials[found.selected]
        assert found.probe.settings == trial.settings
        assert (found.probe.valid_score, found.probe.steps_run) == (trial.score, trial.steps_run)
        assert likelihood(data.valid.targets, found.probe.predict(data.valid.embeddings)) == pytest.approx(trial.score)

    def test_counts_what_it_spent(self, classes):
        found = find(classes(60), trials=5)
        assert found.steps_run == sum(trial.steps_run for trial in found.trials)
        assert found.operations == found.steps_run * 2 * 60 * (2 * 8 * 3)
        assert all(trial.seconds > 0 for trial in found.trials)

    def test_tells_how_far_it_is(self, classes):
        told = []
        find(classes(60), trials=6, progress=lambda done, wanted: told.append((done, wanted)))
        assert told == [(i, 6) for i in range(1, 7)]

    def test_no_trials_is_an_error(self, classes):
        with pytest.raises(ValueError, match="at least one"):
            find(classes(60), trials=0)

    def test_sees_no_sealed_item(self, classes):
        data = classes(60)
        for sealed in (data.train.ids[7], data.valid.ids[2]):
            with pytest.raises(LeakError, match=sealed):
                find(TrainValid(data.train, data.valid, frozenset({sealed})))

    def test_only_ever_scores_the_whole_of_valid(self, classes):
        data, seen = classes(90), []

        def watching(targets: np.ndarray, outputs: np.ndarray) -> float:
            seen.append((targets, outputs.shape))
            return likelihood(targets, outputs)

        find(data, watching, trials=3)
        assert seen
        assert all(np.array_equal(targets, data.valid.targets) and shape == (30, 3) for targets, shape in seen)


class TestDivergence:
    SPEC = ProbeSpec("regression", 5, "squared_error", schedule="constant", look_every=4)
    FIRST = tuple(Settings(rate, 0.0, 30, True, (), 0.0, 64) for rate in (1e38, 1e-2, 1e-3))

    @staticmethod
    def error(targets: np.ndarray, outputs: np.ndarray) -> float:
        return -float(((targets - outputs) ** 2).mean())

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_is_reported_and_never_selected(self, problem, pruner):
        protocol = replace(PROTOCOL, first=self.FIRST, learning_rate=(1e-4, 1e38))
        found = find(problem("regression"), self.error, protocol=protocol, spec=self.SPEC, trials=3, pruner=pruner)
        assert (found.trials[0].state, found.trials[0].score, found.trials[0].best_step) == ("diverged", -math.inf, 0)
        assert found.trials[0].steps_run == 4  # over at the first look
        assert found.selected != 0
        assert found.trials[found.selected].state == "complete"

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_of_all_is_an_error(self, classes, pruner):
        with pytest.raises(FloatingPointError, match="all 2 trials diverged"):
            find(classes(60), lambda *_: math.nan, trials=2, pruner=pruner)


class TestPruning:
    def test_ends_trials_early_and_records_them(self, problem):
        data = problem("multiclass")
        spec = replace(SPEC, outputs=5, look_every=1)
        protocol = replace(PROTOCOL, round=16)
        pruned, whole = (find(data, protocol=protocol, spec=spec, trials=16, pruner=p) for p in ("halving", "none"))
        states, rungs = [trial.state for trial in pruned.trials], len(PRUNERS["halving"].shares)
        assert set(states) == {"pruned", "complete"}
        assert states.count("pruned") > 8
        for trial in pruned.trials:
            if trial.state == "pruned":
                assert trial.steps_run < trial.settings.steps
                assert 1 <= len(trial.rungs) <= rungs
                assert trial.score == trial.rungs[-1]
            else:
                assert trial.steps_run == trial.settings.steps
                assert len(trial.rungs) == rungs
                assert trial.score >= trial.rungs[-1]
        assert {(trial.state, trial.rungs) for trial in whole.trials} == {("complete", ())}
        assert all(trial.steps_run == trial.settings.steps for trial in whole.trials)
        assert pruned.steps_run < whole.steps_run / 2

    def test_does_not_change_what_goes_on(self, problem):
        """A trial that was compared at each rung has the very score of one that was not."""
        data, spec = problem("multiclass"), replace(SPEC, outputs=5, look_every=1)
        pruned, whole = (find(data, spec=spec, trials=16, sampler="random", pruner=p) for p in ("halving", "none"))
        for one, other in zip(pruned.trials, whole.trials, strict=True):
            assert one.settings == other.settings
            if one.state == "complete":
                assert one.score == pytest.approx(other.score, rel=1e-6)

    def test_patience_completes_a_trial(self, classes):
        spec = replace(SPEC, patience=8)
        found = find(classes(60), lambda *_: 0.5, spec=spec, trials=1)
        assert (found.trials[0].state, found.trials[0].steps_run, found.trials[0].best_step) == ("complete", 12, 12)


class TestGrid:
    PROTOCOL = replace(
        protocol_for("jukemir", "mtt"),
        hidden=((), (8,)),
        dropout=(0.25,),
        batch_size=(32, 64),
        steps=(8, 8),
        look_every=4,
        grid=((1e-3, 1e-2), (0.0, 5e-4)),
    )

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_tries_every_point_once(self, classes, pruner):
        points = self.PROTOCOL.grid_settings()
        assert len(points) == 32
        spec = self.PROTOCOL.spec("multiclass", 3)
        found = find(classes(60), protocol=self.PROTOCOL, spec=spec, trials=32, sampler="grid", pruner=pruner)
        assert [trial.settings for trial in found.trials] == points

    @pytest.mark.parametrize("trials", [31, 33])
    def test_another_number_is_an_error(self, classes, trials):
        with pytest.raises(
            ValueError, match=f"the grid has 32 points, so --sampler grid makes 32 trials, not {trials}"
        ):
            find(classes(60), protocol=self.PROTOCOL, trials=trials, sampler="grid")

    def test_a_protocol_without_one_is_an_error(self, classes):
        with pytest.raises(ValueError, match="has no grid"):
            find(classes(60), trials=6, sampler="grid")


WIDE = replace(
    PROTOCOL, hidden=((130,),), dropout=(0.5,), first=(replace(PROTOCOL.first[0], hidden=(130,), dropout=0.5),)
)


@pytest.fixture(scope="module")
def unbroken(problem) -> SearchResult:
    """Two rounds of 20 wide probes."""
    spec = replace(SPEC, outputs=5)
    return find(problem("multiclass"), protocol=replace(WIDE, round=20), spec=spec, trials=40, seed=4)


class TestLanes:
    """Groups train at once, on as many cores as there are."""

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_their_number_does_not_matter_to_wide_probes(self, problem, pruner):
        data, spec = problem("multiclass"), replace(SPEC, outputs=5)
        before, found = torch.get_num_threads(), []
        try:
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                found.append(find(data, protocol=WIDE, spec=spec, trials=7, pruner=pruner))
        finally:
            torch.set_num_threads(before)
        for other in found[1:]:
            assert gist(other) == gist(found[0])
            assert other.selected == found[0].selected
            assert np.array_equal(other.probe.function.kernels[0], found[0].probe.function.kernels[0])

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_an_interruption_ends_them_and_keeps_what_was_told(self, problem, pruner):
        def interrupt(done: int, wanted: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        data, spec = problem("multiclass"), replace(SPEC, outputs=5)
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            with open_study(None, None, "s") as study:
                trainer = Trainer(spec, data, likelihood)
                with pytest.raises(KeyboardInterrupt):
                    search(trainer, WIDE, study, trials=8, seed=0, pruner=pruner, progress=interrupt)
                assert not [each for each in threading.enumerate() if each.name.startswith("slot")]
                assert sum("outcome" in trial.user_attrs for trial in study.trials) == 3
                whole = search(trainer, WIDE, study, trials=8, seed=0, pruner=pruner)
        finally:
            torch.set_num_threads(before)
        assert gist(whole) == gist(find(data, protocol=WIDE, spec=spec, trials=8, pruner=pruner))

    @pytest.mark.parametrize("stop", [1, 5, 12, 13, 18, 20, 21, 30, 37])
    def test_a_round_that_is_taken_up_ends_as_unbroken(self, problem, unbroken, stop):
        """Wherever it was interrupted, the rest is compared with the whole of its round, and as many pass."""

        def interrupt(done: int, wanted: int) -> None:
            if done == stop:
                raise KeyboardInterrupt

        data, spec = problem("multiclass"), replace(SPEC, outputs=5)
        with open_study(None, None, "s") as study:
            trainer, protocol = Trainer(spec, data, likelihood), replace(WIDE, round=20)
            with pytest.raises(KeyboardInterrupt):
                search(trainer, protocol, study, trials=40, seed=4, progress=interrupt)
            found = search(trainer, protocol, study, trials=40, seed=4)
        assert gist(found) == gist(unbroken)

    def test_no_more_slots_than_fit(self, problem, monkeypatch):
        """With states that are not held between rungs, each slot still has one."""
        busy, most = [], []
        data, spec = problem("multiclass"), replace(SPEC, outputs=5)
        trainer = Trainer(spec, data, likelihood)
        advance = trainer.advance

        def watched(*given) -> None:
            busy.append(1)
            most.append(len(busy))
            advance(*given)
            busy.pop()

        monkeypatch.setattr(trainer, "advance", watched)
        monkeypatch.setattr(trainer, "slots", lambda: 4)
        monkeypatch.setattr("probes.search.search.HELD_BYTES", 2 * 16 * trainer.weights(WIDE.first[0]))
        with open_study(None, None, "s") as study:
            search(trainer, WIDE, study, trials=8, seed=0)
        assert max(most) <= 2

    def test_a_score_that_fails_ends_them(self, problem):
        def fail(targets, outputs):
            raise ZeroDivisionError("score")

        with pytest.raises(ZeroDivisionError, match="score"):
            find(problem("multiclass"), fail, protocol=WIDE, spec=replace(SPEC, outputs=5))


class TestGroups:
    def test_are_of_one_shape_and_hold_each_once(self, classes):
        trainer = Trainer(SPEC, classes(60), likelihood)
        settings = [
            Settings(1e-3 * (i + 1), 0, 10 + i, True, hidden, dropout, size)
            for i, (hidden, dropout, size) in enumerate(
                [((), 0.0, 64), ((8,), 0.5, 64), ((), 0.0, 32), ((), 0.0, 64), ((), 0.3, 64), ((8,), 0.5, 64)]
            )
        ]
        found = trainer.groups(settings)
        assert sorted(i for group in found for i in group) == list(range(6))
        assert [0, 3] in found
        for group in found:
            assert len({(settings[i].hidden, settings[i].dropout, settings[i].batch_size) for i in group}) == 1

    def test_are_no_larger_than_pays(self, classes):
        trainer = Trainer(SPEC, classes(60), likelihood)
        settings = [Settings(1e-3, 0, 10, True, (), 0.0, 64)] * 40
        assert all(len(group) <= 8 for group in trainer.groups(settings))
        trainer.dim = 10**6
        assert all(len(group) == 1 for group in trainer.groups(settings))

    @pytest.mark.parametrize(("slots", "sizes"), [(1, [7]), (2, [3, 4]), (4, [1, 2, 2, 2]), (64, [1] * 7)])
    def test_leave_no_slot_without_work(self, classes, monkeypatch, slots, sizes):
        trainer = Trainer(SPEC, classes(60), likelihood)
        monkeypatch.setattr(trainer, "slots", lambda: slots)
        found = trainer.groups([Settings(1e-3, 0, 10, True, (), 0.0, 64)] * 7)
        assert [len(group) for group in found] == sizes
        assert [i for group in found for i in group] == list(range(7))

    def test_do_not_matter_to_the_result(self, problem, monkeypatch):
        data, spec = problem("multiclass"), replace(SPEC, outputs=5)
        together = find(data, spec=spec, trials=6)
        monkeypatch.setattr(Trainer, "groups", lambda trainer, settings: [[i] for i in range(len(settings))])
        alone = find(data, spec=spec, trials=6)
        assert together.selected == alone.selected
        for one, other in zip(together.trials, alone.trials, strict=True):
            assert (one.settings, one.state, one.steps_run) == (other.settings, other.state, other.steps_run)
            assert one.score == pytest.approx(other.score, abs=1e-5)


class TestStorage:
    @staticmethod
    def extended(data, steps: list[int], url: str | None, folder: Path | None, **options) -> SearchResult:
        for trials in steps:
            with open_study(url, folder, "s") as study:
                trainer = Trainer(replace(SPEC, outputs=5), data, likelihood)
                found = search(trainer, replace(PROTOCOL, round=2), study, trials=trials, seed=1, **options)
                assert len(found.trials) == trials
        return found

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    def test_a_longer_search_adds_to_a_shorter_one(self, problem, tmp_path, pruner, sampler):
        options = {"pruner": pruner, "sampler": sampler}
        data = problem("multiclass")
        whole = self.extended(data, [14], None, tmp_path / "whole", **options)
        parts = self.extended(data, [6, 14], None, tmp_path / "parts", **options)
        assert gist(parts) == gist(whole)
        assert parts.selected == whole.selected

    def test_a_search_of_one_begins_as_a_longer_one(self, problem, tmp_path):
        """Of two first settings the second is not lost when only one was asked for at first."""
        data, first = problem("multiclass"), (PROTOCOL.first[0], replace(PROTOCOL.first[0], learning_rate=1e-3))
        for trials in (1, 3):
            with open_study(None, tmp_path, "s") as study:
                trainer = Trainer(replace(SPEC, outputs=5), data, likelihood)
                found = search(trainer, replace(PROTOCOL, first=first), study, trials=trials, seed=1)
        assert tuple(trial.settings for trial in found.trials[:2]) == first

    def test_a_search_that_is_done_trains_nothing_and_finds_the_same(self, problem, tmp_path):
        data = problem("multiclass")
        first = self.extended(data, [6], None, tmp_path)
        looks = []
        with open_study(None, tmp_path, "s") as study:
            trainer = Trainer(replace(SPEC, outputs=5), data, lambda *_: looks.append(1) or 0.0)
            again = search(trainer, replace(PROTOCOL, round=2), study, trials=6, seed=1)
            fewer = search(trainer, replace(PROTOCOL, round=2), study, trials=3, seed=1)
        assert not looks
        assert (gist(again), again.selected, again.probe) == (gist(first), first.selected, None)
        assert gist(fewer) == gist(first)[:3]

    def test_a_database_gives_what_a_journal_gives(self, problem, tmp_path):
        data = problem("multiclass")
        database = self.extended(data, [2, 5], f"sqlite:///{tmp_path / 'search.db'}", None)
        assert gist(database) == gist(self.extended(data, [5], None, tmp_path))

    def test_an_error_in_the_middle_loses_nothing(self, problem, tmp_path):
        data, looks = problem("multiclass"), iter(range(10**9))
        whole = self.extended(data, [6], None, tmp_path / "whole")

        def fails(targets: np.ndarray, outputs: np.ndarray) -> float:
            if next(looks) in (3, 12):
                raise OSError("disk full")
            return likelihood(targets, outputs)

        with open_study(None, tmp_path / "parts", "s") as study:
            trainer = Trainer(replace(SPEC, outputs=5), data, fails)
            failures = 0
            while True:
                try:
                    found = search(trainer, replace(PROTOCOL, round=2), study, trials=6, seed=1)
                    break
                except OSError:
                    failures += 1
        assert failures == 2
        assert gist(found) == gist(whole)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What came of the searches of :mod:`tests.probes.killed_search`."""
    program = Path(__file__).parents[1].joinpath("killed_search.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path_factory.mktemp("killed")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


class TestKilled:
    def test_the_unbroken_searches_prune_and_do_not(self, killed):
        assert "PRUNED" in killed["unbroken"]["halving"]["states"]
        assert killed["unbroken"]["none"]["states"] == ["COMPLETE"] * 10

    @pytest.mark.parametrize("pruner", list(PRUNERS))
    def test_while_training_it_comes_to_the_same(self, killed, pruner):
        unbroken = killed["unbroken"][pruner]
        assert len(killed["look"][pruner]) == 4
        for resumed in killed["look"][pruner]:
            for key in ("trials", "selected", "states"):
                assert resumed[key] == unbroken[key]

    def test_what_was_told_is_not_trained_again(self, killed):
        begun = [resumed["begun"] for resumed in killed["write"]]
        assert begun[0] == 10
        assert begun[-1] == 6

    def test_between_any_two_writes_it_comes_to_the_same(self, killed):
        unbroken = killed["unbroken"]["halving"]
        assert len(killed["write"]) == 16
        for resumed in killed["write"]:
            for key in ("trials", "selected", "states"):
                assert resumed[key] == unbroken[key]


class TestTwoProcesses:
    def test_make_exactly_the_wanted_trials_and_none_twice(self, killed):
        first, second = killed["two"]
        assert first["begun"] + second["begun"] == 10
        assert min(first["begun"], second["begun"]) >= 2
        assert first["trials"] == second["trials"]
        assert first["selected"] == second["selected"]
        assert [trial[0] for trial in first["trials"]] == list(range(10))
        assert len({trial[1] for trial in first["trials"]}) == 10
        assert set(first["states"]) <= {"COMPLETE", "PRUNED"}

    def test_one_that_is_killed_leaves_its_trials_to_the_other(self, killed):
        (survivor,) = killed["survivor"]
        assert [trial[0] for trial in survivor["trials"]] == list(range(10))
        assert set(survivor["states"]) <= {"COMPLETE", "PRUNED"}
        assert survivor["begun"] == 10


def test_valid_may_be_of_one_item(problem):
    data = problem("regression")
    one = SplitArrays(data.valid.ids[:1], data.valid.embeddings[:1], data.valid.targets[:1])
    spec = ProbeSpec("regression", 5, "squared_error", look_every=4)
    found = find(TrainValid(data.train, one, frozenset()), TestDivergence.error, spec=spec, trials=2)
    assert math.isfinite(found.trials[found.selected].score)


def test_a_round_that_is_not_held_between_rungs_comes_to_the_same(problem, monkeypatch):
    asked = {"protocol": replace(WIDE, round=6), "spec": replace(SPEC, outputs=5), "trials": 18}
    held = find(problem("multiclass"), **asked)
    monkeypatch.setattr("probes.search.search.HELD_BYTES", 0)
    begun_anew = find(problem("multiclass"), **asked)
    assert [replace(trial, seconds=0) for trial in begun_anew.trials] == [
        replace(trial, seconds=0) for trial in held.trials
    ]
    assert {trial.state for trial in held.trials} >= {"complete", "pruned"}
