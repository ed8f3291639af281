"""Cost: what records hold, and a sentence for what they do not."""

import math
import runpy
from pathlib import Path

from benchmark.reports.figures import figures_of
from results import store
from results.together import read_together

build_record = runpy.run_path(str(Path(__file__).parents[3] / "results" / "conftest.py"))["build_record"]


def test_rows_are_what_the_records_hold(board):
    figure = figures_of("cost", board, tasks=["keys"]).figures[0]
    row = figure.rows.set_index("encoder").loc["strong"]
    record = next(record for record in board.records if record.name == "strong" and record.task.id == "keys")
    assert row.score == record.scores.test["weighted_accuracy"].value
    assert row.speed == 12345.5  # seconds of audio in the one second of embedding
    assert row.dim == 1728
    assert row.megabytes == 1000 * 3600 / 2.0 * 1728 * 4 / 1e6
    assert row.machine == "a processor"


def test_parameters_that_a_record_holds_have_a_panel(tmp_path):
    record = build_record("gs_key", "network")
    encoder = record.encoder.model_copy(update={"parameters": 1234567})
    store.write(tmp_path, record.model_copy(update={"encoder": encoder}))
    drawn = figures_of("cost", read_together([tmp_path]))
    assert drawn.figures[0].rows.parameters.tolist() == [1234567]
    assert len(drawn.figures[0].spec["vconcat"]) == 4
    assert not any("how many parameters" in note for note in drawn.notes)


def test_what_is_not_known_has_no_mark_and_a_sentence(tmp_path):
    stored = build_record("gs_key", "stored")
    store.write(tmp_path, stored.model_copy(update={"seconds": stored.seconds.model_copy(update={"embed": 0.0})}))
    store.write(tmp_path, build_record("gs_key", "given", given=True))
    drawn = figures_of("cost", read_together([tmp_path]))
    rows = drawn.figures[0].rows.set_index("encoder")
    assert math.isnan(rows.loc["stored"].speed)
    assert math.isnan(rows.loc["given"].megabytes)
    assert len(drawn.figures[0].spec["vconcat"]) == 2, "no panel of speed, of which nothing is known"
    assert any(note.startswith("gs_key: how fast it embeds is not known of given, stored") for note in drawn.notes)
    assert any(note.startswith("gs_key: how many windows an hour has is not known of given") for note in drawn.notes)
    assert any(note.startswith("gs_key: how many parameters it has is not known of") for note in drawn.notes)
