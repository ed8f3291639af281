"""The data commands on a small collection that a server on the loopback has."""

import functools
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
import threading
import types
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile
import typer
import urllib3

from benchmark.cli.printing import show
from benchmark.datasets import checks, data
from benchmark.datasets import fetch as fetching
from benchmark.errors import UserError
from benchmark.system.progress import Terminal
from tasks import registry
from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.registry import Task
from tasks.sources import locations
from tasks.sources.card import CollectionCard, Source, read_collection
from tasks.sources.state import target_of

N = 30
LABELS = ("high", "low")


def lines():
    """Track, split, artist and label of each of the collection's tracks."""
    splits = ["train"] * 18 + ["valid"] * 6 + ["test"] * 6
    return [(f"t{i:02d}", split, f"artist{i // 2}", LABELS[i % 2]) for i, split in enumerate(splits)]


def read(card, root):
    try:
        rows = json.loads((root / "list.json").read_text())
    except FileNotFoundError:
        raise TaskError(f"no file at {root / 'list.json'}", "fetch it") from None
    ids, splits, artists, labels = zip(*rows, strict=True)
    targets = np.array([LABELS.index(label) for label in labels], np.int64)
    return Items(ids, splits, tuple(root / "audio" / f"{i}.wav" for i in ids), artists, targets, LABELS)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The files of the collection, as their address and the paths that were asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "list.json").write_text(json.dumps(lines()))
    with tarfile.open(folder / "audio.tar.gz", "w:gz") as file:
        for i, (name, *_) in enumerate(lines()):
            wave = io.BytesIO()
            soundfile.write(wave, np.random.default_rng(i).uniform(-0.5, 0.5, 800), 8000, format="WAV")
            info = tarfile.TarInfo(f"audio/{name}.wav")
            info.size = len(wave.getvalue())
            file.addfile(info, io.BytesIO(wave.getvalue()))
    handler = type("Handler", (Quiet,), {"asked": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield types.SimpleNamespace(base=f"http://127.0.0.1:{http.server_port}", folder=folder, asked=handler.asked)
    http.shutdown()
    http.server_close()
    thread.join(10)


class Fake:
    """The collection ``fake`` with one task, put among the built-in ones; its cards can be changed."""

    def __init__(self, server, monkeypatch, home):
        self.server, self.home, self.root = server, home, home / "collections" / "fake"
        sources = (self.source("list.json", "annotations"), self.source("audio.tar.gz", "audio", unpack="."))
        self.collection = CollectionCard(
            name="fake", title="Fake tones", audio="Downloaded.", licence="CC BY 4.0", layout="fake/\n└── audio/",
            sources=sources,
        )  # fmt: skip
        self.card = TaskCard(
            id="fake_task", title="Fake", kind="multiclass", metrics=("accuracy",), collection="fake", labels=LABELS,
            outputs=("tone",), sizes={"train": 18, "valid": 6, "test": 6},
        )  # fmt: skip
        module = types.ModuleType("tasks.collections.fake")
        module.items = read
        monkeypatch.setitem(sys.modules, "tasks.collections.fake", module)
        monkeypatch.setattr(locations, "known_collections", lambda: ("fake",))
        monkeypatch.setattr(data, "known_collections", lambda: ("fake",))
        monkeypatch.setattr(data, "read_collection", lambda name: self.collection)
        demo = registry.builtin_tasks()["demo_key"]
        monkeypatch.setattr(
            registry, "builtin_tasks", lambda: {"demo_key": demo, "fake_task": Task(self.card, demo.source)}
        )

    def source(self, name, what, **more):
        path = self.server.folder / name
        known = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        return Source(file=name, what=what, urls=(f"{self.server.base}/{name}",), **(known | more))

    def change(self, **more):
        self.collection = self.collection.model_copy(update=more)

    def change_audio(self, **more):
        first, audio = self.collection.sources
        self.change(sources=(first, audio.model_copy(update=more)))


@pytest.fixture
def fake(server, monkeypatch, tmp_path):
    return Fake(server, monkeypatch, tmp_path / "home")


@pytest.fixture
def fetched(fake, capsys):
    run(fetching.fetch, "fake_task", fake.home)
    capsys.readouterr()
    return fake


def unreachable(url, **_):
    """Answer as requests does where no host can be reached."""
    reason = urllib3.exceptions.NewConnectionError(None, "Connection refused")
    raise requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, url, reason))


def run(call, task, home, *arguments, **named):
    """Print what a command finds, as the command line does."""
    report = (Terminal(),) if call is fetching.fetch else ()
    problem = {
        data.verify: f"\n{{n}} problem(s). What belongs where: bench data where {task}",
        data.audit: "{n} error(s)",
    }
    show(call(task, home, *report, *arguments, **named), problem.get(call, ""))


def print_text(call, *arguments):
    print(call(*arguments))


def fails(call, *arguments, **named):
    with pytest.raises(typer.Exit) as caught:
        run(call, *arguments, **named)
    assert caught.value.exit_code == 1


class TestFetch:
    def test_everything(self, fake, capsys):
        run(fetching.fetch, "fake_task", fake.home)
        assert capsys.readouterr().out == "fake: annotations of 1 of 1 task(s), audio 30 of 30\n"
        assert sorted(path.name for path in fake.root.iterdir()) == [".unpacked", "audio", "list.json"]

    def test_twice_asks_the_server_once(self, fetched):
        run(fetching.fetch, "fake_task", fetched.home)
        assert fetched.server.asked == ["/list.json", "/audio.tar.gz"]

    @pytest.mark.parametrize("known", [True, False])
    def test_much_audio_needs_a_yes(self, fake, capsys, known, monkeypatch):
        monkeypatch.setattr(fetching, "ASK_ABOVE", 1000)
        if not known:
            fake.change_audio(size=None)
        with pytest.raises(UserError, match=r"repeat with --yes(.|\n)*(kB|unknown size), licence: CC BY 4\.0"):
            run(fetching.fetch, "fake_task", fake.home)
        assert "audio 0 of 30" in capsys.readouterr().out
        assert fake.server.asked == ["/list.json"]
        run(fetching.fetch, "fake_task", fake.home, yes=True)
        assert "audio 30 of 30" in capsys.readouterr().out

    def test_the_card_may_say_how_much_it_is(self, fake):
        fake.change_audio(size=None)
        fake.change(gigabytes=510.0)
        with pytest.raises(UserError, match=r"510\.0 GB"):
            run(fetching.fetch, "fake_task", fake.home)

    def test_annotations_only(self, fake, capsys):
        run(fetching.fetch, "fake_task", fake.home, annotations_only=True)
        assert "audio 0 of 30" in capsys.readouterr().out
        assert fake.server.asked == ["/list.json"]

    def test_audio_that_cannot_be_downloaded(self, fake, capsys):
        fake.change_audio(urls=(), note="Ask the authors.")
        run(fetching.fetch, "fake_task", fake.home)
        text = capsys.readouterr().out
        assert "audio.tar.gz cannot be downloaded. Ask the authors." in text
        assert "bench data where fake_task" in text

    def test_an_archive_that_a_user_put_there(self, fake, capsys):
        fake.change_audio(urls=())
        fake.root.mkdir(parents=True)
        (fake.root / "audio.tar.gz").write_bytes((fake.server.folder / "audio.tar.gz").read_bytes())
        run(fetching.fetch, "fake_task", fake.home, keep_archives=True)
        assert "audio 30 of 30" in capsys.readouterr().out
        assert (fake.root / "audio.tar.gz").exists()

    def test_what_was_lost_is_unpacked_again(self, fetched, capsys):
        (fetched.root / "audio" / "t03.wav").unlink()
        run(fetching.fetch, "fake_task", fetched.home)
        text = capsys.readouterr().out
        assert "audio 29 of 30" in text
        assert "--again" in text
        run(fetching.fetch, "fake_task", fetched.home, again=True)
        assert "audio 30 of 30" in capsys.readouterr().out

    def test_a_users_folder_is_never_written(self, fetched, tmp_path, capsys):
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        (fetched.root / "audio").rename(theirs / "audio")
        (theirs / "audio" / "t00.wav").unlink()
        theirs.chmod(0o500)
        before = sorted(theirs.rglob("*"))
        run(fetching.fetch, "fake_task", fetched.home, [f"fake={theirs}"])
        text = capsys.readouterr().out
        assert "audio 29 of 30" in text
        assert "yours and never written" in text
        assert sorted(theirs.rglob("*")) == before
        theirs.chmod(0o700)

    def test_too_little_room_for_all(self, fake, monkeypatch):
        from tasks.sources import disk

        room = (fake.server.folder / "audio.tar.gz").stat().st_size - 1
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=room))
        with pytest.raises(UserError, match="no room for fake"):
            run(fetching.fetch, "fake_task", fake.home)

    @pytest.mark.parametrize(("gone", "rest"), [("audio.tar.gz", "audio 0 of 30"), ("list.json", "not complete yet")])
    def test_a_source_that_fails_is_an_error_and_does_not_stop_the_rest(self, fake, gone, rest, capsys):
        (fake.server.folder / gone).unlink()
        with pytest.raises(UserError, match=f"cannot fetch {gone}: .*\n.*404"):
            run(fetching.fetch, "fake_task", fake.home)
        assert len(fake.server.asked) == 2
        assert rest in capsys.readouterr().out

    def test_files_that_were_brought_by_hand_need_no_connection(self, fake, monkeypatch, capsys):
        monkeypatch.setattr("requests.get", unreachable)
        with pytest.raises(UserError, match="no mirror gave it") as refused:
            run(fetching.fetch, "fake_task", fake.home)
        assert "Fetch what is missing with" not in capsys.readouterr().out  # which is what has just been tried
        text = str(refused.value)
        named = [line.strip() for line in text.splitlines() if line.startswith(f"  {fake.root}")]
        assert named == [str(fake.root / "list.json"), str(fake.root / "audio.tar.gz")]
        for path in map(Path, named):
            path.write_bytes((fake.server.folder / path.name).read_bytes())
        assert text.splitlines()[-1] == f"Then: bench data fetch fake_task --home {fake.home}"
        run(fetching.fetch, "fake_task", fake.home)
        assert "audio 30 of 30" in capsys.readouterr().out
        assert fake.server.asked == []

    def test_much_audio_that_was_brought_by_hand_needs_no_yes(self, fake, monkeypatch, capsys):
        monkeypatch.setattr(fetching, "ASK_ABOVE", 1000)
        fake.change_audio(size=None)
        fake.root.mkdir(parents=True)
        (fake.root / "audio.tar.gz").write_bytes((fake.server.folder / "audio.tar.gz").read_bytes())
        run(fetching.fetch, "fake_task", fake.home)
        assert "audio 30 of 30" in capsys.readouterr().out

    def test_a_large_archive_that_was_brought_by_hand_is_held_to_its_checksum(self, fake, monkeypatch):
        monkeypatch.setattr("tasks.sources.state.SMALL", 100)
        fake.change_audio(size=None, sha256="0" * 64)
        fake.root.mkdir(parents=True)
        (fake.root / "audio.tar.gz").write_bytes((fake.server.folder / "audio.tar.gz").read_bytes())
        with pytest.raises(UserError, match=r"audio\.tar\.gz: wrong sha256: expected 0{64}, found .*Remove it"):
            run(fetching.fetch, "fake_task", fake.home, yes=True)

    def test_nothing_to_fetch(self, fake, make_task, capsys):
        run(fetching.fetch, "demo_key", fake.home)
        run(fetching.fetch, str(make_task()), fake.home)
        text = capsys.readouterr().out
        assert "demo: rendered at first use, nothing to fetch" in text
        assert "your own, nothing to fetch" in text


class TestList:
    def row(self, fake, capsys, *arguments):
        print_text(data.format_collections, fake.home, *arguments)
        text = capsys.readouterr().out
        row = next(line for line in text.splitlines() if line.startswith("fake "))
        return text, re.split(r"\s{2,}", row)

    def test_nothing_here(self, fake, capsys):
        text, row = self.row(fake, capsys)
        assert row == ["fake", "fake_task", "0 of 1 here", "-", "?", "CC BY 4.0"]
        assert re.search(r"^demo +demo_key +- +rendered at first use", text, re.MULTILINE)
        assert not fake.server.asked

    def test_annotations_here(self, fake, capsys):
        fake.change(gigabytes=1.25)
        run(fetching.fetch, "fake_task", fake.home, annotations_only=True)
        capsys.readouterr()
        assert self.row(fake, capsys)[1][2:5] == ["here", "0 of 30", "1.25"]

    def test_all_here(self, fetched, capsys):
        assert self.row(fetched, capsys)[1][2:4] == ["here", "30 of 30"]

    def test_a_folder_that_is_gone_is_one_collections_fault(self, fake, capsys):
        fake.home.mkdir()
        (fake.home / "config.toml").write_text('[data]\nfake = "gone"')
        assert self.row(fake, capsys)[1][2] == "-"
        assert self.row(fake, capsys)[1][3].startswith("the folder")
        (fake.home / "config.toml").write_text('[data]\nfak = "x"')
        with pytest.raises(TaskError, match="did you mean"):
            print_text(data.format_collections, fake.home)

    def test_the_real_cards(self, tmp_path, capsys):
        print_text(data.format_collections, tmp_path)
        text = capsys.readouterr().out
        for name in locations.known_collections():
            if any(task.card.collection == name for task in registry.builtin_tasks().values()):
                assert re.search(rf"^{name} ", text, re.MULTILINE)


class TestVerify:
    def test_all_is_well(self, fetched, capsys):
        run(data.verify, "fake_task", fetched.home)
        text = capsys.readouterr().out
        assert "list.json: sha256 is right" in text
        assert "audio.tar.gz: here, unpacked" in text
        assert "fake_task: train 18, valid 6, test 6 as the card says; 2 label(s)" in text
        assert re.search(r"train +1st +t00 +high +\S+t00\.wav", text)
        assert re.search(r"train 10th +t09 +low ", text)
        assert re.search(r"test +last +t29 +low ", text)
        assert not re.search(r"valid 10th", text)
        assert "audio: 30 of 30 here" in text
        assert "decoded 20 file(s): all sound" in text
        assert "PROBLEM" not in text

    def test_the_sample_is_always_the_same_and_all_is_all(self, fetched, capsys, monkeypatch):
        seen = []
        sound = checks._Checked(seconds=1.0)
        monkeypatch.setattr(checks, "_checked", lambda path: seen.append(path.name) or sound)
        for _ in range(2):
            run(data.verify, "fake_task", fetched.home)
        assert sorted(seen[:20]) == sorted(seen[20:])
        run(data.verify, "fake_task", fetched.home, everything=True)
        assert len(set(seen[40:])) == 30

    def test_nothing_here(self, fake, capsys):
        fails(data.verify, "fake_task", fake.home)
        text = capsys.readouterr()
        assert "list.json: not here" in text.out
        assert "PROBLEM: fake_task: no file at" in text.out
        assert "1 problem(s)" in text.err

    def test_only_annotations(self, fake, capsys):
        run(fetching.fetch, "fake_task", fake.home, annotations_only=True)
        capsys.readouterr()
        run(data.verify, "fake_task", fake.home, annotations_only=True)
        text = capsys.readouterr().out
        assert "list.json: sha256 is right" in text
        assert "fake_task: train 18, valid 6, test 6 as the card says" in text
        assert re.search(r"test +last +t29 +low ", text)
        assert "audio: not looked at" in text
        assert "audio.tar.gz" not in text
        assert "decoded" not in text
        (fake.root / "list.json").write_text(json.dumps(lines()[:-1]))
        fails(data.verify, "fake_task", fake.home, annotations_only=True)
        assert "PROBLEM: the card says train 18, valid 6, test 6" in capsys.readouterr().out

    def test_only_annotations_and_all_audio_are_at_odds(self, fake):
        with pytest.raises(UserError, match=r"--all is about audio.*give one of them"):
            run(data.verify, "fake_task", fake.home, everything=True, annotations_only=True)

    def test_where_there_is_no_audio_nothing_is_called_sound(self, fake, capsys):
        run(fetching.fetch, "fake_task", fake.home, annotations_only=True)
        fails(data.verify, "fake_task", fake.home)
        text = capsys.readouterr().out
        assert "audio: 0 of 30 here" in text
        assert "no audio file was decoded" in text
        assert "sound" not in text

    def test_a_damaged_annotation(self, fetched, capsys):
        path = fetched.root / "list.json"
        path.write_text(path.read_text().replace("artist1", "artistX"))
        fails(data.verify, "fake_task", fetched.home)
        assert re.search(r"PROBLEM: \S+list\.json: wrong sha256: expected \w+, found", capsys.readouterr().out)

    def test_missing_empty_and_damaged_audio(self, fetched, capsys):
        audio = fetched.root / "audio"
        (audio / "t00.wav").unlink()
        (audio / "t01.wav").write_bytes(b"")
        (audio / "t02.wav").write_bytes((audio / "t02.wav").read_bytes()[:500])
        (audio / "t03.wav").write_text("<html>")
        fails(data.verify, "fake_task", fetched.home, everything=True)
        text = capsys.readouterr()
        assert "audio: 29 of 30 here" in text.out
        assert re.search(r"PROBLEM: 1 audio file\(s\) are missing:\n +\S+t00\.wav", text.out)
        assert re.search(r"PROBLEM: 1 audio file\(s\) are empty \(0 bytes\):\n +\S+t01\.wav", text.out)
        assert re.search(r"PROBLEM: \S+t02\.wav: its data chunk", text.out)
        assert re.search(r"PROBLEM: \S+t03\.wav: it is a web page", text.out)
        assert "decoded 28 file(s): 2 damaged" in text.out
        assert "4 problem(s)" in text.err

    def test_counts_and_labels_that_are_not_the_cards(self, fetched, capsys):
        fetched.card = fetched.card.model_copy(update={"sizes": {"train": 17}, "labels": ("low", "high")})
        fails(data.verify, "fake_task", fetched.home)
        text = capsys.readouterr().out
        assert "PROBLEM: the card says train 17" in text
        assert "PROBLEM: the labels are not the card's" in text

    def test_another_form_of_the_annotations_is_no_problem(self, fetched, capsys):
        first, audio = fetched.collection.sources
        fetched.change(sources=(first.model_copy(update={"file": "other.json"}), audio))
        run(data.verify, "fake_task", fetched.home)
        assert "other.json: not here" in capsys.readouterr().out

    def test_a_users_folder(self, fetched, tmp_path, capsys):
        (tmp_path / "theirs").mkdir()
        (fetched.root / "audio").rename(tmp_path / "theirs" / "audio")
        with pytest.raises(typer.Exit):
            run(data.verify, "fake_task", fetched.home, [f"fake={tmp_path / 'theirs'}"])
        run(fetching.fetch, "fake_task", fetched.home, [f"fake={tmp_path / 'theirs'}"])
        run(data.verify, "fake_task", fetched.home, [f"fake={tmp_path / 'theirs'}"])
        assert "named by --data-root" in capsys.readouterr().out

    def test_ones_own_card(self, make_task, tmp_path, capsys):
        run(data.verify, str(make_task()), tmp_path)
        assert "decoded 60 file(s): all sound" in capsys.readouterr().out

    def test_many_of_ones_own_are_sampled_and_that_is_told(self, make_task, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(data, "DECODED_OF_OWN", 59)
        run(data.verify, str(make_task()), tmp_path)
        assert "decoded 20 file(s): all sound (of 60: --all decodes them all)" in capsys.readouterr().out

    def test_the_demo(self, demo_home, capsys):
        run(data.verify, "demo", demo_home)
        text = capsys.readouterr().out
        assert "demo_emotion: train 360, valid 120, test 120 as the card says" in text
        assert re.search(r"train +1st +song\d+_\d +valence", text)


class TestSeveralTasks:
    """A collection whose tasks need different files."""

    @pytest.fixture
    def two(self, fake):
        for name in ("mine.txt", "other.txt"):
            (fake.server.folder / name).write_text(name)
        mine, other = (
            fake.source(name, "annotations", tasks=(task,))
            for name, task in (("mine.txt", "fake_task"), ("other.txt", "other_task"))
        )
        spare = Source(file="spare.tar", what="audio", tasks=("other_task",), note="Ask for spare.")
        fake.change(sources=(*fake.collection.sources, mine, other, spare))
        return fake

    def test_only_what_the_task_needs_is_fetched_and_told(self, two, capsys):
        run(fetching.fetch, "fake_task", two.home)
        assert sorted(two.server.asked) == ["/audio.tar.gz", "/list.json", "/mine.txt"]
        for look in (data.verify, data.where):
            (run if look is data.verify else print_text)(look, "fake_task", two.home)
            text = capsys.readouterr().out
            assert "mine.txt" in text
            assert "other.txt" not in text
            assert "spare" not in text
        (two.root / "audio" / "t00.wav").unlink()
        run(fetching.fetch, "fake_task", two.home)
        assert "spare" not in capsys.readouterr().out

    def test_the_list_counts_what_the_tasks_need(self, two, capsys):
        print_text(data.format_collections, two.home)
        assert re.search(r"fake_task +0 of 2 here", capsys.readouterr().out)

    def test_mumu(self, tmp_path, capsys):
        fails(data.verify, "mumu", tmp_path)
        text = capsys.readouterr().out
        files = re.findall(r"^  (\S+): not here", text, re.MULTILINE)
        assert [name for name in files if not name.startswith("mumu/")] == [
            "MSD_id_to_7D_id.pkl",
            "7D_id_to_path.pkl",
            "audio",
        ]
        assert len(files) == 11
        assert "See what to bring, and where it belongs, with: bench data where mumu" in text


@pytest.mark.parametrize("name", ["mtt", "gtzan", "emo", "gs_key", "jam_50", "jam_all", "jam_mt"])
def test_known_leaks_are_documented(reference_data, tmp_path, name, capsys):
    """The audit of the real annotations finds what the cards say, to the number."""
    [task] = registry.find(name)
    collection = read_collection(task.collection)
    root = tmp_path / "collections" / collection.name
    for source in collection.sources_of([name]):
        if source.what == "annotations":
            named = (reference_data / "annotations").rglob(source.file.rpartition("/")[2])
            stored = next(path for path in named if hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256)
            target_of(source, root).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(stored, target_of(source, root))
    run(data.verify, name, tmp_path, annotations_only=True)
    run(data.audit, name, tmp_path)
    text = capsys.readouterr().out
    assert "ERROR" not in text
    assert text.count("(documented)") == len(task.card.documented)


class TestWhere:
    def test_all_that_one_needs(self, fake, capsys):
        print_text(data.where, "fake_task", fake.home)
        text = capsys.readouterr().out
        for part in (
            f"Its folder, named by data home: {fake.root}",
            "fake/\n└── audio/",
            "Licence: CC BY 4.0",
            "list.json (annotations): not here",
            f"{fake.server.base}/audio.tar.gz",
            f'in {fake.home / "config.toml"}\n\n[data]\nfake = "/path/to/fake"',
            "--data-root fake=/path/to/fake",
        ):
            assert part in text

    def test_the_line_works(self, fake, tmp_path, capsys):
        (tmp_path / "theirs").mkdir()
        fake.home.mkdir()
        (fake.home / "config.toml").write_text(f'[data]\nfake = "{tmp_path / "theirs"}"\n')
        print_text(data.where, "fake_task", fake.home)
        text = capsys.readouterr().out
        assert f"named by {fake.home / 'config.toml'}: {tmp_path / 'theirs'}" in text
        assert "It lacks annotations" in text

    def test_others(self, fake, make_task, capsys):
        print_text(data.where, "demo_key", fake.home)
        card = make_task()
        print_text(data.where, str(card), fake.home)
        text = capsys.readouterr().out
        assert "demo: rendered at first use, below" in text
        assert f"its manifest is {card.parent / 'manifest.csv'}" in text


class TestAudit:
    def test_sound(self, fetched, capsys):
        run(data.audit, "fake_task", fetched.home)
        text = capsys.readouterr().out
        assert "fake_task: train 18, valid 6, test 6; 15 groups, 2 label(s)" in text
        assert "nothing is shared between splits; --content compares" in text
        assert re.search(r"high +50\.00% +50\.00% +50\.00%", text)

    def leak(self, fake):
        rows = [list(row) for row in lines()]
        rows[-1][2] = "artist0"
        (fake.server.folder / "list.json").write_text(json.dumps(rows))
        fake.change(sources=(fake.source("list.json", "annotations"), fake.collection.sources[1]))
        run(fetching.fetch, "fake_task", fake.home)

    def test_a_leak(self, fake, capsys):
        self.leak(fake)
        fails(data.audit, "fake_task", fake.home)
        text = capsys.readouterr()
        assert "ERROR: 1 group(s) in both train and test (artist0): an undocumented leak" in text.out
        assert "1 error(s)" in text.err

    def test_the_same_audio_under_two_names(self, fetched, capsys):
        audio = fetched.root / "audio"
        (audio / "t29.wav").write_bytes((audio / "t00.wav").read_bytes())
        run(data.audit, "fake_task", fetched.home)
        fails(data.audit, "fake_task", fetched.home, content=True)
        assert "ERROR: 1 audio content(s) under different files in both train and test (t00=t29)" in (
            capsys.readouterr().out
        )

    def test_hashes_are_kept(self, fetched, capsys, monkeypatch):
        import benchmark.system.files

        run(data.audit, "fake_task", fetched.home, content=True)
        monkeypatch.setattr(benchmark.system.files, "content_hash", None)
        run(data.audit, "fake_task", fetched.home, content=True)
        (fetched.root / "audio" / "t00.wav").unlink()
        run(data.audit, "fake_task", fetched.home, content=True)
        assert "1 missing audio file(s) could not be compared" in capsys.readouterr().out

    def test_many_labels_are_shown_from_both_ends(self):
        from tasks.audit import Audit

        shares = {f"label{i:02d}": i / 100 for i in range(50)}
        text = data._prevalence(Audit({}, {}, dict.fromkeys(("train", "valid", "test"), shares), {}))
        assert "label49" in text
        assert "label00" in text
        assert "label25" not in text

    def test_regression(self, demo_home, capsys):
        run(data.audit, "demo_emotion", demo_home)
        assert "demo_emotion: train 360" in capsys.readouterr().out
