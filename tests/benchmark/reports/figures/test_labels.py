"""Labels: the record's own scores, intervals of its predictions, and published scores that are here."""

import numpy as np
import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.figures import labels as module
from benchmark.reports.labels import label_tables
from benchmark.reports.published_labels import PublishedLabels
from results import store
from results.predictions import read_split
from results.together import read_together


def test_rows_are_the_labels_of_the_record_with_intervals(board, tmp_path):
    figure = figures_of("labels", board, tasks=["tags"], encoders=["fair"], home=tmp_path).figures[0]
    record = next(record for record in board.records if record.name == "fair" and record.task.id == "tags")
    own = record.scores.test["map"].labels
    assert dict(zip(figure.rows.label, figure.rows.score, strict=True)) == own
    (table,) = label_tables(record, read_split(board.folder_of(record), record), {}, "map")
    for row in table.rows[1:]:
        drawn = figure.rows.set_index("label").loc[row.label]
        assert (drawn.low, drawn.high, drawn["items"]) == (row.low, row.high, row.items)
        assert drawn.score == pytest.approx(row.value, abs=1e-6)
    best = max(own, key=own.get)
    assert figure.spec["encoding"]["y"]["scale"]["domain"][0] == best


def test_published_scores_stand_beside_them(board, tmp_path, monkeypatch):
    theirs = {"map": PublishedLabels({"musicset-ularge": {"rock": 0.123456, "no such label": 0.5}})}
    monkeypatch.setattr(module, "_published", lambda *_: (theirs, []))
    figure = figures_of("labels", board, tasks=["tags"], encoders=["fair"], home=tmp_path).figures[0]
    published = figure.rows[figure.rows.what == "musicset-ularge"]
    assert published[["label", "score"]].to_numpy().tolist() == [["rock", 0.123456]]
    assert "beside the published scores of musicset-ularge" in figure.description


def test_of_many_records_intervals_are_left_out_with_a_sentence(board, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FEW", 1)
    drawn = figures_of("labels", board, tasks=["tags"], home=tmp_path)
    assert np.isnan(drawn.figures[0].rows.low).all()
    assert any(note.startswith("Intervals of labels are drawn of at most 1 records") for note in drawn.notes)
    assert "without intervals" in drawn.figures[0].description


def test_numbers_have_no_labels(board, tmp_path):
    drawn = figures_of("labels", board, tasks=["mood"], home=tmp_path)
    assert drawn.figures == ()
    assert "mood: r2_valence has no scores of single labels." in drawn.notes


def test_a_record_without_scores_of_labels_is_a_sentence(results, tmp_path):
    record = store.read(results / "runs" / "tags" / "fair.json")
    score = record.scores.test["map"].model_copy(update={"labels": None})
    scores = record.scores.model_copy(update={"test": record.scores.test | {"map": score}})
    store.write(results, record.model_copy(update={"scores": scores}))
    drawn = figures_of("labels", read_together([results]), tasks=["tags"], home=tmp_path)
    assert "fair on tags has no scores of single labels." in drawn.notes
    assert len(drawn.figures) == 2
