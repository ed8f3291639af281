"""Embeddings that are given, from file to record, without any audio on the machine."""

import shutil

import numpy as np
import pytest

import benchmark
from benchmark.audio import reader
from benchmark.cli import run as commands
from benchmark.cli.main import main
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs import runner, select
from benchmark.jobs.options import Options
from results import store
from tasks import registry
from tests.benchmark.conftest import CLASSES, split_and_class

FAST = {"trials": 2, "seeds": 2, "workers": 0}


@pytest.fixture(autouse=True)
def no_audio_is_read(monkeypatch):
    def refuse(*_args):
        raise AssertionError("audio was read")

    monkeypatch.setattr(reader, "decode_one", refuse)


@pytest.fixture
def card(make_task):
    """A task whose audio is gone."""
    card = make_task()
    shutil.rmtree(card.parent / "audio")
    return card


@pytest.fixture
def write(tmp_path):
    """Return a function that writes embeddings which tell the labels, of all 60 tracks but some and beyond them."""

    def write(name="theirs.npz", without=(), beyond=(), shuffled=False, seed=0, scale=1.0):
        rng = np.random.default_rng(seed)
        ids = [one for one in [f"t{i:03d}" for i in range(60)] if one not in without]
        classes = [CLASSES.index(split_and_class(int(one[1:]))[1]) for one in ids]
        matrix = rng.normal(size=(len(ids), 8)) + 4 * np.eye(3, 8)[classes] * scale
        ids += beyond
        matrix = np.concatenate([matrix, np.full((len(beyond), 8), np.nan)])
        order = rng.permutation(len(ids)) if shuffled else np.arange(len(ids))
        np.savez(tmp_path / name, ids=np.array(ids)[order], embeddings=matrix[order].astype(np.float32))
        return f"emb:{tmp_path / name}"

    return write


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


class TestRun:
    def test_gives_a_record_that_says_what_is_not_known(self, write, card, places):
        record = benchmark.run(write(), card, **places, **FAST)
        assert record.scores.test["accuracy"].value > 0.5  # chance is a third
        assert record.floors.ridge["accuracy"].value > 0.9
        assert record.encoder.id == "theirs"
        assert record.encoder.dim == 8
        encoder, data = record.encoder, record.data
        assert (encoder.sample_rate, encoder.channels, encoder.window_seconds) == (None, None, None)
        assert (data.shared_audio, data.audio_seconds, data.clipped) == (None, None, None)
        assert data.counts == {"train": 30, "valid": 18, "test": 12}
        assert record.seconds.embed == 0
        path = places["results"] / "runs" / "tones" / "theirs.json"
        assert store.read(path) == record
        predictions = store.read_predictions(places["results"], record)
        assert predictions.num_rows == 30
        assert not (places["home"] / "embeddings").exists()

    def test_the_order_of_the_file_does_not_matter(self, write, card, places):
        plain = benchmark.run(write(), card, **places, **FAST)
        shuffled = benchmark.run(write(name="other.npz", shuffled=True), card, **places, **FAST)
        assert shuffled.data.fingerprint == plain.data.fingerprint
        assert shuffled.encoder.fingerprint != plain.encoder.fingerprint
        assert shuffled.scores == plain.scores

    def test_an_identical_run_keeps_the_record(self, write, card, places, monkeypatch):
        first = benchmark.run(write(), card, **places, **FAST)
        with monkeypatch.context() as patched:
            patched.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
            assert benchmark.run(write(), card, **places, **FAST) == first
        changed = benchmark.run(write(seed=1), card, **places, **FAST)
        assert changed.run_key != first.run_key
        assert changed.data.fingerprint != first.data.fingerprint

    def test_a_limit_takes_a_sample(self, write, card, places):
        record = benchmark.run(write(), card, **places, **FAST, limit=30)
        assert sum(record.data.counts.values()) == 30

    def test_with_audio_beside_them_only_encoders_need_it(self, write, card, places, bands):
        options, both = Options(**places, trials=1, seeds=1, workers=0), [bands, *resolve(write())]
        with pytest.raises(UserError, match=r"lacks \d+ of \d+ audio files, and --allow-missing is 0"):
            runner.run_many(both, registry.find(str(card)), options)
        assert runner.run_many(both[1:], registry.find(str(card)), options)[0].record.encoder.id == "theirs"


class TestIds:
    def test_surplus_ids_are_told_and_left_aside(self, write, card, places, capsys):
        arguments = [
            "--home",
            str(places["home"]),
            "--results",
            str(places["results"]),
            "--trials",
            "1",
            "--seeds",
            "1",
        ]
        with pytest.raises(SystemExit) as end:
            main(
                [
                    "run",
                    "--encoder-arg",
                    "name=named",
                    "-e",
                    write(beyond=["x1", "x2", "x3", "x4"]),
                    "-t",
                    str(card),
                    *arguments,
                ]
            )
        assert end.value.code == 0
        told = capsys.readouterr()
        assert "4 of its 64 ids are no tracks of tones and are left aside (x1, x2, x3, …)" in told.err.replace(
            "\n", " "
        )
        assert "left aside" not in told.out
        assert (places["results"] / "runs" / "tones" / "named.json").is_file()

    def test_missing_ids_are_named_and_refused(self, write, card, places):
        gone = ["t003", "t017"]
        with pytest.raises(
            UserError, match=r"no embedding of 2 of the 60 tracks of tones.*missing 2 .*:\n  t003\n  t017$"
        ):
            benchmark.run(write(without=gone), card, **places, **FAST)
        record = benchmark.run(write(without=gone), card, **places, **FAST, allow_missing=2)
        assert record.data.missing == gone
        assert record.data.allow_missing == 2
        assert sum(record.data.counts.values()) == 58

    def test_many_missing_ids_are_listed_in_a_file(self, write, card, places):
        gone = [f"t{i:03d}" for i in range(25)]
        with pytest.raises(
            UserError, match=r"  t019\n  … and 5 more: all are listed in .*missing-tones-theirs.npz.txt"
        ):
            benchmark.run(write(without=gone), card, **places, **FAST)
        assert (places["home"] / "missing-tones-theirs.npz.txt").read_text().split() == gone

    def test_a_split_without_any_is_refused(self, write, card, places):
        test = [f"t{i:03d}" for i in range(60) if (i // 3) % 5 == 4]
        with pytest.raises(UserError, match="has no track of test of tones: give every split an item"):
            benchmark.run(write(without=test), card, **places, **FAST, allow_missing=12)

    def test_ids_of_another_collection_are_shown_beside_the_tasks(self, tmp_path, card, places):
        np.savez(tmp_path / "x.npz", ids=np.arange(60), embeddings=np.random.default_rng(0).normal(size=(60, 4)))
        with pytest.raises(
            UserError, match=r"no id of .* is a track of tones: it has ids such as 0, 1, 2, and the task t000"
        ):
            benchmark.run(f"emb:{tmp_path}/x.npz", card, **places, **FAST, allow_missing=60)

    def test_unusable_rows_are_refused_before_any_probe_is_trained(self, tmp_path, write, card, places, monkeypatch):
        monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
        write()
        found = dict(np.load(tmp_path / "theirs.npz"))
        found["embeddings"][7] = np.nan
        np.savez(tmp_path / "theirs.npz", **found)
        with pytest.raises(UserError, match=r"are not finite.*:\n  t007$"):
            benchmark.run(f"emb:{tmp_path}/theirs.npz", card, **places, **FAST, allow_missing=60)


class TestCommands:
    def test_a_dry_run_reads_annotations_only(self, write, card, places, capsys):
        commands.run([write()], [str(card)], dry_run=True, **places, trials=1)
        assert "given" in capsys.readouterr().out
        assert not places["results"].exists()

    def test_there_is_nothing_to_embed(self, write, card, places):
        with pytest.raises(UserError, match="holds embeddings already, there is nothing to embed"):
            commands.embed([write()], [str(card)], home=places["home"])

    def test_options_are_for_them_too(self, write, card, places):
        record = benchmark.run(write(), card, **places, **FAST, encoder_args={"name": "musicnn"})
        assert record.encoder.id == "musicnn"


class TestRealTasks:
    """Random vectors for tasks whose annotations are there and whose audio is not."""

    @pytest.mark.parametrize(
        ("task", "where"),
        [("gtzan", "gtzan=annotations/music_dataset_split/GTZAN_split"), ("emo", "emomusic=annotations/jukemir")],
    )
    def test_annotations_are_enough(self, reference_data, tmp_path, places, task, where):
        collection, folder = where.split("=")
        roots = (f"{collection}={reference_data / folder}",)
        found = registry.find(task)[0]
        items = found.items(places["home"], data_roots=roots, audio=False)
        assert not any(path.exists() for path in items.audio)
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(len(items), 16)).astype(np.float32)
        np.save(tmp_path / "random.npy", vectors)
        (tmp_path / "random.ids.json").write_text(str(list(items.track_ids)).replace("'", '"'))
        record = benchmark.run(f"emb:{tmp_path}/random.npy", task, **places, trials=1, seeds=1, data_roots=roots)
        assert sum(record.data.counts.values()) == len(items)
        score = next(iter(record.scores.test.values())).value
        assert score < 0.25  # nothing is in these vectors
