"""Learning curves: parts of train, records of their own, and nothing else touched."""

import re

import pytest

import benchmark
from benchmark.cli import run as commands
from benchmark.cli.main import main
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs import runner, select
from benchmark.jobs.options import Options, TrainSubset
from results import leaderboard, store
from tasks import registry

FAST = {"trials": 2, "seeds": 1, "workers": 0}


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


@pytest.fixture
def run(make_vectors, places):
    """Run a learning curve on embeddings that are given, and return what came of each part."""
    encoder, card = make_vectors(items=150)

    def run(*fractions, **chosen):
        options = Options(**places, **{**FAST, "train_fraction": fractions, **chosen})
        return runner.run_many(resolve(encoder), registry.find(str(card)), options)

    run.vectors = encoder, card
    return run


class TestRecords:
    def test_lie_in_a_folder_of_their_own_and_are_kept(self, run, places, monkeypatch):
        outcomes = run(1.0, 0.1, 0.3, repeats=2)
        folder = places["results"] / "curves" / "vectors" / "given"
        assert [outcome.path.relative_to(folder).as_posix() for outcome in outcomes] == [
            "fraction-0.1.repeat-0.json",
            "fraction-0.1.repeat-1.json",
            "fraction-0.3.repeat-0.json",
            "fraction-0.3.repeat-1.json",
            "fraction-1.repeat-0.json",  # all of train is the same in every repeat
        ]
        assert not (places["results"] / "runs").exists()
        monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
        again = run(1.0, 0.1, 0.3, repeats=2)
        assert all(outcome.kept for outcome in again)
        assert [outcome.record for outcome in again] == [outcome.record for outcome in outcomes]

    def test_say_what_part_they_are_about(self, run, places):
        outcomes = run(0.1, 1.0, repeats=2, seed=3)
        points = [outcome.record.curve for outcome in outcomes]
        assert [(point.fraction, point.repeat, point.seed, point.items) for point in points] == [
            (0.1, 0, 3, 7),
            (0.1, 1, 4, 7),
            (1.0, 0, 3, 75),
        ]
        for outcome, point in zip(outcomes, points, strict=True):
            assert outcome.record.data.counts == {"train": point.items, "valid": 45, "test": 30}
            table = store.read_predictions(places["results"], outcome.record)
            assert table.num_rows == 75
        assert outcomes[0].record.data.fingerprint != outcomes[1].record.data.fingerprint
        assert len({outcome.record.run_key for outcome in outcomes}) == 3

    def test_all_of_train_scores_as_the_run_without_a_fraction_does(self, run, places):
        whole = benchmark.run(*run.vectors, **places, **FAST)
        (point,) = run(1.0)
        assert point.record.scores == whole.scores
        assert point.record.probe == whole.probe
        assert point.record.run_key != whole.run_key

    def test_more_of_train_is_worth_something(self, run):
        little, much = run(0.1, 0.9)
        scores = [outcome.record.floors.ridge["accuracy"].value for outcome in (little, much)]
        assert scores[0] < scores[1]

    def test_another_run_displaces_a_point_into_its_history(self, run):
        (first,) = run(0.3)
        (second,) = run(0.3, trials=3)
        assert second.path == first.path
        kept = first.path.parent / "history" / f"fraction-0.3.repeat-0.{first.record.run_key[:12]}.json"
        assert store.read(kept) == first.record

    def test_the_leaderboard_is_not_touched(self, run, places, tmp_path):
        board = tmp_path / "board.md"
        benchmark.run(*run.vectors, **places, **FAST)
        leaderboard.write(places["results"], board)
        before = board.read_bytes()
        run(0.3, 1.0)
        assert not leaderboard.write(places["results"], board)
        assert board.read_bytes() == before

    def test_a_limited_curve_has_a_folder_of_its_own(self, run):
        (point,) = run(0.5, limit=60)
        assert point.path.parent.name == "given.limit-60"
        assert point.record.curve.items == 15
        assert point.record.limit == 60


class TestOptions:
    def test_parts_are_in_order_and_each_once(self, places):
        options = Options(**places, train_fraction=(1.0, 0.2, 0.2), repeats=2)
        assert options.subsets == (TrainSubset(0.2, 0), TrainSubset(0.2, 1), TrainSubset(1.0, 0))
        assert Options(**places).subsets == (None,)

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"train_fraction": (0.0,)}, "--train-fraction is 0: give numbers above 0"),
            ({"train_fraction": (1.5,)}, "--train-fraction is 1.5: give numbers above 0"),
            ({"train_fraction": (float("nan"),)}, "--train-fraction is nan: give numbers above 0"),
            ({"repeats": 2}, "--repeats draws several samples of a fraction: give --train-fraction"),
            ({"train_fraction": (0.5,), "repeats": 0}, "--repeats is 0: give 1 at least"),
            ({"train_fraction": (0.5,), "export": "x"}, "--export goes with a whole run"),
        ],
    )
    def test_what_cannot_be_is_refused(self, places, chosen, message):
        with pytest.raises(UserError, match=message):
            Options(**places, **chosen)

    def test_a_part_of_which_too_little_is_left_is_named(self, run):
        with pytest.raises(UserError, match=r"--train-fraction 0.999 of vectors"):
            run(0.999)


class TestCommand:
    def test_prints_a_line_a_fraction_and_where_the_records_are(self, run, places, capsys):
        encoder, card = run.vectors
        where = ["--home", str(places["home"]), "--results", str(places["results"])]
        command = ["run", "-e", encoder, "-t", str(card), *where, "--trials", "2", "--seeds", "1"]
        with pytest.raises(SystemExit) as end:
            main([*command, "--train-fraction", "0.1,1", "--repeats", "2"])
        assert end.value.code == 0
        out = capsys.readouterr().out
        lines = [re.split(r"  +", line.strip()) for line in out.splitlines() if line.startswith("vectors ")]
        assert [line[:6] for line in lines] == [
            ["vectors", "given", "accuracy", "0.1", "7", "2"],
            ["vectors", "given", "accuracy", "1", "75", "1"],
        ]
        scores = [
            store.read(path).scores.test["accuracy"].value
            for path in sorted((places["results"] / "curves" / "vectors" / "given").glob("fraction-0.1.*.json"))
        ]
        assert lines[0][6:8] == [f"{sum(scores) / 2:.3f}", f"{min(scores):.3f}–{max(scores):.3f}"]
        assert lines[1][7] == "-"
        folder = places["results"] / "curves"
        assert f"Records in {folder}/<task>/<encoder>/fraction-<train>.repeat-<number>.json" in out
        assert "runs" not in out

    def test_a_dry_run_names_the_parts(self, run, places, capsys):
        encoder, card = run.vectors
        commands.run([encoder], [str(card)], dry_run=True, **places, train_fraction="0.1,1.0", repeats=2)
        out = capsys.readouterr().out
        assert len(re.findall(r"probes, new record, 0\.1 of train, repeat [01]$", out, re.M)) == 2
        assert len(re.findall(r"probes, new record, 1 of train, repeat 0$", out, re.M)) == 1
        assert f"records in {places['results']}/curves" in out

    @pytest.mark.parametrize("text", ["", "all", "0.1;0.2", "0.1,"])
    def test_what_is_no_list_of_numbers(self, run, places, capsys, text):
        encoder, card = run.vectors
        where = ["--home", str(places["home"]), "--results", str(places["results"])]
        with pytest.raises(SystemExit) as end:
            main(["run", "-e", encoder, "-t", str(card), *where, "--train-fraction", text])
        assert end.value.code == 2
        assert "is not a list of numbers: write it such as 0.01,0.1,1" in capsys.readouterr().err
