from __future__ import annotations

import csv
import hashlib
import shutil

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.reports import published_labels
from benchmark.reports.published_labels import (
    FILES,
    FOLDER,
    MODELS,
    PublishedFile,
    fetch_published,
    files_of,
    parse_file,
    read_fetched,
    read_table,
    tag_of,
)
from tasks.errors import TaskError

TEXT = ",model-name,map_slow,map_fast\n0,Musicset ULarge,0.25,0.5\n1,Audioset ULarge,,0.75\n"
TABLE = "task,metric,model,tag,value,column\n"


def test_files_belong_to_the_tasks_of_the_paper():
    from tasks import registry

    cards = {task_id: task.card for task_id, task in registry.builtin_tasks().items()}
    assert len(FILES) == 26
    assert len({file.task for file in FILES}) == 15
    for file in FILES:
        assert file.metric in (*cards[file.task].metrics, "precision")
        assert file.source.urls == (published_labels.BASE + file.file,)
    assert files_of("demo_key") == []


def test_a_file_is_read_and_an_empty_cell_is_no_score():
    found = parse_file(TEXT, "x.csv")
    assert found.labels == {"musicset-ularge": {"slow": 0.25, "fast": 0.5}, "audioset-ularge": {"fast": 0.75}}
    assert found.overall == {}


def test_overall_columns():
    found = parse_file(",model-name,r2_a\n0,Musicset ULarge,0.7\n", "x.csv")
    assert found.overall == {"musicset-ularge": 0.7}
    assert tag_of("precision_micro_class_micro_update") == "__all__"
    assert tag_of("roc-auc_mood/theme---calm") == "mood/theme---calm"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a published file"),
        ("a,b\n1,2\n", "second column"),
        (",model-name,map_a\n0,Musicset ULarge\n", "2 columns"),
        (",model-name,map_a\n0,Somebody,0.5\n", "not one of the models"),
        (",model-name,map_a\n0,Musicset ULarge,high\n", "write a number"),
        (",model-name,f1_a\n0,Musicset ULarge,0.5\n", "'f1_a' is not a column"),
    ],
)
def test_another_layout_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        parse_file(text, "x.csv")


class TestTable:
    def test_names_of_the_files_and_ours_are_understood(self, tmp_path):
        path = tmp_path / "all.csv"
        path.write_text(
            TABLE + "MTT,roc-auc,Musicset ULarge,slow,0.9,c\nmtt,map,musicset-ularge,slow,0.4,c\nAMM,map,x,y,z,c\n"
            "MTT,map,Audioset USmall,__all__,0.3,c\n"
        )
        found = read_table(path, "mtt")
        assert found["roc_auc"].labels == {"musicset-ularge": {"slow": 0.9}}
        assert found["map"].labels["musicset-ularge"] == {"slow": 0.4}
        assert found["map"].overall == {"audioset-usmall": 0.3}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a,b\n", "its columns are a, b"),
            ("", "its columns are none"),
            (TABLE + "AMM,map,Musicset ULarge,a,0.5,c\n", "has no scores of mtt"),
            (TABLE + "MTT,map\n", "line 2: columns are missing"),
            (TABLE + "MTT,map,Nobody,a,0.5,c\n", "not one of the models"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path, text, words):
        path = tmp_path / "all.csv"
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            read_table(path, "mtt")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(UserError, match=r"nowhere\.csv cannot be read"):
            read_table(tmp_path / "nowhere.csv", "mtt")


class TestFetching:
    @pytest.fixture
    def one_file(self, monkeypatch):
        """Let ``mtt`` have one file, TEXT, and let no address be asked."""
        data = TEXT.encode()
        file = PublishedFile("MTT/map.csv", len(data), hashlib.sha256(data).hexdigest())
        monkeypatch.setattr(published_labels, "FILES", (file,))
        return file

    def test_what_is_here_and_sound_is_read_without_asking(self, tmp_path, one_file):
        assert read_fetched("mtt", tmp_path) == {}
        path = tmp_path / FOLDER / one_file.file
        path.parent.mkdir(parents=True)
        path.write_text(TEXT)
        fetch_published("mtt", tmp_path)
        assert read_fetched("mtt", tmp_path)["map"].labels["audioset-ularge"] == {"fast": 0.75}
        path.write_text(TEXT.replace("0.75", "0.76"))
        assert read_fetched("mtt", tmp_path) == {}

    def test_a_failed_download_is_the_users_to_repeat(self, tmp_path, one_file, monkeypatch):
        monkeypatch.setattr(published_labels, "BASE", "http://127.0.0.1:9/")
        with pytest.raises(TaskError, match="cannot fetch MTT/map") as refused:
            fetch_published("mtt", tmp_path)
        text = str(refused.value)
        place = tmp_path / FOLDER / "MTT" / "map.csv"
        assert f"  {place}\n      {len(TEXT.encode()):,} bytes, sha256 {one_file.sha256}\n" in text
        assert text.splitlines()[-1].startswith("Then: bench labels mtt ")

    def test_other_tasks_have_none(self, tmp_path):
        with pytest.raises(UserError, match="no per-label scores were published for demo_key"):
            fetch_published("demo_key", tmp_path)


def test_the_published_files_are_what_they_were(reference_data, tmp_path):
    """All 26 have their size and checksum, their labels are those of the cards, and parsing keeps all scores."""
    from tasks import registry

    shutil.copytree(reference_data / "annotations" / "pandora-results", tmp_path / FOLDER)
    with (reference_data / "paper" / "published_label_scores.csv").open(newline="", encoding="utf-8") as file:
        expected = [row for row in csv.DictReader(file) if row["value"]]
    count = 0
    for task in dict.fromkeys(file.task for file in FILES):
        card = registry.builtin_tasks()[task].card
        found = read_fetched(task, tmp_path)
        assert set(found) == {file.metric for file in files_of(task)}
        table = read_table(reference_data / "paper" / "published_label_scores.csv", task)
        for metric, published in found.items():
            assert list(published.labels) == list(MODELS.values())
            for model, own in published.labels.items():
                assert own.keys() == table[metric].labels[model].keys()
                assert np.allclose([*own.values()], [table[metric].labels[model][tag] for tag in own], atol=1e-12)
                if card.labels and len(card.labels) > 1:
                    assert set(own) <= set(card.labels)
                count += len(own) + (model in published.overall)
    assert count == len(expected)
    assert not read_fetched("mtt", replace_one(tmp_path))


def replace_one(home):
    (home / FOLDER / "MTT" / "map.csv").write_text("something else")
    return home
