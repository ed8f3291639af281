import pytest

from tasks.errors import TaskError
from tasks.registry import builtin_tasks
from tasks.sources.card import CollectionCard, Source, read_collection
from tasks.sources.locations import known_collections


def source(file, *tasks):
    return Source(file=file, what="annotations", tasks=tasks)


def files(card, *tasks):
    return [source.file for source in card.sources_of(tasks)]


def test_sources_of_tasks():
    card = CollectionCard(
        name="c", title="C", audio="", licence="", layout="",
        sources=(source("all"), source("x", "x"), source("xy", "x", "y"), source("z", "z")),
    )  # fmt: skip
    assert files(card) == ["all", "x", "xy", "z"]
    assert files(card, "x") == ["all", "x", "xy"]
    assert files(card, "y") == ["all", "xy"]
    assert files(card, "y", "z") == ["all", "xy", "z"]
    assert files(card, "unknown") == ["all"]


@pytest.mark.parametrize("name", known_collections())
def test_sources_name_tasks_of_their_collection(name):
    own = {task.card.id for task in builtin_tasks().values() if task.card.collection == name}
    card = read_collection(name)
    for one in card.sources:
        assert set(one.tasks) <= own, one.file
    assert {one.file for task in own for one in card.sources_of([task])} == {one.file for one in card.sources}


def test_the_tasks_of_the_million_song_dataset_and_jamendo_do_not_share_their_annotations():
    msd = read_collection("msd")
    for name, folders in {"msds": {"lastfm", "choi"}, "mumu": {"mumu"}, "amm": {"amm"}, "msd100": {"msd100"}}.items():
        assert {file.split("/")[0] for file in files(msd, name) if "/" in file} == folders
        assert {"MSD_id_to_7D_id.pkl", "7D_id_to_path.pkl", "audio"} <= set(files(msd, name))
    jamendo = read_collection("jamendo")
    tables = {name: {file.rpartition("/")[2].partition("-")[0] for file in files(jamendo, name)} for name in
              ("jam_50", "jam_all", "jam_mt")}  # fmt: skip
    assert tables == {
        "jam_50": {"autotagging_top50tags", "audio"},
        "jam_all": {"autotagging", "audio"},
        "jam_mt": {"autotagging_moodtheme", "audio"},
    }


def test_an_unknown_collection():
    with pytest.raises(TaskError, match="no collection 'nowhere'"):
        read_collection("nowhere")


@pytest.mark.parametrize("url", ["ftp://x.org/y", "doi:10.5281/zenodo.1/y", "file:///etc/passwd", "x.org/y", ""])
def test_an_address_that_is_not_of_the_web_is_refused(url):
    with pytest.raises(ValueError, match="urls"):
        Source(file="y", what="annotations", urls=(url,))
