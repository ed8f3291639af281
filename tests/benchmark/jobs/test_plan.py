from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.jobs import plan
from benchmark.jobs.items import limited_rows, select_items
from benchmark.jobs.keys import run_key, study_name
from benchmark.jobs.options import Options, TrainSubset
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.protocols import protocol_of
from tasks import registry
from tasks.items import Items


@pytest.fixture
def options(tmp_path):
    return Options(home=tmp_path / "home", results=tmp_path / "results")


def items_of(train: int, valid: int, test: int) -> Items:
    n = train + valid + test
    splits = ("train",) * train + ("valid",) * valid + ("test",) * test
    ids = tuple(f"t{i}" for i in range(n))
    return Items(ids, splits, (Path("a.wav"),) * n, None, np.arange(n) % 2, ("a", "b"))


class TestLimitedRows:
    @pytest.mark.parametrize("limit", [3, 10, 50, 99])
    def test_keeps_the_proportions_and_leaves_no_split_empty(self, limit):
        items = items_of(60, 20, 20)
        rows = limited_rows(items, limit, seed=0)
        counts = items.take(rows).counts()
        assert abs(len(rows) - limit) <= 2
        assert min(counts.values()) >= 1
        assert abs(counts["train"] - 0.6 * limit) <= 1
        assert list(rows) == sorted(set(rows))

    def test_a_limit_above_the_size_is_everything(self):
        assert len(limited_rows(items_of(6, 2, 2), 100, seed=0)) == 10

    def test_is_a_seeded_sample_not_the_first_ones(self):
        items = items_of(600, 200, 200)
        first, again, other = (limited_rows(items, 100, seed=s) for s in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert first[60 - 1] > 400


@pytest.fixture
def job_with(bands, make_task, options):
    """Return the job of the options with some changed, on the items of the options as they are."""
    task = registry.find(str(make_task()))[0]
    items = select_items(task, task.items(options.home), options)

    def job_with(*, data=items, **change):
        return plan_jobs([bands], [data], replace(options, **change))[0]

    return job_with


class TestRunKey:
    def test_is_the_same_for_the_same_run_wherever_the_home_is(self, job_with, tmp_path):
        moved = job_with(home=tmp_path / "other", results=tmp_path / "r", workers=7, device="cpu")
        assert run_key(job_with(), ["a", "b"]) == run_key(moved, ["a", "b"])

    @pytest.mark.parametrize(
        "change",
        [
            {"trials": 3}, {"seed": 1}, {"seeds": 9}, {"limit": 30}, {"sampler": "random"}, {"pruner": "none"},
            {"probe_precision": "bf16"}, {"device": "cuda"}, {"device": "cuda:1"},
        ],
    )  # fmt: skip
    def test_changes_with_what_changes_the_numbers(self, job_with, change, monkeypatch):
        monkeypatch.setattr(
            "benchmark.jobs.keys.kind_of", lambda device: device.partition(":")[0].replace("auto", "cpu")
        )
        assert run_key(job_with(), ["a"]) != run_key(job_with(**change), ["a"])

    def test_naming_the_protocols_own_numbers_changes_nothing(self, job_with):
        job = job_with()
        protocol = job.data.protocol
        named = job_with(trials=protocol.trials, seeds=protocol.seeds)
        assert run_key(job, ["a", "b"]) == run_key(named, ["a", "b"])

    def test_changes_with_the_audio_the_protocol_and_the_probe(self, job_with):
        job = job_with()
        before = run_key(job, ["a", "b"])
        assert run_key(job, ["a", "c"]) != before
        assert run_key(job, ["b", "a"]) != before
        data = job.data
        probe = replace(data, protocol=replace(data.protocol, l2=(1e-6, 1e-2)))
        assert run_key(replace(job, data=probe), ["a", "b"]) != before
        assert run_key(replace(job, data=replace(data, fingerprint="other")), ["a", "b"]) != before


class TestLayer:
    @pytest.mark.parametrize(
        ("asked", "name"),
        [(None, "auto"), ("auto", "auto"), ("1", "high"), ("high", "high"), ("mix", "mix"), ("7", "7")],
    )
    def test_a_layer_has_one_name(self, bands, asked, name):
        assert plan._layer(bands, ("low", "high", "7"), asked) == name

    def test_none_where_there_are_no_layers(self, bands, job_with):
        assert plan._layer(bands, None, None) is None
        assert job_with().search.layer is None

    @pytest.mark.parametrize(("asked", "index"), [("low", 0), ("1", 1), ("0", 2), ("2", 2)])
    def test_a_name_comes_before_a_number(self, bands, asked, index):
        layers = ("low", "high", "0")
        assert plan._layer(bands, layers, asked) == layers[index]

    @pytest.mark.parametrize("asked", ["3", "-1", "LOW", "²"])
    def test_what_is_neither_is_refused(self, bands, asked):
        with pytest.raises(UserError, match=f"--layer {asked}: the encoder 'bands' has no such layer"):
            plan._layer(bands, ("low", "high", "0"), asked)


class TestPruner:
    @pytest.mark.parametrize(
        ("sampler", "asked", "pruner"),
        [
            ("tpe", None, "halving"),
            ("random", "none", "none"),
            ("grid", None, "none"),
            ("grid", "halving", "halving"),
        ],
    )
    def test_is_halving_but_for_a_grid_unless_the_user_says(self, job_with, sampler, asked, pruner):
        data = job_with().data
        gridded = replace(data, protocol=protocol_of("jukemir", data.task.card))
        assert job_with(data=gridded, sampler=sampler, pruner=asked).search.pruner == pruner


class TestStudyName:
    @pytest.mark.parametrize("change", [{"trials": 3}, {"seeds": 9}, {"device": "cpu"}, {"storage": "sqlite:///x"}])
    def test_is_the_same_where_one_search_goes_on_from_the_other(self, job_with, change):
        assert study_name(job_with(), ["a"]) == study_name(job_with(**change), ["a"])

    @pytest.mark.parametrize("change", [{"seed": 1}, {"sampler": "random"}, {"pruner": "none"}])
    def test_is_another_where_trials_would_be(self, job_with, change):
        assert study_name(job_with(), ["a"]) != study_name(job_with(**change), ["a"])

    def test_is_another_for_other_audio_protocols_and_parts(self, job_with):
        job = job_with()
        before = study_name(job, ["a"])
        assert study_name(job, ["b"]) != before
        assert study_name(replace(job, subset=TrainSubset(0.5, 0)), ["a"]) != before
        data = replace(job.data, protocol=replace(job.data.protocol, round=3))
        assert study_name(replace(job, data=data), ["a"]) != before


class TestTrials:
    def test_are_the_users_else_the_protocols(self, job_with):
        job = job_with()
        assert job.search.trials == job.data.protocol.trials
        assert job_with(trials=7).search.trials == 7

    def test_one_configuration_alone_is_one_trial(self, job_with):
        data = job_with().data
        exact = replace(data, protocol=replace(data.protocol, name="published:x"))
        assert job_with(data=exact).search.trials == 1
        with pytest.raises(UserError, match="--trials 2: there are 1 here"):
            job_with(data=exact, trials=2)


class TestOptions:
    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"sampler": "cmaes"}, "--sampler has no choice .*: give one of tpe, random, grid"),
            ({"pruner": "median"}, "--pruner has no choice .*: give one of halving, none"),
            ({"probe_precision": "fp16"}, "--probe-precision has no choice .*: give one of fp32, bf16"),
        ],
    )
    def test_choices_that_there_are_not(self, tmp_path, chosen, message):
        with pytest.raises(UserError, match=message):
            Options(home=tmp_path, results=tmp_path, **chosen)


class TestJobs:
    def test_tasks_on_one_audio_share_one_store(self, bands, make_task, options):
        tasks = [registry.find(str(make_task(name)))[0] for name in ("one", "two")]
        data = [select_items(task, task.items(options.home), options) for task in tasks]
        jobs = plan_jobs([bands], data, options)
        assert len(jobs) == 2
        assert jobs[0].store is jobs[1].store

    def test_a_window_of_the_task_makes_another_space(self, bands, make_task, options):
        card = make_task()
        plain = registry.find(str(card))[0]
        own = replace(plain, card=plain.card.model_copy(update={"window_seconds": 0.5, "id": "own"}))
        data = [select_items(task, plain.items(options.home), options) for task in (plain, own)]
        first, second = plan_jobs([bands], data, options)
        assert first.store.space.key != second.store.space.key
        assert second.store.space.windows.window == 4000

    def test_a_window_that_the_encoder_cannot_take_is_refused_before_anything_runs(self, bands, make_task, options):
        task = registry.find(str(make_task()))[0]
        own = replace(task, card=task.card.model_copy(update={"window_seconds": 0.01}))
        with pytest.raises(UserError, match=r"windows of 0.01 s, but the encoder 'bands' takes"):
            plan_jobs([bands], [select_items(own, task.items(options.home), options)], options)

    def test_an_encoder_falls_back_to_its_own_windows_only_when_asked_and_the_record_says_so(
        self, bands, make_task, options
    ):
        import benchmark

        card = make_task()
        card.write_text(card.read_text().replace("[probe]", "window_seconds = 0.01\n[probe]"))
        where = {"home": options.home, "results": options.results, "trials": 1, "seeds": 1, "workers": 0}
        with pytest.raises(UserError, match="--own-windows"):
            benchmark.run(bands, card, **where)
        record = benchmark.run(bands, card, **where, own_windows=True)
        assert record.encoder.own_windows
        assert record.encoder.window_seconds == bands.window_seconds
        card.write_text(card.read_text().replace("window_seconds = 0.01", "window_seconds = 0.5"))
        taken = benchmark.run(bands, card, **where, own_windows=True)
        assert not taken.encoder.own_windows
        assert taken.encoder.window_seconds == 0.5
