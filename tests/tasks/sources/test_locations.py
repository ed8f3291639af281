"""Where collections lie, and what of them is there."""

import hashlib
import os
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from tasks import registry
from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.sources import fetch, locations
from tasks.sources.card import CollectionCard, Source, read_collection
from tasks.sources.fetch import fetch_annotations
from tasks.sources.locations import (
    CollectionLocation,
    as_named,
    empty_audio,
    folder_meant,
    items_of,
    known_collections,
    location_of,
    missing_audio,
    parse_data_roots,
    read_config,
    unreadable,
)

LINES = "a train\nb valid\nc test\n"
SOURCE = Source(
    file="splits/list.txt",
    what="annotations",
    urls=("http://127.0.0.1:9/list.txt",),
    sha256=hashlib.sha256(LINES.encode()).hexdigest(),
    size=len(LINES),
)
FAKE = CollectionCard(name="fake", title="Fake", audio="own it", licence="none", layout="fake/", sources=(SOURCE,))
CARD = TaskCard(
    id="fake_task", title="Fake", kind="multiclass", metrics=("accuracy",), collection="fake", labels=("x",),
    outputs=("label",),
)  # fmt: skip


def read(card, root):
    """What a collection's module does: annotations and audio below one root, whose layout it looks at."""
    lines = (root / "splits" / "list.txt").read_text().splitlines()
    folder = next((name for name in ("audio", "mp3") if (root / name).is_dir()), "audio")
    ids, splits = zip(*(line.split() for line in lines), strict=True)
    return Items(
        ids, splits, tuple(root / folder / f"{i}.wav" for i in ids), None, np.zeros(len(ids), np.int64), ("x",)
    )


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    module = types.ModuleType("tasks.collections.fake")
    module.items = read
    monkeypatch.setitem(sys.modules, "tasks.collections.fake", module)
    monkeypatch.setattr(locations, "known_collections", lambda: ("fake", "gtzan", "other"))


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def theirs(tmp_path):
    """A user's folder, with audio in one of the layouts that are read."""
    (tmp_path / "theirs" / "mp3").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (tmp_path / "theirs" / "mp3" / f"{name}.wav").write_text(name)
    return tmp_path / "theirs"


def annotate(root):
    (root / "splits").mkdir(parents=True, exist_ok=True)
    (root / "splits" / "list.txt").write_text(LINES)


def state(folder):
    return {str(p.relative_to(folder)): p.lstat().st_mtime_ns for p in folder.rglob("*")}


class TestPlaceOf:
    def test_the_home_is_the_default(self, home):
        place = location_of(FAKE, home)
        assert place.root == place.annotations == home / "collections" / "fake"
        assert not place.read_only
        assert place.origin == "data home"

    def test_the_configuration_file_comes_before_the_home(self, home, theirs):
        (home / "config.toml").write_text(f'[data]\nfake = "{theirs}"\n')
        place = location_of(FAKE, home)
        assert place.root == theirs
        assert place.read_only
        assert place.origin == str(home / "config.toml")

    def test_the_command_line_comes_before_the_configuration_file(self, home, theirs, tmp_path):
        (home / "config.toml").write_text(f'[data]\nfake = "{tmp_path / "gone"}"\n')
        place = location_of(FAKE, home, [f"fake={theirs}", f"gtzan={tmp_path}"])
        assert (place.root, place.read_only, place.origin) == (theirs, True, "--data-root")

    @pytest.mark.parametrize("what", ["is not there", "is not a folder"])
    def test_a_root_must_be_a_folder(self, home, tmp_path, what):
        root = tmp_path / "x"
        if what == "is not a folder":
            root.write_text("")
        with pytest.raises(TaskError, match=what):
            location_of(FAKE, home, [f"fake={root}"])

    def test_another_collections_folder_need_not_be_there(self, home, tmp_path):
        (home / "config.toml").write_text('[data]\nother = "/not/mounted"\n')
        assert location_of(FAKE, home).origin == "data home"

    def test_a_complete_folder_is_read_where_it_is(self, home, theirs):
        annotate(theirs)
        place = location_of(FAKE, home, [f"fake={theirs}"])
        assert place.annotations == place.root == theirs
        assert fetch_annotations(FAKE, place) == []
        assert items_of(CARD, FAKE, place).audio[0] == theirs / "mp3" / "a.wav"
        assert not list(home.iterdir())


class TestJoined:
    """A user's folder without annotations, which are kept elsewhere."""

    @pytest.fixture
    def place(self, home, theirs):
        place = location_of(FAKE, home, [f"fake={theirs}"])
        assert place.annotations.parent == home / "collections"
        annotate(place.annotations)
        return place

    def test_items_are_read_from_both_and_nothing_is_written(self, place, theirs):
        before = state(theirs)
        items = items_of(CARD, FAKE, place)
        assert missing_audio(items) == []
        assert [path.resolve() for path in items.audio] == [theirs / "mp3" / f"{i}.wav" for i in "abc"]
        assert state(theirs) == before

    def test_annotations_are_fetched_beside(self, place, theirs, monkeypatch):
        (place.annotations / "splits" / "list.txt").unlink()
        (theirs / "splits").mkdir()
        (theirs / "splits" / "list.txt").write_text("an old version")
        before = state(theirs)
        given = []

        def obtain(sources, root, **_):
            given.append((list(sources), root))
            target = root / "splits" / "list.txt"
            assert not target.parent.is_symlink()
            (root / "x").write_text(LINES)
            (root / "x").replace(target)
            return list(sources)

        monkeypatch.setattr(fetch, "obtain", obtain)
        assert fetch_annotations(FAKE, place) == [SOURCE]
        assert given == [([SOURCE], place.annotations)]
        assert items_of(CARD, FAKE, place).track_ids == ("a", "b", "c")
        assert state(theirs) == before

    def test_one_that_fails_does_not_stop_the_others(self, home, monkeypatch):
        names = ("splits/list.txt", "b.txt", "c.txt")
        sources = tuple(SOURCE.model_copy(update={"file": name}) for name in names)
        asked = []

        def obtain(wanted, root, **_):
            asked.append(wanted[0].file)
            if wanted[0].file == "b.txt":
                raise TaskError("b is gone", "ask for it")
            return list(wanted)

        monkeypatch.setattr(fetch, "obtain", obtain)
        card = FAKE.model_copy(update={"sources": sources})
        with pytest.raises(TaskError, match="b is gone"):
            fetch_annotations(card, location_of(card, home))
        assert asked == list(names)

    def test_a_link_in_the_place_of_a_folder_of_annotations_goes(self, place, theirs):
        (place.annotations / "splits" / "list.txt").unlink()
        (place.annotations / "splits").rmdir()
        annotate(theirs)
        (place.annotations / "splits").symlink_to(theirs / "splits")
        assert items_of(CARD, FAKE, place).track_ids == ("a", "b", "c")
        assert not (place.annotations / "splits").is_symlink()

    def test_what_users_move_is_found_again(self, place, theirs):
        items_of(CARD, FAKE, place)
        (theirs / "mp3").rename(theirs / "audio")
        items = items_of(CARD, FAKE, place)
        assert missing_audio(items) == []
        assert items.audio[0].parent.name == "audio"

    def test_two_folders_do_not_mix(self, home, place, tmp_path):
        (tmp_path / "second").mkdir()
        assert location_of(FAKE, home, [f"fake={tmp_path / 'second'}"]).annotations != place.annotations

    def test_without_annotations_the_reader_says_so(self, home, theirs):
        with pytest.raises(TaskError, match=r"cannot read .*list.txt: No such file"):
            items_of(CARD, FAKE, location_of(FAKE, home, [f"fake={theirs}"]))


class TestSeveralTasks:
    def test_only_what_the_named_tasks_need_is_fetched(self, home, monkeypatch):
        mine = SOURCE.model_copy(update={"file": "mine.txt", "tasks": ("fake_task",)})
        other = SOURCE.model_copy(update={"file": "other.txt", "tasks": ("other_task", "third_task")})
        card = FAKE.model_copy(update={"sources": (SOURCE, mine, other)})
        monkeypatch.setattr(fetch, "obtain", lambda sources, root, **_: list(sources))
        place = location_of(card, home)
        assert fetch_annotations(card, place) == [SOURCE, mine, other]
        assert fetch_annotations(card, place, tasks=["fake_task"]) == [SOURCE, mine]
        assert fetch_annotations(card, place, tasks=["third_task"]) == [SOURCE, other]


class TestNextCommand:
    """An error about annotations ends with the command that helps."""

    FETCH = "\nFetch what is missing with: bench data fetch fake_task"
    WHERE = "\nSee what to bring, and where it belongs, with: bench data where fake_task"

    @pytest.fixture
    def told(self, home, monkeypatch):
        """Return what the error says, for sources and what the reader complains of."""

        def told(complaint, *sources, data_roots=()):
            def refuse(card, root):
                raise TaskError(complaint, "bring it")

            monkeypatch.setattr(sys.modules["tasks.collections.fake"], "items", refuse)
            card = FAKE.model_copy(update={"sources": sources})
            with pytest.raises(TaskError) as error:
                items_of(CARD, card, location_of(card, home, data_roots))
            return str(error.value).removeprefix(f"{complaint}: bring it")

        return told

    def test_what_can_be_downloaded(self, told):
        assert told("no list", SOURCE) == self.FETCH

    def test_what_users_must_bring(self, told):
        own = Source(file="own.npy", what="annotations")
        assert told("no own.npy", SOURCE, own) == self.WHERE
        assert told("no splits/list.txt", SOURCE, own) == self.FETCH
        assert told("something is missing", SOURCE, own) == self.WHERE

    def test_what_other_tasks_need_does_not_count(self, told):
        own = Source(file="own.npy", what="annotations", tasks=("other_task",))
        assert told("something is missing", SOURCE, own) == self.FETCH

    def test_a_damaged_file(self, told, home):
        annotate(home / "collections" / "fake")
        path = home / "collections" / "fake" / "splits" / "list.txt"
        path.write_text(LINES.replace("a", "b"))
        assert told("line 1 is odd", SOURCE) == self.FETCH

    def test_files_that_are_right_are_not_fetched_again(self, told, home):
        annotate(home / "collections" / "fake")
        other = SOURCE.model_copy(update={"file": "optional.txt"})
        assert told("a bug of the reader", SOURCE) == ""
        assert told("splits/list.txt, line 3: odd", SOURCE, other) == ""

    def test_annotations_in_archives_of_audio(self, told, home, theirs):
        archive = Source(file="all.tar.gz", what="audio", urls=("http://127.0.0.1:9/all.tar.gz",), unpack=".")
        assert told("no examples.json", archive) == self.FETCH
        assert told("no examples.json", archive, data_roots=[f"fake={theirs}"]) == self.WHERE
        folder = Source(file="audio", what="audio")
        assert told("no list", SOURCE, folder) == self.FETCH

    def test_a_first_run(self, tmp_path):
        from tasks.registry import find

        for name, command in (("gs_key", "fetch"), ("nsynth_p", "fetch"), ("msds", "fetch"), ("msd50", "where")):
            with pytest.raises(TaskError, match=rf": bench data {command} {name}$"):
                find(name)[0].items(tmp_path)


class TestDataRoots:
    def test_folders_are_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", "/home/me")
        assert parse_data_roots(["gtzan_ff=/a"]) == {"gtzan": Path("/a")}  # a task names its collection
        with pytest.raises(TaskError, match="names the collection 'gtzan' twice: /a and /b"):
            parse_data_roots(["gtzan=/a", "gtzan_genre=/b"])
        assert parse_data_roots(["fake=x=y", " gtzan = ~/gtzan "]) == {
            "fake": tmp_path / "x=y",
            "gtzan": Path("/home/me/gtzan"),
        }

    @pytest.mark.parametrize("value", ["fake", "=x", "fake=", "", " = "])
    def test_another_form(self, value):
        with pytest.raises(TaskError, match="COLLECTION=DIR"):
            parse_data_roots([value])

    @pytest.mark.parametrize(("name", "hint"), [("gtzn", "did you mean 'gtzan'"), ("zzz", "name one of fake, gtzan")])
    def test_an_unknown_collection(self, name, hint):
        with pytest.raises(TaskError, match=hint):
            parse_data_roots([f"{name}=x"])

    def test_one_twice(self):
        with pytest.raises(TaskError, match="twice"):
            parse_data_roots(["fake=x", "fake=y"])


class TestConfig:
    def test_no_file(self, home):
        assert read_config(home) == {}

    def test_folders(self, home, monkeypatch):
        monkeypatch.setenv("HOME", "/home/me")
        (home / "config.toml").write_text('﻿[data]\nfake = "mine"\ngtzan = "~/g"\nother = "/o"\n', encoding="utf-8")
        assert read_config(home) == {"fake": home / "mine", "gtzan": Path("/home/me/g"), "other": Path("/o")}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ('\n[data]\ngtzn = "/x"', r"config\.toml, line 3: .*'gtzn': did you mean 'gtzan'\?"),
            ('[data]\n"fake" = 3', r"line 2: data\.fake is 3: write the path"),
            ('data.fake = ""', r"line 1: data\.fake is ''"),
            ("data = 3", "line 1: data is no table"),
            ('# comment\n[dta]\nfake = "x"', r"line 2: unknown key 'dta': did you mean 'data'\?"),
            ('[data.gtzan]\nroot = "x"', r"line 1: data\.gtzan is {'root': 'x'}"),
            ("[[data]]", "line 1: data is no table"),
            ("[data]\nfake = /x", r"not valid TOML: .*line 2"),
            ("colour = 1", r"line 1: unknown key 'colour': write \[data\]"),
        ],
    )
    def test_mistakes(self, home, text, problem):
        (home / "config.toml").write_text(text)
        with pytest.raises(TaskError, match=problem):
            read_config(home)

    def test_another_encoding(self, home):
        (home / "config.toml").write_bytes('[data]\nfake = "\xfc"'.encode("latin-1"))
        with pytest.raises(TaskError, match=r"is not UTF-8 text .* in line 2"):
            read_config(home)

    def test_a_folder_in_its_place(self, home):
        (home / "config.toml").mkdir()
        with pytest.raises(TaskError, match="cannot read"):
            read_config(home)


def make_items(paths):
    n = len(paths)
    return Items(
        tuple(map(str, range(n))), ("train",) * n, tuple(map(Path, paths)), None, np.zeros(n, np.int64), ("x",)
    )


class TestAudio:
    def test_missing_and_empty(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "b" / "folder.wav").mkdir(parents=True)
        (tmp_path / "a" / "here.wav").write_text("x")
        (tmp_path / "a" / "empty.wav").write_text("")
        (tmp_path / "b" / "link.wav").symlink_to(tmp_path / "a" / "here.wav")
        (tmp_path / "b" / "broken.wav").symlink_to(tmp_path / "a" / "gone.wav")
        names = ["a/gone", "a/here", "b/link", "b/broken", "b/folder", "c/gone", "a/empty", "a/here"]
        items = make_items([tmp_path / f"{name}.wav" for name in names])
        assert missing_audio(items) == [0, 3, 4, 5]
        assert empty_audio(items) == [6]

    def test_relative_paths(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("x.wav").write_text("x")
        assert missing_audio(make_items(["x.wav", "y.wav"])) == [1]

    def test_many_files_cost_a_look_at_each_folder(self, tmp_path, monkeypatch):
        for i in range(3000):
            path = tmp_path / f"{i % 30}" / f"{i}.wav"
            path.parent.mkdir(exist_ok=True)
            path.touch()
        items = make_items([tmp_path / f"{i % 30}" / f"{i}.wav" for i in range(3000)])
        looks, real = [], os.scandir
        monkeypatch.setattr(os, "scandir", lambda folder: looks.append(folder) or real(folder))
        start = time.perf_counter()
        assert missing_audio(items) == []
        assert len(looks) == 30
        assert time.perf_counter() - start < 5


def test_known_collections_are_those_with_a_card(monkeypatch):
    names = known_collections()
    assert names == tuple(sorted(names))
    assert {"gtzan", "nsynth", "mtt"} <= set(names)
    assert "demo" not in names


class TestOtherFolders:
    """A root that is named a level too deep or too high, or that may not be read."""

    def items(self, root, *names):
        return make_items([root / name for name in names])

    def test_missing_audio_is_named_below_the_users_folder(self, home, tmp_path):
        theirs = tmp_path / "theirs"
        (theirs / "audio").mkdir(parents=True)
        joined = home / "collections" / "fake-1"
        joined.mkdir(parents=True)
        (joined / "audio").symlink_to(theirs / "audio")
        place = CollectionLocation("fake", theirs, joined, True, "--data-root")
        assert as_named([joined / "audio" / "a.wav", joined / "genres" / "b.wav"], place) == [
            theirs / "audio" / "a.wav", theirs / "genres" / "b.wav",
        ]  # fmt: skip

    def test_the_folder_that_was_meant_is_named_with_the_option(self, tmp_path):
        (tmp_path / "set" / "audio").mkdir(parents=True)
        (tmp_path / "set" / "audio" / "a.wav").touch()
        for named in (tmp_path, tmp_path / "set" / "audio"):
            place = CollectionLocation("fake", named, named, True, "--data-root")
            items = self.items(named, "audio/a.wav", "audio/b.wav")
            assert folder_meant(items, [0, 1], place) == (
                f"Files of these names lie in {tmp_path / 'set'}: if that is meant, give --data-root "
                f"fake={tmp_path / 'set'}"
            )
        place = CollectionLocation("fake", tmp_path / "set", tmp_path / "set", True, "--data-root")
        assert folder_meant(self.items(tmp_path / "set", "audio/b.wav"), [0], place) == ""

    def test_folders_that_may_not_be_read_are_counted(self, tmp_path, monkeypatch):
        items = self.items(tmp_path, "shut/a.wav", "shut/b.wav", "open/c.wav")
        monkeypatch.setattr(
            "tasks.sources.locations.denied", lambda path: path.parent if path.parent.name == "shut" else None
        )
        assert unreadable(items, [0, 1, 2]) == {tmp_path / "shut": 2}

    def test_an_annotation_file_a_level_higher_or_lower_is_named(self, tmp_path):
        (tmp_path / "set" / "nsynth-train" / "audio").mkdir(parents=True)
        (tmp_path / "set" / "nsynth-train" / "examples.json").write_text("{}")
        task, nsynth = registry.builtin_tasks()["nsynth_p"], read_collection("nsynth")
        for named in (tmp_path, tmp_path / "set" / "nsynth-train"):
            with pytest.raises(TaskError, match=f"There is one in {tmp_path / 'set'}: .* --data-root nsynth="):
                items_of(task.card, nsynth, CollectionLocation("nsynth", named, named, True, "--data-root"))
