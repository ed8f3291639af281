"""``compare`` from stores to tables: trained, killed, continued, stopped, refused."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from benchmark.errors import UserError
from benchmark.jobs.runner import Outcome
from benchmark.pretraining import pretrain as runs
from benchmark.pretraining.comparison import compare as module
from benchmark.pretraining.comparison import probing
from benchmark.pretraining.comparison.compare import Choices, Compared
from benchmark.pretraining.comparison.summary import Summary, read
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.training.collapse import TrainingStopped
from benchmark.system.progress import Silent
from tasks.errors import TaskError

pytest.importorskip("lightning_fabric")

QUICK = (
    "batch=4", "warmup_steps=1", "frames=32", "projector_width=16", "projector_layers=1", "checkpoint_every=1",
    "keep_every=100", "log_every=1",
)  # fmt: skip
real_pretrain = runs.pretrain
RECIPES = ("tiny-simclr", "tiny-sup")
planted = runpy.run_path(str(Path(__file__).parents[2] / "reports" / "figures" / "conftest.py"))
RUN_NAMES = [f"{recipe}-seed-{seed}" for seed in (0, 1) for recipe in RECIPES]

Make = Callable[..., Choices]


def compare(choices: Choices, report: Any = None, **given: Any) -> Compared:
    """Compare on the processor."""
    return module.compare(choices, runs.trains_on(choices.data, "cpu", choices.run["home"]), report, **given)


@pytest.fixture
def make(tmp_path: Path, make_task: Callable[..., Path]) -> Make:
    """Return choices of a comparison of two recipes and seeds, of few steps, on one small task."""
    rng = np.random.default_rng(0)
    tracks = ((f"t{i}", (rng.random((60, 96)) * (1 + i % 3)).astype(np.float16)) for i in range(6))
    write_store(tmp_path / "store", tracks, {f"t{i}": ["loud", "fast"][: 1 + i % 2] for i in range(6)})
    card = make_task("keys", per_class=10)

    def choices(*words: str, **given: Any) -> Choices:
        run = {"home": tmp_path / "home", "workers": 0, "trials": 1, **given.pop("run", {})}
        chosen = {
            "data": str(tmp_path / "store"), "tasks": [str(card)], "out": tmp_path / "out", "budget": "steps=3",
            "seeds": 2, "curve_seeds": 0, "probe_seeds": 2, "device": "cpu", **given,
        }  # fmt: skip
        return Choices(words=(*QUICK, *(words or RECIPES)), run=run, **chosen)

    return choices


@pytest.fixture
def planted_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a record of given predictions in place of a probe's, which other tests train: it takes seconds."""

    def run_many(encoders: Any, tasks: Any, options: Any, report: Any) -> list[Outcome]:
        (name,), folder = [encoder.name for encoder in encoders], options.results_folder
        skill = 0.9 if "simclr" in name else 0.6 if "sup" in name else 0.3
        return [
            Outcome(planted["plant"](folder, task.card.id, name, skill + int(name[-1]) / 50), folder, kept=False)
            for task in tasks
        ]

    monkeypatch.setattr(probing, "run_many", run_many)


def summary_of(choices: Choices) -> Summary:
    found = read(choices.out / "results")
    assert found is not None
    return found


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the names of the runs that are handed to the trainer."""
    names: list[str] = []

    def kept(choices: Any, report: Any = None) -> Path:
        names.append(choices.out.name)
        return real_pretrain(choices, report)

    monkeypatch.setattr(runs, "pretrain", kept)
    return names


@pytest.mark.usefixtures("planted_records")
def test_every_recipe_is_trained_probed_and_set_beside_random_weights(make: Make, trainings: list[str]) -> None:
    choices = make()
    found = compare(choices)
    assert found.problems == ()
    assert trainings == RUN_NAMES
    names = {path.name for path in (choices.out / "runs").iterdir()}
    assert names == {*RUN_NAMES, "random-sf-nfnet-tiny-seed-0", "random-sf-nfnet-tiny-seed-1"}
    records = {path.stem for path in (choices.out / "results" / "runs" / "keys").glob("*.json")}
    assert records == names
    whole = summary_of(choices)
    assert [(each.name, each.random) for each in whole.strategies] == [
        ("random-sf-nfnet-tiny", True), ("tiny-simclr", False), ("tiny-sup", False),
    ]  # fmt: skip
    simclr = whole.strategies[1]
    assert (simclr.steps, simclr.batch, simclr.examples, simclr.crops) == (3, 4, 12, 2)
    assert simclr.hours == pytest.approx(3 * 4 * 2 * 0.32 / 3600)
    assert simclr.parameters == whole.strategies[0].parameters == 403_488
    assert all(run.status == "finished" and run.effective_rank and run.minutes for run in simclr.runs)
    score = whole.score("tiny-simclr", "keys", "accuracy")
    assert score is not None
    assert score.question == "items and seeds"
    for seed, value in enumerate(score.seeds):
        path = choices.out / "results" / "runs" / "keys" / f"tiny-simclr-seed-{seed}.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        assert value == pytest.approx(record["scores"]["test"]["accuracy"]["value"])
    assert score.value == pytest.approx(np.mean(score.seeds))
    assert score.dots is not None
    assert len(score.dots.values) == whole.resamples == 100
    pairs = {(each.first, each.second) for each in whole.differences}
    assert {("tiny-simclr", "random-sf-nfnet-tiny"), ("tiny-sup", "random-sf-nfnet-tiny")} <= pairs
    assert len(pairs) == 3
    assert found.path == choices.out / "comparison.md"
    assert found.path.read_text(encoding="utf-8") == found.text
    for heading in ("Scores on test", "Above random weights", "Pairs of strategies", "What this can and cannot say"):
        assert f"## {heading}" in found.text

    trainings.clear()
    assert compare(choices) == found
    assert trainings == [], "what is finished is kept"


class KilledError(BaseException):
    """As a kill is: nothing is written any more."""


@pytest.mark.usefixtures("planted_records")
def test_a_killed_comparison_goes_on_where_it_was(make: Make, trainings: list[str], tmp_path: Path) -> None:
    unbroken = make(out=tmp_path / "unbroken")
    compare(unbroken)
    trainings.clear()
    choices = make()
    steps: list[float] = []

    class Kills(Silent):
        def stage(self, title: str, total: float, unit: str) -> Any:
            return _killing(steps) if title == "training" else super().stage(title, total, unit)

    with pytest.raises(KilledError):
        compare(choices, Kills())
    assert trainings == RUN_NAMES[:2]
    assert (choices.out / "runs" / RUN_NAMES[0] / "encoder.safetensors").is_file()
    assert not (choices.out / "runs" / RUN_NAMES[1] / "encoder.safetensors").is_file()
    assert not (choices.out / "comparison.md").exists()
    trainings.clear()
    found = compare(choices)
    assert trainings == RUN_NAMES[1:]
    assert found.problems == ()
    for name in RUN_NAMES:
        weights = [each.out / "runs" / name / "encoder.safetensors" for each in (choices, unbroken)]
        assert weights[0].read_bytes() == weights[1].read_bytes(), "a run that is continued is an unbroken one"
    assert summary_of(choices).scores == summary_of(unbroken).scores


class _killing:  # noqa: N801 - a context, as a stage is
    """A stage that kills at the second step of the second training."""

    def __init__(self, steps: list[float]) -> None:
        self.steps = steps

    def __enter__(self) -> Callable[..., None]:
        def advance(done: float, note: str = "", total: float | None = None) -> None:
            self.steps.append(done)
            if self.steps == [1, 2, 3, 1, 2]:
                raise KilledError

        return advance

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("planted_records")
def test_a_collapsed_run_is_reported_and_the_others_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    kept = runs.pretrain

    def collapse() -> None:
        raise TrainingStopped("all embeddings are the same", "begin again")

    def collapsing(choices: Any, report: Any = None) -> Path:
        if choices.out.name == "tiny-simclr-seed-1":
            kept(choices, report)
            (choices.out / "encoder.safetensors").unlink()
            try:
                collapse()
            except TrainingStopped:
                raise TrainingStopped(f"the run {choices.out} was stopped: ...", "begin again") from None
        return kept(choices, report)

    monkeypatch.setattr(runs, "pretrain", collapsing)
    choices = make()
    found = compare(choices)
    assert found.problems == ("tiny-simclr-seed-1 was stopped: all embeddings are the same",)
    assert trainings == RUN_NAMES
    whole = summary_of(choices)
    score = whole.score("tiny-simclr", "keys", "accuracy")
    assert score is not None
    assert (len(score.seeds), score.question) == (1, "items")
    assert [run.status for run in whole.strategies[1].runs] == ["finished", "stopped"]
    assert "1 of 2" in found.text
    assert "looks better than it is" in found.text
    trainings.clear()
    assert compare(choices).problems == found.problems, "it is not tried again"
    assert trainings == []


@pytest.mark.usefixtures("planted_records")
def test_a_recipe_that_always_collapses_has_no_score(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def collapsing(choices: Any, report: Any = None) -> Path:
        if "simclr" in choices.out.name:
            choices.out.mkdir(parents=True)
            raise TrainingStopped("the loss of step 1 is nan", "begin again")
        return real_pretrain(choices, report)

    monkeypatch.setattr(runs, "pretrain", collapsing)
    found = compare(make(seeds=1))
    assert found.problems == ("tiny-simclr-seed-0 was stopped: the loss of step 1 is nan",)
    assert "| tiny-simclr | – | 0 of 1 |" in found.text
    assert "One seed each" in found.text


@pytest.mark.usefixtures("planted_records")
def test_minutes_are_measured_once_and_kept(make: Make, monkeypatch: pytest.MonkeyPatch, trainings: list[str]) -> None:
    readings = iter(range(1000))

    def clock() -> float:
        return next(readings) * 0.5  # a step takes half a second

    choices = make("tiny-simclr", budget="minutes=0.05", seeds=1)
    compare(choices, clock=clock)
    plan = json.loads((choices.out / "comparison.json").read_text(encoding="utf-8"))
    assert plan["steps"] == {"tiny-simclr": 6}
    assert plan["paces"] == {"tiny-simclr": 2.0}
    assert trainings == ["run", "tiny-simclr-seed-0"]
    assert not (choices.out / "pace").exists()
    assert "tiny-simclr 2" in (choices.out / "comparison.md").read_text(encoding="utf-8")
    trainings.clear()
    compare(choices, clock=lambda: pytest.fail("the pace is measured again"))
    assert trainings == []


@pytest.mark.usefixtures("planted_records")
def test_other_arguments_are_refused_with_what_differs(make: Make, tmp_path: Path, trainings: list[str]) -> None:
    compare(make(seeds=1, budget="steps=2"))
    trainings.clear()
    with pytest.raises(UserError, match="begun with other arguments") as refused:
        compare(make("tiny-simclr", "temperature=0.2", seeds=2, budget="steps=3", curve_seeds=1, run={"trials": 2}))
    told = "\n".join(refused.value.rows)
    for line in (
        "--seeds: 1 -> 2", "--budget: steps=2 -> steps=3", "--trials: 1 -> 2", "--curve-seeds: 0 -> 1",
        "recipes: tiny-simclr,tiny-sup -> tiny-simclr", "tiny-simclr: temperature: 0.1 -> 0.2",
    ):  # fmt: skip
        assert line in told
    rng = np.random.default_rng(1)
    write_store(tmp_path / "other", ((f"t{i}", rng.random((60, 96)).astype(np.float16)) for i in range(6)), None)
    with pytest.raises(UserError, match="begun with other arguments") as refused:
        compare(make("tiny-simclr", seeds=1, budget="steps=2", data=str(tmp_path / "other")))
    assert any("the store:" in row for row in refused.value.rows)
    assert trainings == []


def nothing_written(choices: Choices) -> bool:
    return not choices.out.exists()


def refused(choices: Choices, message: str, kind: type[Exception] = UserError) -> None:
    with pytest.raises(kind, match=message):
        compare(choices)
    assert nothing_written(choices)


def test_what_does_not_do_is_refused_before_anything_is_written(make: Make, tmp_path: Path) -> None:
    refused(make("tiny-simclrr"), "there is no recipe 'tiny-simclrr'.*did you mean 'tiny-simclr'")
    refused(make("tiny-simclr", "tiny-simclr"), "the recipe tiny-simclr is named twice")
    refused(make("tiny-simclr", "steps=4"), "steps=4: of a comparison --budget decides it: give --budget")
    refused(make("tiny-simclr", "seed=4"), "--seeds decides it")
    refused(make("tiny-simclr", "tiny-sup", "temperature=0.3"), "no key 'temperature'")
    refused(make(tasks=["demo_keyy"]), "demo_keyy", TaskError)
    refused(make(budget="hours=3"), "is no number of steps or minutes")
    refused(make(seeds=0), "--seeds is 0: give 1 at least")
    refused(make(curve_seeds=3), "--curve-seeds is 3, and --seeds 2: give 2 at most")
    refused(make("tiny-simclr", "batch=8"), "the recipe tiny-simclr: .*fewer than the batch of 8")
    refused(make(data=str(tmp_path / "none")), "there is no store")
    refused(make(run={"protocol": "papper"}), "papper")


def test_no_recipe_is_refused(make: Make) -> None:
    choices = make()
    with pytest.raises(UserError, match="no recipe is named"):
        compare(replace(choices, words=QUICK))


def test_two_recipes_of_one_name_are_refused(make: Make, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text('objective = "simclr"\nbatch = 4\nsteps = 9\nwarmup_steps = 0\n'
                                                     'network = "sf-nfnet-tiny"\n', encoding="utf-8")  # fmt: skip
    refused(make(str(tmp_path / "a" / "mine.toml"), str(tmp_path / "b" / "mine.toml")), "mine is also the name of")
    own = tmp_path / "a" / "tiny-simclr.toml"
    own.write_text((tmp_path / "a" / "mine.toml").read_text(encoding="utf-8"), encoding="utf-8")
    refused(make("tiny-simclr", str(own)), "tiny-simclr is also the name of")


def test_a_folder_that_is_no_comparison_is_refused(make: Make) -> None:
    choices = make()
    choices.out.mkdir()
    (choices.out / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds thesis\.tex and no comparison: choose a new folder"):
        compare(choices)
    (choices.out / "thesis.tex").unlink()
    (choices.out / "comparison.json").write_text('{"seeds": 3}', encoding="utf-8")
    with pytest.raises(UserError, match="is no plan that this version reads"):
        compare(choices)
    (choices.out / "comparison.json").write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match="restore it, or choose a new --out"):
        compare(choices)


def test_several_processes_are_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(make(), "in one process.*start it without torchrun")


def test_two_at_once_are_refused(make: Make) -> None:
    choices = make()
    choices.out.mkdir()
    with FileLock(choices.out / ".lock"), pytest.raises(UserError, match="another process works on"):
        compare(choices)


@pytest.mark.usefixtures("planted_records")
def test_a_task_that_fails_costs_no_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = vars(probing)["run_many"]

    def failing(encoders: Any, tasks: Any, options: Any, report: Any) -> Any:
        if encoders[0].name == "tiny-sup-seed-0":
            raise UserError("its probe cannot be trained", "mend it")
        return real(encoders, tasks, options, report)

    monkeypatch.setattr(probing, "run_many", failing)
    found = compare(make(seeds=1))
    assert found.problems == ("tiny-sup-seed-0 on keys: its probe cannot be trained: mend it",)
    assert "tiny-sup-seed-0 on keys: its probe cannot be trained: mend it: it has no score" in found.text


def test_probes_are_those_of_an_ordinary_run_and_are_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "FRACTIONS", (0.4,))
    monkeypatch.setattr(probing, "SAMPLES", 2)
    choices = make("tiny-simclr", seeds=1, curve_seeds=1, probe_seeds=1)
    found = compare(choices)
    assert found.problems == ()
    names = ["random-sf-nfnet-tiny-seed-0", "tiny-simclr-seed-0"]
    records = choices.out / "results" / "runs" / "keys"
    assert sorted(path.name for path in records.glob("*.json")) == [f"{name}.json" for name in names]
    record = json.loads((records / f"{names[1]}.json").read_text(encoding="utf-8"))
    assert record["encoder"]["id"] == names[1]
    assert len(record["search"]["trials"]) == 1
    folder = choices.out / "results" / "curves" / "keys"
    assert sorted(path.name for path in folder.iterdir()) == names
    points = {(each.strategy, each.fraction): each for each in summary_of(choices).points}
    parts = [points["tiny-simclr", fraction] for fraction in (0.4, 1.0)]
    assert [(part.items, len(part.scores)) for part in parts] == [(6, 2), (15, 1)]
    assert parts[1].scores == [record["scores"]["test"]["accuracy"]["value"]]
    assert "## Limited data" in found.text
    before = {path: path.stat().st_mtime_ns for path in (choices.out / "results").rglob("*.json")}
    assert len(before) == 7
    assert compare(choices) == found
    assert {path: path.stat().st_mtime_ns for path in before} == before
