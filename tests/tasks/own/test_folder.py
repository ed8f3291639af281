"""Folders of labelled audio."""

import pytest

from tasks.errors import TaskError
from tasks.own.folder import read_folder


@pytest.fixture
def folder(tmp_path):
    def folder(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return folder


def test_sub_folders_are_labels(folder):
    found = read_folder(
        folder("hip hop/a b.wav", "Müsik/x.MP3", "hip hop/deep/er/c.flac", "hip hop/cover.jpg", ".git/x.wav")
    )
    assert [(file.name, file.label, file.split, file.below) for file in found.files] == [
        ("Müsik/x.MP3", "Müsik", "", ""),
        ("hip hop/a b.wav", "hip hop", "", ""),
        ("hip hop/deep/er/c.flac", "hip hop", "", "deep/er"),
    ]
    assert "--by folder" in found.told["group"]
    assert any("1 file(s) are no audio by their names and are passed over: 1 .jpg" in note for note in found.notes)
    assert any("fewer than three files" in note for note in found.notes)


def test_folders_of_splits_stand_above_labels(folder):
    found = read_folder(folder("Train/a/1.wav", "validation/a/2.wav", "test/b/3.wav", "Train/b/4.wav"))
    assert {file.name: (file.split, file.label) for file in found.files} == {
        "Train/a/1.wav": ("train", "a"),
        "Train/b/4.wav": ("train", "b"),
        "test/b/3.wav": ("test", "b"),
        "validation/a/2.wav": ("valid", "a"),
    }


def test_a_label_may_be_called_train(folder):
    found = read_folder(folder("train/1.wav", "bus/2.wav", "car/3.wav"))
    assert sorted({file.label for file in found.files}) == ["bus", "car", "train"]
    assert {file.split for file in found.files} == {""}


def test_labels_may_be_numbers(folder):
    assert [file.label for file in read_folder(folder("0/a.wav", "10/b.wav")).files] == ["0", "10"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["notes.txt"], "no audio file lies in"),
        (["a/notes.txt", "a/labels.csv"], "if they are in that: bench tasks new '{folder}/a/labels.csv'"),
        (["1.wav", "2.wav"], "labels are the names of sub-folders"),
        (["1.wav", "t.csv"], "bench tasks new '{folder}/t.csv'"),
        (["a/1.wav", "a/2.wav"], "have the label 'a': a task needs two at least"),
        (["train/a/1.wav", "test/b/2.wav", "extra/c/3.wav"], "the folders test, train, which are splits, beside extra"),
        (["train/1.wav", "test/2.wav"], "lie in the folders of the splits itself"),
        (["a/1.wav", "b/2.wav", "3.wav", "4.wav"], "3.wav, 4.wav. Move each into a folder of labels, or leave"),
        (["train/a/1.wav", "test/b/2.wav", "test/3.wav"], "--allow-unlabelled 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_what_to_do(folder, names, words):
    where = folder(*names)
    with pytest.raises(TaskError) as error:
        read_folder(where)
    assert words.replace("{folder}", str(where)) in str(error.value)


def test_files_without_a_label_are_left_out_only_where_that_is_allowed(folder):
    where = folder("a/1.wav", "b/2.wav", "3.wav", "4.wav")
    with pytest.raises(TaskError, match="--allow-unlabelled 2"):
        read_folder(where, allow_unlabelled=1)
    found = read_folder(where, allow_unlabelled=2)
    assert len(found.files) == 2
    assert any(
        "2 audio file(s) without a label are left out, as you allow: 3.wav, 4.wav" in note for note in found.notes
    )
