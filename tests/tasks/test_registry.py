import dataclasses
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tasks import registry
from tasks.card import Columns, TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.registry import COLLECTIONS, Task, builtin_tasks, collection_exists, collection_module, find, groups

CARD = """\
id = "mine"
title = "My notes"
kind = "multiclass"
metrics = ["accuracy"]
manifest = "data/manifest.csv"
columns = { id = "track_id", audio = "path", split = "split", target = "pitch" }
"""
MANIFEST = "track_id,path,split,pitch\na,a.wav,train,60\nb,a.wav,train,61\nc,a.wav,valid,60\nd,a.wav,test,61\n"
DEMO = ["demo_emotion", "demo_instrument", "demo_key", "demo_pitch", "demo_tags"]


def ids(names):
    return [task.card.id for task in find(names)]


@pytest.fixture
def mine(tmp_path):
    """Write a card with its data into a folder of its own, and return the card's path."""

    def mine(card=CARD, name="mine.toml", folder="home of mine"):
        place = tmp_path / folder
        (place / "data").mkdir(parents=True, exist_ok=True)
        (place / "data" / "a.wav").touch()
        (place / "data" / "manifest.csv").write_text(MANIFEST)
        (place / name).write_text(card)
        return place / name

    return mine


@pytest.fixture
def cards(monkeypatch):
    """Put four cards into the place of the built-in ones."""

    def card(task_id, *groups, aliases=()):
        columns = Columns(id="id", audio="path", split="split", target="label")
        return TaskCard(
            id=task_id, title=task_id, kind="multiclass", metrics=("accuracy",), columns=columns, collection="demo",
            groups=groups, aliases=aliases,
        )  # fmt: skip

    found = [
        card("gtzan", "paper", aliases=("genre", "gtzan_genre")),
        card("jam_50", "jamendo", "paper"),
        card("jam_mt", "jamendo", aliases=("jamendo_mood",)),
        card("mtt"),
    ]
    tasks = {card.id: Task(card, Path(f"/cards/{card.id}.toml")) for card in found}
    monkeypatch.setattr(registry, "builtin_tasks", lambda: tasks)
    return tasks


# the built-in tasks


def test_the_built_in_tasks_are_those_of_the_cards_in_order():
    assert list(builtin_tasks()) == sorted(builtin_tasks())
    assert set(DEMO) <= set(builtin_tasks())
    for task_id, task in builtin_tasks().items():
        assert task.card.id == task_id == task.source.stem
        assert collection_exists(task.card.collection)
        assert task.card.licence
        if task.card.counts_verified:
            assert task.card.sizes is not None
            assert task.card.sizes.keys() == {"train", "valid", "test"}


def test_no_built_in_name_stands_for_two_things_or_cannot_be_asked_for():
    names = [name for task in builtin_tasks().values() for name in (task.card.id, *task.card.aliases)] + list(groups())
    assert len(set(names)) == len(names)
    for name in names:
        assert name == name.lower().replace("-", "_") != "all"
        assert not set(name) & set("*?[,/")
        assert not name.endswith(".toml")


def test_every_collection_prepares_a_manifest_or_reads_its_own_annotations():
    for name in {task.card.collection for task in builtin_tasks().values()}:
        module = collection_module(name)
        assert callable(getattr(module, "prepare", None)) != callable(getattr(module, "items", None))


def test_groups_hold_the_ids_of_their_tasks():
    assert groups()["demo"] == tuple(DEMO)
    for group, task_ids in groups().items():
        assert list(task_ids) == [name for name, task in builtin_tasks().items() if group in task.card.groups]


# find


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("gtzan", ["gtzan"]),
        ("GTZAN", ["gtzan"]),
        ("Jam-50", ["jam_50"]),
        ("genre", ["gtzan"]),
        ("GTZAN-genre", ["gtzan"]),
        ("paper", ["gtzan", "jam_50"]),
        ("Jamendo", ["jam_50", "jam_mt"]),
        ("all", ["gtzan", "jam_50", "jam_mt", "mtt"]),
        ("*", ["gtzan", "jam_50", "jam_mt", "mtt"]),
        ("jam_*", ["jam_50", "jam_mt"]),
        ("JAM-*", ["jam_50", "jam_mt"]),
        ("?t*", ["gtzan", "mtt"]),
        ("?tt", ["mtt"]),
        ("[a-k]*", ["gtzan", "jam_50", "jam_mt"]),
        ("[!a-k]*", ["mtt"]),
        ("jam-[0-9]*", ["jam_50"]),
        ("mtt,gtzan", ["mtt", "gtzan"]),
        (" mtt , gtzan ,, ", ["mtt", "gtzan"]),
        ("mtt,mtt,MTT", ["mtt"]),
        ("jam_mt,jamendo,genre,paper,all", ["jam_mt", "jam_50", "gtzan", "mtt"]),
        (["mtt", "gtzan"], ["mtt", "gtzan"]),
        (["mtt,jamendo", "gtzan"], ["mtt", "jam_50", "jam_mt", "gtzan"]),
        ((name for name in ("mtt", "genre")), ["mtt", "gtzan"]),
    ],
)
def test_tasks_are_found_each_once_in_the_order_asked(cards, names, found):
    assert ids(names) == found


def test_a_built_in_task_is_found_by_itself():
    assert find("demo_pitch") == [builtin_tasks()["demo_pitch"]]
    assert ids("demo") == ids("demo_*") == DEMO
    assert ids("all") == list(builtin_tasks())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gtzn", "did you mean 'gtzan'"),
        ("jam50", "did you mean 'jam_50'"),
        ("GENRES", "did you mean 'genre'"),
        ("jamendos", "did you mean 'jamendo'"),
        ("xyzzy", "list them with 'bench tasks'"),
        ("z*", "list them with 'bench tasks'"),
        ("[", "list them with 'bench tasks'"),
        ("gtzan/card", "path of a card ends in .toml"),
    ],
)
def test_a_name_that_fits_nothing_is_refused_with_the_nearest(cards, name, hint):
    with pytest.raises(TaskError) as error:
        find(["mtt", name])
    assert f"no task, alias or group fits {name!r}" in str(error.value)
    assert hint in str(error.value)


@pytest.mark.parametrize("names", ["", " , ", [], ["", ","]])
def test_asking_for_nothing_is_refused(names):
    with pytest.raises(TaskError, match="no task was named: list them with 'bench tasks'"):
        find(names)


# cards by path


def test_a_card_is_found_by_its_path_from_anywhere(mine, monkeypatch, tmp_path):
    path = mine()
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(path), "mine.toml", "./data/../mine.toml", "~/home of mine/mine.toml"):
        (task,) = find(name)
        assert (task.card.id, task.source) == ("mine", path.resolve())
        assert task.manifest == (path.parent / "data" / "manifest.csv").resolve()


def test_a_card_by_path_belongs_to_the_folder_of_its_data_or_to_its_own_group(mine):
    (task,) = find(str(mine()))
    assert (task.collection, task.group) == ("data", "data")
    (task,) = find(str(mine(CARD + 'groups = ["notes", "more"]')))
    assert (task.collection, task.group) == ("data", "notes")


def test_paths_and_names_mix_in_the_order_asked(mine):
    path = str(mine())
    assert ids(f"demo_tags,{path},demo_key,{path}") == ["demo_tags", "mine", "demo_key"]


def test_a_card_of_a_built_in_collection_may_be_ones_own(mine):
    (task,) = find(str(mine(CARD.replace('manifest = "data/manifest.csv"', 'collection = "demo"'))))
    assert (task.collection, task.group) == ("demo", "demo")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nowhere", "write one of demo, emomusic"),
        ("gtzann", "did you mean 'gtzan'"),
        *(
            (name, "")
            for name in (
                "synthesis",
                "annotations",
                "mirdata_adapter",
                "safe_pickle",
                "__init__",
                "../x",
                "tags",
                "msd.tags",
            )
        ),
        ("mirdata_tinysol", ""),
    ],
)
def test_an_unknown_collection_is_refused(mine, name, hint):
    path = mine(CARD.replace('manifest = "data/manifest.csv"', f"collection = {json.dumps(name)}"))
    with pytest.raises(TaskError, match=rf"mine\.toml: unknown collection {re.escape(repr(name))}: .*{hint}"):
        find(str(path))
    with pytest.raises(TaskError, match="unknown collection"):
        collection_module(name)


def test_the_table_of_collections_is_that_of_the_readers():
    for name in COLLECTIONS:
        module = collection_module(name)
        assert hasattr(module, "items") != hasattr(module, "prepare")
    assert {task.collection for task in builtin_tasks().values()} == set(COLLECTIONS)


@pytest.mark.parametrize(
    "card",
    [
        'kind = "regression"\nmetrics = ["r2_tempo"]\noutputs = ["tempo"]\ncollection = "emomusic"',
        'kind = "multilabel"\nmetrics = ["map"]\noutputs = ["genre"]\ncollection = "gtzan"\nlabels = ["blues"]',
    ],
)
def test_a_collection_that_is_asked_for_what_it_does_not_have_is_refused(mine, tmp_path, card):
    (task,) = find(str(mine(f'id = "own"\ntitle = "Own"\n{card}\n')))
    place = tmp_path / "collections" / task.collection
    place.mkdir(parents=True)
    for number, split in enumerate(("train", "valid", "test")):
        (place / f"{split}_filtered.txt").write_text(f"blues/blues.0000{number}.wav\n")
    (place / "annotations").mkdir()
    (place / "annotations" / "songs_info.csv").write_text("song_id,Artist,Mediaeval 2013 set\n2,A,development\n")
    (place / "annotations" / "static_annotations.csv").write_text("song_id,mean_arousal,mean_valence\n2,3.1,3.0\n")
    with pytest.raises(TaskError, match=r"predicts 'tempo'|is of the kind 'multilabel', which 'gtzan' does not give"):
        task.items(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mirdata:tinysol", "not of the form mirdata:<loader>:<attribute>"),
        ("mirdata:", "not of the form"),
        ("mirdata::key", "not of the form"),
        ("mirdata:tinysol:pitch:more", "not of the form"),
        ("mirdata:nosuch:key", "mirdata has no loader 'nosuch'"),
        ("mirdata:tinysoul:pitch", "did you mean 'tinysol'"),
        ("mirdata:../x:key", "mirdata has no loader '../x'"),
        ("mirdata:tinysol:pitch", "no data for 'mirdata:tinysol:pitch' at"),
    ],
)
def test_the_name_of_a_mirdata_task_is_looked_at_before_its_folder(tmp_path, name, said):
    pytest.importorskip("mirdata")
    with pytest.raises(TaskError) as error:
        find(name, tmp_path)
    assert said in str(error.value)
    assert ("no data for" in str(error.value)) == ("no data for" in said)


def test_a_card_that_is_not_there_or_not_valid_is_refused(mine, tmp_path):
    with pytest.raises(TaskError, match=r"no task card at .*none\.toml"):
        find(str(tmp_path / "none.toml"))
    with pytest.raises(TaskError, match="lables: unknown key"):
        find(str(mine(CARD + "lables = []")))


def test_two_cards_with_one_id_are_refused(mine):
    one, two = mine(), mine(name="other.toml")
    with pytest.raises(TaskError, match=r"two cards have the id 'mine': .*mine\.toml and .*other\.toml"):
        find([str(one), str(two)])
    own = mine(CARD.replace('"mine"', '"demo_key"'))
    for names in (["demo_key", str(own)], [str(own), "demo"]):
        with pytest.raises(TaskError, match="'demo_key' is the id of a built-in task"):
            find(names)


def test_a_built_in_card_by_path_is_the_built_in_task():
    path = builtin_tasks()["demo_key"].source
    assert find(["demo_key", str(path)]) == find(str(path)) == find("demo_key")


# items


def test_the_items_of_a_users_card_are_those_of_its_manifest(mine, tmp_path):
    (task,) = find(str(mine()))
    items = task.items(tmp_path / "home")
    assert items.track_ids == ("a", "b", "c", "d")
    assert items.audio[0] == task.manifest.parent / "a.wav"
    assert not (tmp_path / "home").exists()


def test_the_items_of_a_collection_are_those_it_prepares(mine, tmp_path, monkeypatch):
    path, calls = mine(), []

    def prepare(home, progress):
        calls.append((home, progress))
        return path.parent / "data" / "manifest.csv"

    monkeypatch.setattr(registry, "collection_exists", lambda name: name == "fake" or collection_exists(name))
    monkeypatch.setattr(registry, "collection_module", lambda _: types.SimpleNamespace(prepare=prepare))
    text = CARD.replace('manifest = "data/manifest.csv"', 'collection = "fake"')
    (task,) = find(str(mine(text + "sizes = { train = 2, valid = 1, test = 1 }")))
    assert (task.collection, calls) == ("fake", [])
    assert task.items(tmp_path, print).track_ids == ("a", "b", "c", "d")
    assert calls == [(tmp_path, print)]
    (task,) = find(str(mine(text + "sizes = { train = 3, valid = 1, test = 1 }")))
    with pytest.raises(TaskError, match=r"'mine' should have {'train': 3.*gives {'train': 2.*remove that folder"):
        task.items(tmp_path)


@pytest.mark.parametrize("sizes", ["train = 2, valid = 1, test = 1", "test = 1", "train = 2"])
def test_sizes_that_are_right_are_accepted(mine, tmp_path, sizes):
    (task,) = find(str(mine(CARD + f"sizes = {{ {sizes} }}")))
    assert len(task.items(tmp_path)) == 4


@pytest.mark.parametrize("sizes", ["train = 2, valid = 1, test = 2", "test = 0", "train = 3"])
def test_sizes_that_are_wrong_are_refused_but_no_user_is_told_to_remove_his_data(mine, tmp_path, sizes):
    (task,) = find(str(mine(CARD + f"sizes = {{ {sizes} }}")))
    with pytest.raises(TaskError, match=r"gives {'train': 2, 'valid': 1, 'test': 1}: mend the manifest") as error:
        task.items(tmp_path)
    assert str(task.manifest) in str(error.value)
    assert "remove" not in str(error.value)


# fingerprint

CARD_CHANGES = {
    "id": "other",
    "version": 2,
    "kind": "multilabel",
    "metrics": ("weighted_accuracy",),
    "window_seconds": 3.0,
    "hop_seconds": 1.5,
}
ITEM_CHANGES = {
    "track_ids": ("a", "e"),
    "splits": ("train", "valid"),
    "groups": ("x", "z"),
    "targets": np.array([1, 1]),
    "labels": ("61", "60"),
}


@pytest.fixture
def task(mine):
    (task,) = find(str(mine(CARD.replace('["accuracy"]', '["accuracy", "weighted_accuracy"]'))))
    return task


ITEMS = Items(("a", "b"), ("train", "test"), (Path("a"), Path("b")), ("x", "y"), np.array([0, 1]), ("60", "61"))


def test_the_fingerprint_changes_with_whatever_decides_the_scores(task):
    changed = {key: task.card.model_copy(update={key: value}) for key, value in CARD_CHANGES.items()}
    changed["order of metrics"] = task.card.model_copy(update={"metrics": task.card.metrics[::-1]})
    found = {key: Task(card, task.source).fingerprint(ITEMS) for key, card in changed.items()}
    found |= {k: task.fingerprint(dataclasses.replace(ITEMS, **{k: value})) for k, value in ITEM_CHANGES.items()}
    found["fewer items"] = task.fingerprint(ITEMS.take(np.array([0])))
    found["no groups"] = task.fingerprint(dataclasses.replace(ITEMS, groups=None))
    assert task.fingerprint(ITEMS) not in found.values()
    assert len(set(found.values())) == len(found)


def test_the_fingerprint_does_not_change_with_what_is_only_said_about_the_task(task):
    card = task.card.model_copy(
        update={"title": "T", "description": "D", "licence": "L", "citation": "C", "groups": ("g",), "aliases": ("a",)}
    )
    assert Task(card, Path("/elsewhere/card.toml")).fingerprint(ITEMS) == task.fingerprint(ITEMS)


def test_the_fingerprint_does_not_change_when_the_data_moves_or_columns_are_renamed(mine, tmp_path):
    (here,) = find(str(mine()))
    (there,) = find(str(mine(CARD.replace('"pitch" }', '"note" }'), "other.toml", "another place")))
    there.manifest.write_text(MANIFEST.replace("pitch", "note"))
    first, second = here.items(tmp_path), there.items(tmp_path)
    assert first.audio != second.audio
    assert here.fingerprint(first) == there.fingerprint(second)
    there.manifest.write_text(MANIFEST.replace("pitch", "note").replace("61", "62"))
    assert here.fingerprint(first) != there.fingerprint(there.items(tmp_path))


# laziness

LOOK = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import tasks.registry
after_import = [name for name in opened if name.endswith(".toml")]
tasks.registry.builtin_tasks()
json.dump([after_import, [name for name in opened if name.endswith(".toml")], sorted(sys.modules)], sys.stdout)
"""


def test_importing_the_registry_reads_no_card_and_none_of_the_heavy_packages(tmp_path):
    run = subprocess.run([sys.executable, "-c", LOOK], cwd=tmp_path, capture_output=True, text=True, check=True)
    after_import, after_look, modules = json.loads(run.stdout)
    assert after_import == []
    assert len(after_look) == len(builtin_tasks())  # and each is read once
    heavy = {"torch", "pandas", "sklearn", "scipy", "pyarrow", "mir_eval", "soundfile", "optuna", "benchmark", "probes"}
    assert heavy & set(modules) == set()


def test_cards_are_read_once():
    assert builtin_tasks() is builtin_tasks()
