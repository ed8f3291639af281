"""Robustness: the change under each deformation, with its interval."""

from benchmark.reports.figures import figures_of


def test_rows_are_the_drops_of_the_record(board):
    drawn = figures_of("robustness", board, tasks=["keys"])
    rows = drawn.figures[0].rows
    assert list(rows.deformation) == ["noise:20", "mp3:32"]
    assert set(rows.change) == {-0.1234567}
    assert set(rows.low) == {-0.2}
    assert set(rows.high) == {0.01}
    strong = next(record for record in board.records if record.name == "strong" and record.task.id == "keys")
    assert set(rows.clean) == {strong.scores.test["weighted_accuracy"].value}
    assert any(note.startswith("keys: no scores of deformed audio of fair, hf:someone") for note in drawn.notes)


def test_without_deformations_the_command_is_named(board):
    drawn = figures_of("robustness", board, encoders=["fair"])
    assert drawn.figures == ()
    assert "bench run --deform" in drawn.notes[0]
