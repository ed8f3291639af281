"""Significance: the separations of the ranking, with the numbers of its pairs."""

from benchmark.jobs.ranking import rankings
from benchmark.reports.figures import figures_of
from results import store
from results.together import read_together


def test_rows_are_the_separations_of_the_ranking(board, tmp_path):
    figure = figures_of("significance", board, tasks=["keys"], home=tmp_path).figures[0]
    (ranking,) = rankings(board, tmp_path, ["keys"])
    assert len(figure.rows) == 3
    for row, each in zip(figure.rows.itertuples(), ranking.separations, strict=True):
        assert (row.better, row.worse, row.difference) == (each.first, each.second, each.difference)
        assert (row.low, row.high, row.p_holm, row.separated) == (each.low, each.high, each.p_holm, each.separated)
        assert row.rank_better == ranking.ranks[each.first]
    apart = sum(each.separated for each in ranking.separations)
    assert figure.description.startswith(f"{apart} of 3 pairs of encoders on keys differ")
    assert "Rank groups: 1: strong" in figure.description


def test_limited_runs_and_lonely_encoders_are_sentences(results, tmp_path):
    record = store.read(results / "runs" / "keys" / "fair.json")
    store.write(results, record.model_copy(update={"limit": 40, "run_key": "a" * 64}))
    drawn = figures_of("significance", read_together([results]), tasks=["keys"], encoders=["fair"], home=tmp_path)
    assert drawn.figures == ()
    assert "keys has no two encoders that can be compared." in drawn.notes
    assert "Limited runs have no rank, of keys." in drawn.notes
