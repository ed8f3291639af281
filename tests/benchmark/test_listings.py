import pytest

from benchmark import listings
from benchmark.errors import UserError


def test_tasks_are_a_table_with_sizes(capsys):
    listings.tasks("demo")
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("demo_emotion"))
    assert "r2_valence, r2_arousal" in row
    assert "360 / 120 / 120" in row


def test_a_card_is_printed_with_its_labels_and_the_next_command(capsys, make_task):
    listings.tasks("demo_key")
    out = capsys.readouterr().out
    assert "C major, Db major" in out
    assert "weighted_accuracy, accuracy (the first is the primary one)" in out
    assert "bench run --encoder logmel --task demo_key" in out
    card = make_task()
    listings.tasks(str(card))
    assert f"--task {card}" in capsys.readouterr().out


def test_an_encoder_is_printed_with_what_it_declares(capsys, tmp_path):
    listings.encoders("chroma")
    out = capsys.readouterr().out
    assert "11025 Hz, mono" in out
    assert "fingerprint:" in out
    file = tmp_path / "whole.py"
    file.write_text(
        "from benchmark import Encoder\n\n\nclass Whole(Encoder):\n"
        "    name, sample_rate, dim, channels, window_seconds = 'whole', 8000, 1, 2, None\n"
    )
    listings.encoders(str(file))
    out = capsys.readouterr().out
    assert "whole track" in out
    assert "stereo" in out


def test_a_leaderboard_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        listings.leaderboard(tmp_path, tmp_path / "folder", check=False, show=False)
