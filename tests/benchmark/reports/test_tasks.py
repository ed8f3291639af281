import itertools
import re

import pytest

from benchmark.cli import reading as commands
from benchmark.cli.tasks import PAGE, _show
from benchmark.reports.encoders import format_encoder
from benchmark.system.home import home_folder
from results.record import RecordError


def tasks(name, home=None):
    """Print what ``bench tasks NAME`` does."""
    _show(name, home, markdown=False, output=PAGE, check=False, as_json=False)


def test_tasks_are_a_table_with_sizes(capsys):
    tasks("demo")
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("demo_emotion"))
    assert "r2_valence, r2_arousal" in row
    assert "360 / 120 / 120" in row


def test_a_card_is_printed_with_its_labels_and_the_next_command(capsys, make_task):
    tasks("demo_key")
    out = capsys.readouterr().out
    assert "C major, Db major" in out
    assert "weighted_accuracy, accuracy (the first is the primary one)" in out
    assert "bench run --encoder logmel --task demo_key" in out
    card = make_task()
    tasks(str(card))
    assert f"--task {card}" in capsys.readouterr().out


def test_a_card_says_all_that_is_known_in_lines_that_fit(capsys, tmp_path):
    tasks("gs_key", home=tmp_path)
    out = capsys.readouterr().out
    card, citation = out.split("\nCitation:\n")
    assert max(map(len, card.splitlines())) <= 100
    assert re.search(r"^sizes: +train 923, valid 236, test 604 \(verified\)$", card, re.M)
    assert re.search(r"^Table 1: +2.1k tracks, 116 h, 24 labels$", card, re.M)
    assert re.search(
        r"^probe: +one hidden layer of 512, dropout 0.8 \(or 0.5, 0.75, 0.9\), batches of 512$", card, re.M
    )
    assert re.search(r"^split: +Test is all of the GiantSteps key set\.", card, re.M)
    assert re.search(r"^from: +annotations.txt of the MTG key set", card, re.M)
    assert len(re.findall(r"^  - ", card.split("Deviations, and what to know:")[1], re.M)) == 5
    assert citation.startswith("@inproceedings{knees2015two,\n")
    tasks("msd500", home=tmp_path)
    out = capsys.readouterr().out
    assert re.search(r"^sizes: +not verified", out, re.M)
    assert re.search(r"^labels: +as in the annotations", out, re.M)
    tasks("nsynth_p", home=tmp_path)
    out = capsys.readouterr().out
    assert "289,205, valid 12,678, test 4,096 (not verified" in out
    assert re.search(r"^windows: +1 s every 1 s", out, re.M)


def ending(capsys):
    """Return what was printed after the citation."""
    return capsys.readouterr().out.split("On this machine:\n")[1]


class TestWhatIsHere:
    @pytest.fixture
    def gtzan(self, tmp_path):
        """The three lists with as many excerpts as the card says, and the paths of their audio."""
        root, numbers, names = tmp_path / "collections" / "gtzan", itertools.count(), []
        root.mkdir(parents=True)
        for split, n in (("train", 443), ("valid", 197), ("test", 290)):
            listed = [f"rock/rock.{next(numbers):05d}.wav" for _ in range(n)]
            (root / f"{split}_filtered.txt").write_text("\n".join(listed))
            names += listed
        (root / "genres" / "rock").mkdir(parents=True)
        return [root / "genres" / name for name in names]

    def test_annotations_and_then_audio(self, capsys, tmp_path, gtzan):
        tasks("gtzan", home=tmp_path)
        end = ending(capsys)
        assert "annotations: here, 930 items, as the card says" in end
        assert "audio: 0 of 930 files here" in end
        assert re.search(r"^Next: bench data (fetch|where) gtzan$", end, re.M)
        for path in gtzan[1:]:
            path.touch()
        tasks("gtzan", home=tmp_path)
        assert "audio: 929 of 930 files here" in ending(capsys)
        gtzan[0].touch()
        tasks("gtzan", home=tmp_path)
        end = ending(capsys)
        assert "audio: 930 of 930 files here" in end
        assert end.endswith("\nNext: bench run --encoder logmel --task gtzan\n")

    def test_other_counts_than_the_cards(self, capsys, tmp_path, gtzan):
        path = tmp_path / "collections" / "gtzan" / "test_filtered.txt"
        path.write_text("\n".join(path.read_text().split()[:-2]))
        tasks("gtzan", home=tmp_path)
        assert "this is not what the card says: 2 fewer in test" in " ".join(ending(capsys).split())

    def test_nothing(self, capsys, tmp_path):
        tasks("gs_key", home=tmp_path / "home")
        end = ending(capsys)
        assert "annotations: not complete: " in end
        assert end.endswith("\nNext: bench data fetch gs_key\n")
        assert not (tmp_path / "home").exists()

    def test_a_folder_that_is_not_there(self, capsys, tmp_path):
        (tmp_path / "config.toml").write_text('[data]\ngtzan = "/nowhere/gtzan"\n')
        tasks("gtzan", home=tmp_path)
        end = ending(capsys)
        assert "/nowhere/gtzan" in end
        assert end.endswith("\nNext: bench data where gtzan\n")

    def test_a_manifest_of_ones_own(self, capsys, make_task):
        card = make_task()
        tasks(str(card))
        end = ending(capsys)
        assert "is here" in " ".join(end.split())
        assert end.endswith(f"\nNext: bench run --encoder logmel --task {card}\n")

    def test_a_collection_that_is_rendered(self, capsys, tmp_path):
        tasks("demo_key", home=tmp_path)
        assert "nothing to fetch" in ending(capsys)


def test_an_encoder_is_printed_with_what_it_declares(capsys, tmp_path):
    print(format_encoder("chroma", home_folder()))
    out = capsys.readouterr().out
    assert "11025 Hz, mono" in out
    assert "fingerprint:" in out
    file = tmp_path / "whole.py"
    file.write_text(
        "from benchmark import Encoder\n\n\nclass Whole(Encoder):\n"
        "    name, sample_rate, dim, channels, window_seconds = 'whole', 8000, 1, 2, None\n"
    )
    print(format_encoder(str(file), home_folder()))
    out = capsys.readouterr().out
    assert "whole track" in out
    assert "stereo" in out


def test_a_leaderboard_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(RecordError, match="cannot write"):
        commands.leaderboard([tmp_path], tmp_path / "folder.md", check=False, show=False)
