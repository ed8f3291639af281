"""Searches: every trial with its settings, and when it was ended."""

import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.figures.specs import sized
from results import store
from results.together import read_together


def test_rows_are_the_trials_of_the_record(board):
    figure = figures_of("search", board, tasks=["keys"], encoders=["strong"]).figures[0]
    record = next(record for record in board.records if record.name == "strong" and record.task.id == "keys")
    assert figure.name == "search-keys.strong"
    assert list(figure.rows.ended) == ["selected", "pruned", "diverged"]
    for row, trial in zip(figure.rows.itertuples(), record.search.trials, strict=True):
        assert (row.learning_rate, row.l2, row.steps, row.steps_run) == (
            trial.learning_rate, trial.l2, trial.steps, trial.steps_run,
        )  # fmt: skip
        assert row.score == trial.score or trial.score is None
    assert "3 trials" in figure.description
    assert "1 pruned, 1 diverged" in figure.description
    assert "1 that diverged before they had a score are in the table alone" in figure.description


def test_trials_without_penalty_have_a_place(board):
    """Zero has none on a logarithmic axis: the scale is linear about it."""
    spec = figures_of("search", board, tasks=["keys"], encoders=["strong"]).figures[0].spec
    l2 = spec["vconcat"][1]["encoding"]["x"]
    assert l2["scale"]["type"] == "symlog"
    assert l2["axis"]["values"][0] == 0


def test_a_search_without_a_score_is_a_sentence(results):
    path = results / "runs" / "keys" / "fair.json"
    record = store.read(path)
    trials = [trial.model_copy(update={"score": None, "state": "diverged"}) for trial in record.search.trials]
    store.write(results, record.model_copy(update={"search": record.search.model_copy(update={"trials": trials})}))
    drawn = figures_of("search", read_together([results]), tasks=["keys"], encoders=["fair"])
    assert drawn.figures == ()
    assert drawn.notes == ("fair on keys: no trial has a score.",)


def test_folds_have_a_picture_each(results):
    record = store.read(results / "runs" / "keys" / "strong.json")
    content = record.model_dump()
    fold = {key: content[key] for key in ("scores", "probe", "search", "seeds")}
    content["folds"] = [{"name": name, "valid": "b/c", "counts": {"test": 3}, **fold} for name in ("a", "b/c")]
    store.write(results, type(record).model_validate(content))
    figures = figures_of("search", read_together([results]), tasks=["keys"], encoders=["strong"]).figures
    assert len({figure.name for figure in figures}) == 2
    assert not any("/" in figure.name for figure in figures)
    assert "fold b/c" in figures[1].title


def test_settings_that_are_all_alike_are_drawn(results):
    """Of a grid or one trial: a scale of one value, or of zero alone."""
    vl_convert = pytest.importorskip("vl_convert", reason="needs the extra report")
    record = store.read(results / "runs" / "keys" / "fair.json")
    trials = [trial.model_copy(update={"l2": 0.0, "score": 0.5}) for trial in record.search.trials]
    for count in (1, 2):
        search = record.search.model_copy(update={"trials": trials[:count]})
        store.write(results, record.model_copy(update={"search": search}))
        drawn = figures_of("search", read_together([results]), tasks=["keys"], encoders=["fair"])
        svg = vl_convert.vegalite_to_svg(sized(drawn.figures[0].spec, 300), allowed_base_urls=[])
        assert "NaN" not in svg
