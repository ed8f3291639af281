"""Layers: the ridge of each, the choice and how sure it is, and the weights of mixtures."""

from benchmark.reports.figures import figures_of
from results import store
from results.together import read_together


def test_rows_are_the_layers_and_the_chosen_one_is_marked(board):
    profile, mixing = figures_of("layers", board, tasks=["keys"]).figures
    assert list(profile.rows.layer) == ["conv", "block-1", "block-2"]
    assert list(profile.rows.score) == [0.4012345, 0.5512345, 0.5412345]
    assert list(profile.rows.chosen) == [False, True, False]
    assert "block-1 was chosen, 0.0100 above block-2, 1 other(s) within 0.020" in profile.description
    assert list(mixing.rows.weight) == [0.2, 0.5, 0.3, 0.1, 0.7, 0.2]
    assert list(mixing.rows.seed) == [8, 8, 8, 9, 9, 9]
    assert "The heaviest: block-1, 0.600" in mixing.description


def test_a_choice_below_the_best_is_said_so(results):
    record = store.read(results / "runs" / "keys" / "strong.json")
    store.write(results, record.model_copy(update={"probe": record.probe.model_copy(update={"layer": "conv"})}))
    (profile, _) = figures_of("layers", read_together([results]), tasks=["keys"]).figures
    assert "conv was chosen, 0.1500 below block-1" in profile.description


def test_encoders_without_layers_are_a_sentence(board):
    drawn = figures_of("layers", board, encoders=["fair"])
    assert drawn.figures == ()
    assert "No record is of an encoder with layers" in drawn.notes[0]
