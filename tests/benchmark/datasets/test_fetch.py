"""Fetching the published collections where no address can be reached: every file, its place, and what it is to be."""

import json
import re

import pytest
import requests
import urllib3

from benchmark.datasets.data import by_collection
from benchmark.datasets.fetch import fetch
from benchmark.errors import UserError
from benchmark.system.progress import Terminal
from tasks import registry
from tasks.sources.card import read_collection
from tasks.sources.locations import known_collections
from tasks.sources.state import identity_of, marker_of, target_of

TASKS = {name: [task.card.id for task in tasks] for name, tasks in by_collection(registry.find("paper")).items()}


@pytest.fixture(autouse=True)
def no_connection(monkeypatch):
    def unreachable(url, **_):
        reason = urllib3.exceptions.NewConnectionError(None, "Connection refused")
        raise requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, url, reason))

    monkeypatch.setattr("requests.get", unreachable)


def refused(task, home, *arguments, **chosen):
    with pytest.raises(UserError) as error:
        list(fetch(task, home, Terminal(), *arguments, **chosen))
    return str(error.value)


def blocks(text):
    """Return what is said of each file, by its place."""
    _, sign, told = text.partition("Where there is no connection, bring these files")
    assert sign
    *lines, command = told.splitlines()[1:]
    parts = re.split(r"^  (?! )", "\n".join(lines) + "\n", flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part for part in parts}, command


def test_every_collection_is_here():
    assert sorted(TASKS) == sorted(known_collections())


@pytest.mark.parametrize(
    ("name", "yes"),
    [(name, yes) for name in TASKS for yes in (True, False) if yes or name != "nsynth"],  # of which all is large
)
def test_every_source_is_told_with_its_place_size_checksum_and_addresses(name, tmp_path, yes):
    told, command = blocks(refused(",".join(TASKS[name]), tmp_path, yes=yes))
    root = tmp_path / "collections" / name
    sources = read_collection(name).sources_of(TASKS[name])
    assert set(told) == {str(target_of(source, root)) for source in sources}
    for source in sources:
        text = told[str(target_of(source, root))]
        assert (f"{source.size:,} bytes" if source.size else "its size is not known") in text
        assert (source.sha256 or source.md5 or "no checksum is known") in text
        assert all(f"from {url}\n" in text for url in source.urls)
        assert source.urls or "cannot be downloaded" in text
        assert ("an archive, which that command unpacks" in text) == (source.unpack is not None)
    assert command == f"Then: bench data fetch {','.join(TASKS[name])} --home {tmp_path}"


@pytest.mark.parametrize("name", ["gtzan", "mtt", "nsynth", "emomusic"])
def test_what_is_unpacked_needs_not_be_brought(name, tmp_path):
    root = tmp_path / "collections" / name
    sources = read_collection(name).sources
    for source in sources:
        if source.unpack is not None:
            marker = marker_of(source, root)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps(identity_of(source)))
    if name == "nsynth":  # its annotations are in the archives: nothing is left to fetch
        assert "not complete yet" in next(iter(fetch("nsynth_i", tmp_path, Terminal()))).text
        return
    told, _ = blocks(refused(TASKS[name][0], tmp_path, yes=True))
    assert set(told) == {str(target_of(source, root)) for source in sources if source.unpack is None}


def test_with_audio_of_ones_own_only_annotations_are_to_be_brought(tmp_path):
    theirs = tmp_path / "my gtzan"
    theirs.mkdir()
    told, command = blocks(refused("gtzan", tmp_path / "home", [f"gtzan={theirs}"]))
    assert len(told) == 3
    assert all(place.startswith(str(tmp_path / "home" / "collections" / "gtzan-")) for place in told)
    assert f"--data-root 'gtzan={theirs}'" in command


def test_annotations_alone(tmp_path):
    told, command = blocks(refused("gtzan", tmp_path, annotations_only=True))
    assert not any("genres.tar.gz" in place for place in told)
    assert " --annotations" in command


def test_the_default_home_is_not_named(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    assert blocks(refused("gtzan", tmp_path))[1] == "Then: bench data fetch gtzan"
