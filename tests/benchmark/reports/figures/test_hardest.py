"""The hardest tracks: ordered by how wrong they are, with target, output and path where the data is here."""

import numpy as np
import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.figures.hardest import files_of, losses
from results import store
from results.predictions import Predictions, read_split


def test_the_worst_class_stands_first(board):
    figure = figures_of("hardest", board, tasks=["keys"], encoders=["fair"], items=5).figures[0]
    record = next(record for record in board.records if record.name == "fair" and record.task.id == "keys")
    held = read_split(board.folder_of(record), record)
    mean = np.mean([outputs.astype(np.float64) for outputs in held.outputs], axis=0)
    given = mean[np.arange(60), held.targets]
    wrong = np.flatnonzero(mean.argmax(axis=1) != held.targets)
    order = wrong[np.argsort(given[wrong], kind="stable")][:5]
    assert list(figure.rows.track) == [held.track_ids[i] for i in order]
    assert figure.rows["probability of the target"].tolist() == pytest.approx(given[order].tolist())
    assert figure.rows.target[0] == held.labels[held.targets[order[0]]]
    assert figure.rows.output[0].startswith(held.labels[mean[order[0]].argmax()])


def test_labels_and_numbers_are_ordered_by_their_loss():
    targets = np.array([[1, 0], [1, 1]], np.float32)
    outputs = np.array([[0.9, 0.1], [0.5, 0.5]], np.float32)
    loss, counted = losses("multilabel", Predictions(("a", "b"), None, targets, (outputs,), ("x", "y")))
    assert loss.tolist() == pytest.approx([-np.log(0.9), -np.log(0.5)])
    assert counted.all()
    numbers = np.array([[0.0], [2.0]], np.float32)
    loss, _ = losses("regression", Predictions(("a", "b"), None, numbers, (np.zeros((2, 1), np.float32),), ("x",)))
    assert loss.tolist() == [0.0, 2.0]  # two, in deviations of one


def test_when_all_is_right_that_is_said(results, board):
    record = next(record for record in board.records if record.name == "strong" and record.task.id == "keys")
    held = read_split(board.folder_of(record), record)
    mean = np.mean(held.outputs, axis=0)
    drawn = figures_of("hardest", board, tasks=["keys"], encoders=["strong"])
    wrong = int((mean.argmax(axis=1) != held.targets).sum())
    if wrong:
        assert len(drawn.figures[0].rows) == wrong
    else:
        assert "strong on keys: every test item is named rightly." in drawn.notes


def test_paths_are_those_of_files_that_are_here(board, tmp_path):
    drawn = figures_of("hardest", board, tasks=["keys"], home=tmp_path)
    assert drawn.figures[0].rows.path.isna().all()
    assert any(note.startswith("No paths of audio: the data of keys is not on this machine") for note in drawn.notes)


def test_paths_of_a_card_of_ones_own(results, tmp_path):
    folder = tmp_path / "own"
    (folder / "audio").mkdir(parents=True)
    rows = ["id,path,split,label"]
    for i, split in enumerate(("train", "train", "valid", "valid", "test", "test")):
        (folder / "audio" / f"{i}.wav").write_bytes(b"RIFF")
        rows.append(f"t{i},audio/{i}.wav,{split},{'ab'[i % 2]}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "card.toml").write_text(
        'id = "keys"\ntitle = "Keys"\nversion = 1\nkind = "multiclass"\nmetrics = ["accuracy"]\n'
        'manifest = "manifest.csv"\n[columns]\nid = "id"\naudio = "path"\nsplit = "split"\ntarget = "label"\n'
    )
    record = store.read(results / "runs" / "keys" / "fair.json")
    provenance = {"command": None, "encoder": "fair", "task": str(folder / "card.toml"), "version": "0", "commit": None}
    asked = type(record).model_validate(record.model_dump() | {"provenance": provenance})
    found = files_of(asked, tmp_path)
    assert sorted(path.name for path in found.values()) == [f"{i}.wav" for i in range(6)]
    (folder / "audio" / "0.wav").unlink()
    assert len(files_of(asked, tmp_path)) == 5
    assert files_of(record, tmp_path) == {}


def test_nothing_is_rendered_nor_written_for_a_picture(tmp_path, results):
    record = store.read(results / "runs" / "keys" / "fair.json")
    demo = record.model_copy(update={"task": record.task.model_copy(update={"id": "demo_key"})})
    assert files_of(demo, tmp_path / "home") == {}
    assert not (tmp_path / "home").exists()
