"""A run that trackers follow: what they are told of its record, and that it is the very run that it is without them."""

import sys
import types

import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.jobs import evaluate as stages
from benchmark.tracking import kinds, trackers
from benchmark.tracking.kinds import Kind

FAST = {"trials": 3, "seeds": 2, "workers": 0, "protocol": "quick"}
CHANGES = {"created", "seconds", "hardware", "search", "predictions"}  # what two equal runs may differ in: times


class Kept:
    """Keeps all that it is told; a class for each test."""

    fails = ""

    def __init__(self, about):
        self.calls.append(("open", about))

    def log(self, step, values):
        self.calls.append(("log", step, values))
        if self.fails == "log":
            raise ConnectionError("no route to host")

    def summarise(self, values):
        self.calls.append(("summarise", values))
        print("printed by a library")

    def close(self, status):
        self.calls.append(("close", status))


@pytest.fixture
def kept(monkeypatch):
    """Put a tracker that keeps its calls in place of wandb."""
    of_test = type("OfTest", (Kept,), {"calls": []})
    module = types.ModuleType("kept_adapter")
    module.open_tracker = of_test
    monkeypatch.setitem(sys.modules, "kept_adapter", module)
    table = {**kinds.KINDS, "wandb": Kind("kept_adapter", "json")}
    monkeypatch.setattr(kinds, "KINDS", table)
    monkeypatch.setattr(trackers, "KINDS", table)
    return of_test


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


def content(record):
    return record.model_dump(exclude=CHANGES)


def test_a_tracker_is_told_what_the_record_holds(kept, make_vectors, places, tmp_path):
    encoder, card = make_vectors()
    record = benchmark.run(encoder, card, track="wandb", track_project="thesis", **places, **FAST)
    (_, about), *logs, (_, summary), closed = kept.calls
    assert closed == ("close", "finished")
    assert (about.project, about.name) == ("thesis", "vectors/given+quick")
    assert about.settings["trials"] == 3
    assert about.settings["encoder"] == "emb:given.npz"
    assert [step for _, step, _ in logs] == [0, 1, 2]
    assert [values["trial/valid"] for _, _, values in logs] == [trial.score for trial in record.search.trials]
    for split in ("valid", "test"):
        score = getattr(record.scores, split)["accuracy"]
        for name, value in (("", score.value), ("/low", score.low), ("/high", score.high)):
            assert summary[f"{split}/accuracy{name}"] == value
    assert summary["run_key"] == record.run_key
    assert summary["probe/learning_rate"] == record.probe.learning_rate
    assert summary["seconds/total"] == record.seconds.total
    told = str([about.settings, about.name, logs, summary])
    assert str(tmp_path) not in told  # no path of the machine
    assert "instructions" not in told


def test_the_run_is_the_one_that_it_is_without(kept, make_vectors, places, tmp_path):
    encoder, card = make_vectors()
    tracked = benchmark.run(encoder, card, track=["wandb", "tensorboard"], **places, **FAST)
    plain = benchmark.run(encoder, card, home=places["home"], results=tmp_path / "plain", **FAST)
    assert content(tracked) == content(plain)
    assert (tracked.run_key, tracked.configuration) == (plain.run_key, plain.configuration)
    assert [trial.score for trial in tracked.search.trials] == [trial.score for trial in plain.search.trials]
    assert not (tmp_path / "plain" / "tensorboard").exists()  # off unless asked for
    before = len(kept.calls)
    benchmark.run(encoder, card, track="wandb", **places, **FAST)
    assert len(kept.calls) == before  # a record that is kept was no run


def test_event_files_hold_the_scores_and_lie_beside_the_records(make_vectors, places):
    event_files = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    encoder, card = make_vectors()
    record = benchmark.run(encoder, card, track="tensorboard", **places, **FAST)
    (folder,) = (places["results"] / "tensorboard" / "vectors" / "given+quick").iterdir()
    events = event_files.EventAccumulator(str(folder))
    events.Reload()
    (test,) = events.Scalars("test/accuracy")
    assert test.value == pytest.approx(record.scores.test["accuracy"].value)
    assert [event.step for event in events.Scalars("trial/valid")] == [0, 1, 2]


def test_one_that_fails_changes_nothing_and_is_a_warning(kept, make_vectors, places):
    kept.fails = "log"
    encoder, card = make_vectors()
    with pytest.warns(benchmark.BenchmarkWarning, match="wandb does not follow the run.*no route to host") as told:
        record = benchmark.run(encoder, card, track="wandb", **places, **FAST)
    assert sum("wandb" in str(warning.message) for warning in told) == 1
    assert kept.calls[-1] == ("close", "failed")
    assert benchmark.run(encoder, card, **places, **FAST).run_key == record.run_key


def test_the_command_tells_it_once_and_prints_results_alone(kept, make_vectors, places, capsys):
    kept.fails = "log"
    encoder, card = make_vectors()
    words = ["run", "-e", encoder, "-t", str(card), "--protocol", "quick", "--trials", "3", "--seeds", "2"]
    words += ["--home", str(places["home"]), "--results", str(places["results"]), "--track", "wandb"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    out, errors = capsys.readouterr()
    assert "accuracy" in out
    assert "no route" not in out
    assert errors.count("wandb does not follow the run, which goes on without it") == 1
    kept.fails = ""
    with pytest.raises(SystemExit):
        main([*words, "--overwrite", "always"])
    assert kept.calls[-2][0] == "summarise"
    assert "printed by a library" not in capsys.readouterr().out


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "killed"), (RuntimeError, "failed")])
def test_a_run_that_ends_early_is_ended_there_too(kept, make_vectors, places, monkeypatch, error, status):
    def ends(*_):
        raise error

    monkeypatch.setattr(stages, "evaluate", ends)
    with pytest.raises(error):
        benchmark.run(*make_vectors(), track="wandb", **places, **FAST)
    assert [call[0] for call in kept.calls] == ["open", "close"]
    assert kept.calls[-1] == ("close", status)


def test_what_is_not_here_is_refused_before_anything_is_done(places, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(benchmark.UserError, match=r"--track mlflow needs the package mlflow: install it:\n.*pip"):
        benchmark.run("logmel", "demo_key", track="mlflow", **places)
    assert not places["home"].exists()


def test_each_fold_has_its_trials(kept, make_vectors, places):
    encoder, card = make_vectors()
    text = card.read_text(encoding="utf-8")
    card.write_text(text.replace('split = "split"', 'fold = "fold"'), encoding="utf-8")
    manifest = card.parent / "manifest.csv"
    head, *rows = manifest.read_text(encoding="utf-8").splitlines()
    lines = [f"{head},fold", *(f"{row},{i // 3 % 3}" for i, row in enumerate(rows))]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    record = benchmark.run(encoder, card, track="wandb", **places, **FAST)
    assert len(record.folds) == 3
    logged = [(next(iter(values)).split("/")[0], step) for name, step, values in kept.calls[1:-2]]
    assert logged == [(f"fold {fold}", step) for fold in "012" for step in (0, 1, 2)]
