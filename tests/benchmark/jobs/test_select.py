"""Selection as a run sees it: protocols, samplers, studies that continue, and the floors beside the probe."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

import benchmark
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs import protocols, runner
from benchmark.jobs.options import Options
from probes.training.trainer import Trainer
from tasks import registry

FAST = {"trials": 2, "seeds": 1, "workers": 0}


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


def narrowed(monkeypatch, **changes):
    """Let searches follow the quick protocol of these tests with ``changes``."""
    protocol_for = protocols.protocol_for

    def changed(*names, **chosen):
        protocol = replace(protocol_for(*names, **chosen), first=(), **changes)
        return protocol if protocol.grid is not None else replace(protocol, first=(protocol.middle(),))

    monkeypatch.setattr(protocols, "protocol_for", changed)


def numbers(record):
    """Return all that two equal runs have in common."""
    search = record.search.model_dump(exclude={"floor_seconds", "trials"})
    trials = [trial.model_dump(exclude={"seconds"}) for trial in record.search.trials]
    return search, trials, record.probe, record.scores, record.floors


class Stopping:
    """A reporter under which a person stops the run when so many trials are done."""

    def __init__(self, after):
        self.after, self.lines = after, []

    @contextmanager
    def stage(self, title, total, unit):
        def advance(done, note="", total=None):
            if unit == "probes" and done >= self.after:
                raise KeyboardInterrupt

        yield advance

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def trained(monkeypatch):
    """The settings of every training that is begun, the first ``n`` of which are the trials'."""
    begun = []
    begin = Trainer.begin

    def watched(self, settings, seed):
        begun.append((settings, seed))
        return begin(self, settings, seed)

    monkeypatch.setattr(Trainer, "begin", watched)
    return begun


class TestFloors:
    def test_stand_beside_the_probe(self, make_vectors, places):
        record = benchmark.run(*make_vectors(items=300, apart=3), **places, **FAST)
        floors, value = record.floors, record.scores.test["accuracy"].value
        # Train says "middle", which a sixth of test is; test itself would say "high", and valid "low".
        assert floors.constant["accuracy"].value == pytest.approx(1 / 6)
        assert floors.ridge["accuracy"].value > 0.8
        assert floors.ridge_penalty > 0
        # Its step is still chosen on true labels of valid, which lifts it above a third where there are three classes.
        assert floors.permuted["accuracy"].value < 0.6 < 0.8 < value
        assert floors.loses_to_ridge == []
        for floor in (floors.constant, floors.ridge, floors.permuted):
            assert floor["accuracy"].low <= floor["accuracy"].value <= floor["accuracy"].high

    def test_a_probe_that_was_not_searched_well_loses_to_the_ridge(self, make_vectors, places, monkeypatch, capsys):
        narrowed(monkeypatch, learning_rate=(1e-7, 1e-7), steps=(4, 4))
        encoder, card = make_vectors(items=150, apart=6)
        record = benchmark.run(encoder, card, **places, **FAST)
        assert record.floors.loses_to_ridge == ["accuracy"]
        assert record.scores.test["accuracy"].value < record.floors.ridge["accuracy"].low
        report = Stopping(after=99)
        options = Options(**places, **FAST, overwrite="always")
        runner.run_many(resolve(encoder), registry.find(str(card)), options, report)
        assert any("below that of a ridge regression" in line for line in report.lines)


class TestProtocols:
    def test_quick_is_named_in_the_record(self, make_vectors, places):
        vectors = make_vectors()
        record = benchmark.run(*vectors, **places, **FAST, protocol="quick")
        assert record.protocol == "quick"
        assert record.search.section == "default"
        assert benchmark.run(*vectors, **places, **FAST).run_key != record.run_key

    def test_one_of_its_name_is_refused_before_anything_runs(self, make_vectors, places):
        with pytest.raises(UserError, match="did you mean 'paper'"):
            benchmark.run(*make_vectors(), **places, **FAST, protocol="papper")
        assert not places["home"].exists() or not any(places["home"].iterdir())

    def test_settings_are_published_for_the_papers_tasks_only(self, make_vectors, places):
        with pytest.raises(UserError, match="no settings for the task 'vectors'"):
            benchmark.run(*make_vectors(), **places, **FAST, protocol="published:musicset-ularge")

    def test_the_whole_grid(self, make_vectors, places, monkeypatch):
        narrowed(monkeypatch, hidden=((), (8,)))
        chosen = {"seeds": 1, "workers": 0, "protocol": "jukemir", "sampler": "grid", "overwrite": "always"}
        record = benchmark.run(*make_vectors(), **places, **chosen, pruner="none")
        settings = {
            (trial.standardise, tuple(trial.hidden), trial.batch_size, trial.learning_rate, trial.dropout, trial.l2)
            for trial in record.search.trials
        }
        assert len(record.search.trials) == len(settings) == 216
        assert {trial.state for trial in record.search.trials} == {"complete"}
        assert {trial.steps_run for trial in record.search.trials} == {8}
        assert (record.protocol, record.search.sampler) == ("jukemir", "grid")
        assert record.search.steps_run == record.search.steps_asked == 216 * 8

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"protocol": "jukemir", "sampler": "grid", "trials": 5}, "--trials 5: there are 216 here"),
            ({"sampler": "grid"}, "give --sampler grid with --protocol jukemir"),
        ],
    )
    def test_what_a_grid_cannot_be(self, make_vectors, places, chosen, message):
        with pytest.raises(UserError, match=message):
            benchmark.run(*make_vectors(), **places, seeds=1, **chosen)

    def test_without_pruning_every_trial_is_trained_to_its_end(self, make_vectors, places):
        pruned = benchmark.run(*make_vectors(), **places, **{**FAST, "trials": 12})
        whole = benchmark.run(*make_vectors("again"), **places, **{**FAST, "trials": 12}, pruner="none")
        assert {trial.state for trial in whole.search.trials} == {"complete"}
        assert whole.search.steps_run == whole.search.steps_asked
        assert pruned.search.steps_run < pruned.search.steps_asked
        assert any(trial.state == "pruned" for trial in pruned.search.trials)
        assert whole.search.operations > pruned.search.operations > 0


class TestStudy:
    @pytest.fixture(autouse=True)
    def rounds_of_four(self, quick_protocol, monkeypatch):
        narrowed(monkeypatch, round=4, steps=(20, 60))

    @pytest.mark.parametrize("after", [4, 6])  # between two rounds, and within one
    def test_a_run_that_is_stopped_goes_on_to_the_same_record(self, make_vectors, places, tmp_path, trained, after):
        encoder, card = make_vectors()
        chosen = {**FAST, "trials": 9, "seeds": 2}
        whole = benchmark.run(encoder, card, home=places["home"], results=tmp_path / "whole", **chosen)
        everything = list(trained)
        trained.clear()
        report = Stopping(after)
        with pytest.raises(KeyboardInterrupt):
            runner.run_many(resolve(encoder), registry.find(str(card)), Options(**places, **chosen), report)
        assert "finished trials and finished records are kept. The same command continues" in report.lines[-1]
        assert not (places["results"] / "runs").exists()
        before = len(trained)
        resumed = benchmark.run(encoder, card, **places, **chosen)
        assert numbers(resumed) == numbers(whole)
        assert resumed.run_key == whole.run_key
        # What was finished is not trained again; a probe that was selected before the stop is.
        assert len(trained) - before <= len(everything) - after + 1

    def test_more_trials_go_on_where_fewer_ended(self, make_vectors, places, tmp_path, trained):
        vectors = make_vectors()
        four = benchmark.run(*vectors, **places, **{**FAST, "trials": 4})
        begun = len(trained)
        nine = benchmark.run(*vectors, **places, **{**FAST, "trials": 9})
        assert nine.search.trials[:4] == four.search.trials  # seconds too: they were not trained again
        assert len(trained) - begun <= 5 + 2  # the new trials, the selected probe, the permuted one
        at_once = benchmark.run(*vectors, home=places["home"], results=tmp_path / "o", **{**FAST, "trials": 9})
        assert numbers(nine) == numbers(at_once)
        with pytest.raises(UserError, match="larger budget"):
            benchmark.run(*vectors, **places, **{**FAST, "trials": 4})

    def test_overwrite_always_begins_anew_and_leaves_the_study_alone(self, make_vectors, places, trained):
        vectors = make_vectors()
        first = benchmark.run(*vectors, **places, **FAST)
        journals = {path: path.read_bytes() for path in (places["results"] / "studies").glob("*.journal")}
        assert len(journals) == 1
        begun = list(trained)
        trained.clear()
        again = benchmark.run(*vectors, **places, **FAST, overwrite="always")
        assert trained == begun
        assert numbers(again) == numbers(first)
        assert {path: path.read_bytes() for path in journals} == journals

    def test_a_storage_in_place_of_the_journal(self, make_vectors, places, tmp_path, trained):
        vectors, storage = make_vectors(), f"sqlite:///{tmp_path}/search.db"
        kept = benchmark.run(*vectors, **places, **{**FAST, "trials": 4}, storage=storage)
        assert not (places["results"] / "studies").exists()
        begun = len(trained)
        more = benchmark.run(*vectors, **places, **{**FAST, "trials": 5}, storage=storage)
        assert more.search.trials[:4] == kept.search.trials
        assert len(trained) - begun <= 1 + 2
        journal = benchmark.run(*vectors, home=places["home"], results=tmp_path / "j", **{**FAST, "trials": 5})
        assert numbers(journal) == numbers(more)

    def test_a_storage_that_cannot_be_opened(self, make_vectors, places):
        with pytest.raises(UserError, match=r"(?s)the storage 'nosql://x' cannot be opened.*sqlite:///search.db"):
            benchmark.run(*make_vectors(), **places, **FAST, storage="nosql://x")


def test_trials_that_all_diverge_are_the_users_to_know(make_vectors, places, monkeypatch):
    narrowed(monkeypatch, learning_rate=(1e30, 1e30), steps=(20, 20), standardise=(False,))
    with pytest.raises(UserError, match=r"Probing given on vectors: all 2 trials diverged"):
        benchmark.run(*make_vectors(), **places, **FAST)
