"""Some clips of the demo collection are the very ones of the whole."""

import csv

import pytest

from tasks.collections import demo
from tasks.collections.demo.collection import CLIPS, plan, render
from tasks.collections.demo.parts import annotate, prepare_some
from tasks.errors import TaskError

IDS = {clip.track_id for clip in plan()[:6:2]}


def test_the_manifest_names_all_and_audio_is_made_for_some(tmp_path):
    seen = []
    manifest = annotate(tmp_path)
    with manifest.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == CLIPS
    assert list(manifest.parent.glob("audio/*")) == []
    prepare_some(tmp_path, IDS, lambda done, total: seen.append((done, total)))
    assert {path.stem for path in manifest.parent.glob("audio/*")} == IDS
    assert seen == [(1, 3), (2, 3), (3, 3)]
    prepare_some(tmp_path, IDS, lambda done, total: pytest.fail("rendered again"))


def test_a_clip_has_the_bytes_that_it_has_in_the_whole(tmp_path, monkeypatch):
    prepare_some(tmp_path / "some", IDS)
    clips = [clip for clip in plan() if clip.track_id in IDS]
    monkeypatch.setattr("tasks.collections.demo.collection.plan", lambda: clips)
    whole = demo.prepare(tmp_path / "whole").parent
    some = annotate(tmp_path / "some").parent
    for clip in clips:
        path = clip.row()["path"]
        assert (some / path).read_bytes() == (whole / path).read_bytes()
    assert render(clips[0]).any()


def test_where_the_whole_is_there_it_is_taken(tmp_path):
    whole = tmp_path / "collections" / "demo-1" / "manifest.csv"
    whole.parent.mkdir(parents=True)
    whole.write_text("here")
    assert annotate(tmp_path) == whole


def test_a_home_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "collections").write_text("a file")
    with pytest.raises(TaskError, match="choose another home folder"):
        annotate(tmp_path)
