"""A recorded probe, trained once more from the stored embeddings."""

import json
import shutil

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.audio import pool
from benchmark.cli.main import main
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs import reproduce as work
from benchmark.jobs import runner
from benchmark.jobs.options import Options
from benchmark.reports.reproduction import format_reproduction
from benchmark.system.progress import Terminal
from results import store
from results.digests import content_digests
from tasks import registry

FAST = {"trials": 2, "seeds": 2, "workers": 0}
PLUGIN = """
import numpy as np
from benchmark import Encoder


class Bands(Encoder):
    name, version, sample_rate, dim, arrays = "mine", "1", 8000, 16, "numpy"
    window_seconds, hop_seconds, minimum_seconds = 1.0, 0.5, 0.1

    def embed(self, waveforms):
        power = np.abs(np.fft.rfft(waveforms[:, 0], n=8000)) ** 2
        bands = power[:, :4000].reshape(len(waveforms), 16, 250).sum(2)
        return np.log10(1e-6 + bands).astype(np.float32)
"""


def reproduce(path, **given):
    """Print a reproduction as the command does, and return its verdict."""
    reproduction = work.reproduce(path, report=Terminal(), **given)
    print(format_reproduction(reproduction))
    return reproduction.verdict


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


@pytest.fixture
def given(make_vectors, places):
    """Embeddings that are given, their task, and the file of a record of them."""
    encoder, card = make_vectors()
    benchmark.run(encoder, card, **places, **FAST)
    return encoder, str(card), places["results"] / "runs" / "vectors" / "given.json"


@pytest.fixture
def plugin(make_task, places, tmp_path):
    """An encoder in a file, a task with audio, and the file of a record of them."""
    file, card = tmp_path / "mine.py", make_task()
    file.write_text(PLUGIN)
    benchmark.run(str(file), card, **places, **FAST)
    return str(file), str(card), places["results"] / "runs" / "tones" / "mine.json"


def changed(path, change):
    """Write a record with a change beside it, and return its file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    del content["sha256"]
    content["sha256"] = content_digests(content)
    other = path.with_name("changed.json")
    other.write_text(json.dumps(content), encoding="utf-8")
    return other


class TestReproduced:
    def test_embeddings_that_are_given(self, given, places, capsys):
        encoder, card, path = given
        assert reproduce(path, home=places["home"], encoder=encoder, task=card) == "same"
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:2] for line in lines[2:4]] == [["valid", "accuracy"], ["test", "accuracy"]]
        assert [line.split()[-1] for line in lines[2:4]] == ["same"] * 2
        assert lines[-4:] == ["", "Alike: machine", "Alike: versions", "given on vectors, 2 seed(s): same"]

    def test_a_plugin_without_its_audio_being_read(self, plugin, places, monkeypatch):
        encoder, card, path = plugin
        monkeypatch.setattr(pool, "decode_one", lambda *a: pytest.fail("audio was read"))
        assert reproduce(path, home=places["home"], encoder=encoder, task=card) == "same"

    def test_a_point_of_a_learning_curve(self, make_vectors, places):
        encoder, card = make_vectors(items=150)
        options = Options(**places, **FAST, train_fraction=(0.5,), repeats=2)
        outcomes = runner.run_many(resolve(encoder), registry.find(str(card)), options)
        scores = [outcome.record.scores.test["accuracy"].seeds for outcome in outcomes]
        assert scores[0] != scores[1]
        for outcome in outcomes:
            assert reproduce(outcome.path, home=places["home"], encoder=encoder, task=str(card)) == "same"

    @pytest.mark.parametrize(("layer", "ending"), [("auto", ""), ("mix", "+layer-mix")])
    def test_a_layer(self, layered, make_task, places, monkeypatch, layer, ending):
        from benchmark.jobs import reproduce as module

        card = make_task()
        record = benchmark.run(layered, card, **places, **FAST, layer=layer)
        monkeypatch.setattr(module, "resolve", lambda name, home, precision: [layered] if name == "layered" else [])
        path = places["results"] / "runs" / "tones" / f"layered{ending}.json"
        assert store.read(path) == record
        assert reproduce(path, home=places["home"], task=str(card)) == "same"

    def test_a_limited_run_of_which_damaged_tracks_were_left_out(self, make_task, places, tmp_path):
        card, file = make_task(), tmp_path / "mine.py"
        file.write_text(PLUGIN)
        for track in range(0, 12, 3):
            (card.parent / "audio" / f"t{track:03d}.flac").write_bytes(b"")
        record = benchmark.run(str(file), card, **places, **FAST, limit=40, allow_damaged=4)
        assert record.data.damaged
        path = places["results"] / "runs" / "tones" / "mine.limit-40.json"
        assert reproduce(path, home=places["home"], encoder=str(file), task=str(card)) == "same"


class TestDifferences:
    def test_a_record_of_other_scores_is_not_reproduced(self, given, places, capsys):
        encoder, card, path = given

        def better(content):
            score = content["scores"]["test"]["accuracy"]
            score["seeds"] = [value - 0.5 for value in score["seeds"]]
            for bound in ("value", "low", "high"):
                score[bound] -= 0.5

        other = changed(path, better)
        assert reproduce(other, home=places["home"], encoder=encoder, task=card) == "other"
        out = capsys.readouterr().out
        assert out.endswith("given on vectors, 2 seed(s): other\n")
        with pytest.raises(SystemExit) as end:
            main(["reproduce", str(other), "-e", encoder, "-t", card, "--home", str(places["home"])])
        assert end.value.code == 1

    def test_another_seeds_luck_is_the_same_within_seeds(self, given, places, capsys):
        encoder, card, path = given

        def luckier(content):
            score = content["scores"]["test"]["accuracy"]
            score["seeds"] = [score["value"] - 0.04, score["value"] + 0.04]

        assert reproduce(changed(path, luckier), home=places["home"], encoder=encoder, task=card) == "same within seeds"
        assert capsys.readouterr().out.endswith("given on vectors, 2 seed(s): same within seeds\n")

    def test_other_settings_are_other_scores(self, given, places):
        encoder, card, path = given
        other = changed(path, lambda content: content["probe"].update(learning_rate=1e-6, steps=4))
        assert reproduce(other, home=places["home"], encoder=encoder, task=card) == "other"


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda content: content["task"].update(fingerprint="0" * 64), "the task is not that of the record"),
            (lambda content: content["encoder"].update(fingerprint="0" * 64), "the encoder is not that of the record"),
            (lambda content: content["encoder"].update(space="0" * 64), "the space of embeddings is not that"),
            (lambda content: content["data"].update(fingerprint="0" * 64), "the audio is not that of the record"),
        ],
    )
    def test_what_is_not_as_it_was(self, given, places, change, what):
        encoder, card, path = given
        with pytest.raises(
            UserError, match=rf"{what}.*there 000000000000.*Make a record of what is here with 'bench run'"
        ):
            reproduce(changed(path, change), home=places["home"], encoder=encoder, task=card)

    def test_another_encoder_or_task(self, given, plugin, places, make_vectors):
        _, card, path = given
        other, tones, _ = plugin
        with pytest.raises(UserError, match="the task is not that of the record"):
            reproduce(path, home=places["home"], encoder=other, task=tones)
        matrix, _ = make_vectors("more", dim=9)
        with pytest.raises(UserError, match="the encoder is not that of the record"):
            reproduce(path, home=places["home"], encoder=matrix, task=card)

    def test_names_that_say_nothing_here(self, given, places):
        encoder, card, path = given
        with pytest.raises(UserError, match=r"(?s)names its encoder 'emb:given.npz'.*give it with --encoder"):
            reproduce(path, home=places["home"], task=card)
        with pytest.raises(UserError, match=r"(?s)names its task 'card.toml'.*give it with --task"):
            reproduce(path, home=places["home"], encoder=encoder)

    def test_several(self, given, places):
        encoder, _, path = given
        with pytest.raises(UserError, match="is not one encoder on one task"):
            reproduce(path, home=places["home"], encoder=encoder, task="demo")

    def test_missing_embeddings_are_made(self, plugin, places, capsys):
        encoder, card, path = plugin
        shutil.rmtree(places["home"] / "embeddings")
        assert reproduce(path, home=places["home"], encoder=encoder, task=card, workers=0) == "same"
        assert "60 of 60 embeddings are not there yet" in capsys.readouterr().err

    def test_changed_audio(self, plugin, places):
        encoder, card, path = plugin
        file = path.parents[3] / "tones" / "audio" / "t000.flac"
        soundfile.write(file, np.zeros(8000), 8000)
        with pytest.raises(UserError, match="the audio is not that of the record"):
            reproduce(path, home=places["home"], encoder=encoder, task=card, workers=0)

    def test_no_record(self, places, capsys, tmp_path):
        with pytest.raises(SystemExit) as end:
            main(["reproduce", str(tmp_path / "runs" / "t" / "e.json"), "--home", str(places["home"])])
        assert end.value.code == 2
        assert "is not there" in capsys.readouterr().err
