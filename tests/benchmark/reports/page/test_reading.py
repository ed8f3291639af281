"""Records of a report are read one by one, and each that is left out is named."""

import shutil

import pytest

from benchmark.reports.page.reading import read_sound
from results.record import RecordError


def names(sound):
    return [record.name for record in sound.together.records]


def test_a_results_folder_and_the_folders_inside_it_give_the_same(small_runs):
    whole = read_sound([], [small_runs])
    assert names(whole) == ["chroma", "logmel", "mfcc"]
    assert whole.problems == ()
    assert whole.without == {}
    for inside in (small_runs / "runs", small_runs / "runs" / "demo_key"):
        assert read_sound([inside], []).together.records == whole.together.records


def test_the_history_is_left_out(small_runs):
    folder = small_runs / "runs" / "demo_key"
    (folder / "history").mkdir()
    shutil.copy(folder / "mfcc.json", folder / "history" / "mfcc.0123456789ab.json")
    for source in (small_runs, folder):
        sound = read_sound([source], [])
        assert names(sound) == ["chroma", "logmel", "mfcc"]
        assert sound.problems == ()


def test_a_record_in_the_place_of_another_is_left_out(small_runs):
    folder = small_runs / "runs" / "demo_key"
    shutil.copy(folder / "mfcc.json", folder / "copy.json")
    sound = read_sound([], [small_runs])
    assert len(sound.problems) == 1
    assert "copy.json holds the record of mfcc on demo_key, which belongs in" in sound.problems[0]


def test_examples_give_what_no_other_folder_has(small_runs, tmp_path):
    own = tmp_path / "mine"
    shutil.copytree(small_runs, own)
    (own / "runs" / "demo_key" / "mfcc.json").unlink()
    sound = read_sound([], [own], small_runs)
    assert names(sound) == ["chroma", "logmel", "mfcc"]
    assert sound.together.examples == {("demo_key", "mfcc", None)}
    assert sound.together.folder_of(sound.together.records[2]) == small_runs.absolute()


def test_two_runs_of_one_place_are_told_and_the_first_is_taken(small_runs, tmp_path, change_record):
    other = tmp_path / "other"
    shutil.copytree(small_runs, other)
    change_record(other / "runs" / "demo_key" / "mfcc.json", lambda content: content.update(run_key="ab" * 32))
    sound = read_sound([], [small_runs, other])
    assert len(sound.together.records) == 3
    assert len(sound.problems) == 1
    assert "is left out: it is another run of mfcc on demo_key" in sound.problems[0]


def test_a_record_outside_of_a_results_folder_has_no_predictions(small_runs, tmp_path):
    shutil.copy(small_runs / "runs" / "demo_key" / "mfcc.json", tmp_path / "mfcc.json")
    sound = read_sound([tmp_path / "mfcc.json"], [])
    assert names(sound) == ["mfcc"]
    assert "are not beside the record" in sound.without["demo_key", "mfcc", None]


def test_own_results_that_are_not_there_yet_are_no_problem_beside_examples(small_runs, tmp_path):
    sound = read_sound([], [tmp_path / "my-results"], small_runs)
    assert len(sound.together.records) == 3
    assert sound.problems == ()


def test_what_is_named_and_is_no_record_is_refused(small_runs):
    folder = small_runs / "runs" / "demo_key"
    predictions = next(folder.glob("mfcc.*.parquet"))
    for path, words in ((folder / "nobody.json", "is not there"), (predictions, "is not the JSON file of a record")):
        with pytest.raises(RecordError, match=words):
            read_sound([path], [])
