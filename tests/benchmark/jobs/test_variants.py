"""What is not the default choice is in a record's name; a larger budget is not displaced; what is displaced is told."""

import re
from dataclasses import replace

import numpy as np
import pytest

import benchmark
from benchmark.cli import run as commands
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs.items import select_items
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.runner import run_many
from benchmark.reports import scores
from benchmark.system.progress import Silent
from results import store
from results.rerun import choices, rerun
from tasks import registry

FAST = {"trials": 2, "seeds": 2, "workers": 0}


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


@pytest.fixture
def run(make_vectors, places):
    """Run given embeddings on their task; returns the record."""
    encoder, card = make_vectors()

    def run(**chosen):
        return benchmark.run(encoder, card, **places, **{**FAST, **chosen})

    run.names = encoder, str(card)
    return run


def job_of(encoder, card, options):
    task = registry.find(str(card))[0]
    return plan_jobs([encoder], [select_items(task, task.items(options.home), options)], options)[0]


class TestVariant:
    @pytest.mark.parametrize(
        ("chosen", "variant"),
        [
            ({}, ""),
            ({"trials": 3, "seeds": 7, "seed": 5, "batch_size": 8, "device": "cpu"}, ""),
            ({"layer": "auto"}, ""),
            ({"layer": "noise"}, "layer-noise"),
            ({"layer": "0"}, "layer-noise"),
            ({"layer": "all"}, "layer-all"),
            ({"layer": "mix"}, "layer-mix"),
            ({"protocol": "quick"}, "quick"),
            ({"protocol": "jukemir", "sampler": "grid"}, "jukemir+sampler-grid"),
            ({"sampler": "random", "pruner": "none"}, "sampler-random+pruner-none"),
            ({"pruner": "halving"}, ""),
            ({"probe_precision": "bf16"}, "probe-bf16"),
            ({"layer": "1", "protocol": "quick", "probe_precision": "bf16"}, "layer-spectrum+quick+probe-bf16"),
        ],
    )
    def test_holds_every_choice_that_is_not_the_default(self, layered, make_task, places, chosen, variant):
        options = Options(**places, **chosen)
        assert job_of(layered, make_task(), options).variant == variant

    def test_the_encoders_precision_and_windows(self, layered, make_task, places):
        options = Options(**places)
        job = job_of(layered, make_task(), options)
        job.encoder.precision = "bf16"
        assert replace(job, own_windows=True).variant == "bf16+own-windows"
        job.encoder.precision = "fp32"
        assert job.variant == ""

    def test_every_variant_has_a_file_of_its_own_and_none_is_another_encoders(self, layered, make_task, places):
        job, seen = job_of(layered, make_task(), Options(**places)), set()
        for protocol in ("paper", "quick"):
            for precision in ("fp32", "bf16"):
                for layer in (None, "0", "1", "all", "mix"):
                    options = Options(**places, probe_precision=precision, layer=layer, limit=9 if layer else None)
                    data = replace(job.data, protocol=replace(job.data.protocol, name=protocol))
                    seen.add(plan_jobs([layered], [data], options)[0].path)
        assert len(seen) == 20
        assert all(store.slug(path.name) != path.name or path.stem == "layered" for path in seen)


class TestRecords:
    def test_a_quick_run_leaves_the_long_one_where_it_is(self, run, places):
        long, quick = run(), run(protocol="quick")
        folder = places["results"] / "runs" / "vectors"
        assert store.read(folder / "given.json") == long
        assert store.read(folder / "given+quick.json") == quick
        assert quick.name == "given+quick"
        assert not (folder / "history").exists()
        assert run() == long
        assert [record.name for record in store.read_all(places["results"])] == ["given", "given+quick"]

    def test_the_command_that_makes_it_again_has_its_choices(self, run):
        record = run(protocol="quick", probe_precision="bf16", pruner="none")
        assert rerun(record) == (
            "bench run --encoder given --task vectors --protocol quick --probe-precision bf16 --pruner none "
            "--overwrite always"
        )

    def test_choices_of_what_is_no_record_are_passed_over(self):
        assert choices({"variant": 5, "protocol": [], "encoder": "x"}) == []
        assert choices({"variant": "layer-a+own-windows", "probe": {"layer": 7}}) == ["--own-windows"]

    def test_the_encoders_precision_is_in_the_record(self, layered, make_task, places):
        layered.precision = "bf16"
        record = benchmark.run(layered, make_task(), **places, **FAST)
        assert record.encoder.precision == "bf16"
        assert record.variant == "bf16"
        assert (places["results"] / "runs" / "tones" / "layered+bf16.json").is_file()

    def test_compare_and_the_leaderboard_take_variants_as_rows(self, run, places, capsys):
        from benchmark.reports.compare import compare
        from results import leaderboard

        run()
        run(protocol="quick")
        assert "given less given+quick" in compare("given", "given+quick", [], results=places["results"])
        rows = set(re.findall(r"◆ ([a-z+]+)", leaderboard.render(store.read_all(places["results"])).compact))
        assert rows == {"given", "given+quick"}


class TestBudgets:
    def test_fewer_trials_or_seeds_never_displace_more(self, run, places):
        first = run(trials=3, seeds=2)
        path = places["results"] / "runs" / "vectors" / "given.json"
        for chosen, what in (
            ({"trials": 2, "seeds": 2}, "3 trials, here 2"),
            ({"trials": 3, "seeds": 1}, "2 seeds, here 1"),
            ({"trials": 9, "seeds": 1}, "2 seeds, here 1"),
            ({"trials": 1, "seeds": 1}, "3 trials, here 1; 2 seeds, here 1"),
        ):
            with pytest.raises(UserError, match=rf"larger budget \({what}\).*--overwrite always"):
                run(**chosen)
        assert store.read(path) == first
        assert run(trials=3, seeds=2) == first

    def test_with_overwrite_always_they_do_and_the_larger_goes_to_the_history(self, run, places):
        first = run(trials=3)
        second = run(trials=2, overwrite="always")
        folder = places["results"] / "runs" / "vectors"
        assert store.read(folder / "given.json") == second
        assert store.read(folder / "history" / f"given.{first.run_key[:12]}.json") == first

    def test_a_larger_budget_displaces_and_it_is_told_where_the_other_went(self, run, places, capsys):
        first = run(trials=2)
        options = Options(**places, **{**FAST, "trials": 3})
        outcomes = run_many(resolve(run.names[0]), registry.find(run.names[1]), options, Silent())
        print(scores.format_outcomes(outcomes))
        kept = places["results"] / "runs" / "vectors" / "history" / f"given.{first.run_key[:12]}.json"
        assert outcomes[0].displaced == kept
        out = capsys.readouterr().out
        assert "displaces" in out
        assert f"the record of another run lay there; it is now {kept}" in out

    def test_nothing_is_computed_before_the_refusal(self, run, monkeypatch):
        run(trials=3)
        monkeypatch.setattr("benchmark.jobs.runner.embed", lambda *a: pytest.fail("it was embedded"))
        with pytest.raises(UserError, match="larger budget"):
            run(trials=1)

    def test_more_missing_tracks_are_a_smaller_run(self, run, make_vectors, places, tmp_path):
        encoder, card = run.names
        benchmark.run(encoder, card, **places, **FAST)
        held = np.load(encoder.removeprefix("emb:"))
        fewer = tmp_path / "fewer"
        fewer.mkdir()
        np.savez(fewer / "given.npz", ids=held["ids"][:-1], embeddings=held["embeddings"][:-1])
        with pytest.raises(UserError, match="0 missing tracks, here 1"):
            benchmark.run(f"emb:{fewer / 'given.npz'}", card, **places, **FAST, allow_missing=1)


class TestPlan:
    def plan(self, run, places, capsys, **chosen):
        encoder, card = run.names
        commands.run([encoder], [card], dry_run=True, **places, **{**FAST, **chosen})
        return capsys.readouterr().out

    def test_says_what_becomes_of_the_file(self, run, places, capsys):
        assert "new record" in self.plan(run, places, capsys)
        first = run(trials=3)
        assert "record kept" in self.plan(run, places, capsys, trials=3)
        larger = " ".join(self.plan(run, places, capsys, trials=4).split())
        assert "displaces a record" in larger
        assert f"given.{first.run_key[:12]}" in larger.replace(" ", "")
        smaller = self.plan(run, places, capsys, trials=2)
        assert "refused" in smaller
        assert "Refused: " in smaller
        assert "3 trials, here 2" in smaller
        assert "given+quick" in self.plan(run, places, capsys, protocol="quick")
