"""What data names as an encoder runs only where the user names it; the rest continues as it does."""

import json
import os
import sys

import numpy as np
import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.spec import parse
from benchmark.encoders.trust import code_in, refuse_code_of_data
from benchmark.errors import UserError
from benchmark.jobs.reproduce import reproduce
from results import store
from tests.benchmark.conftest import predict

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HARMFUL = """
open({witness!r}, "w").close()
from benchmark import Encoder


class Harmful(Encoder):
    name, version, sample_rate, dim = "harmful", "1", 8000, 2
"""

CODE = {
    "{folder}/harmful.py": "the Python file {folder}/harmful.py",
    "{folder}/harmful.py:Harmful?size=2": "the Python file {folder}/harmful.py",
    "harmful:Harmful": "the Python module harmful",
    "harmful_package.deep.er:Harmful": "the Python module harmful_package.deep.er",
    "hear:harmful": "the Python module harmful",
    "hear:harmful@{folder}/weights.pt?window=1": "the Python module harmful",
    "torchscript:{folder}/net.pt?sample_rate=16000&window=1&trust=1": "the TorchScript file {folder}/net.pt",
    "hf:{folder}?remote_code=1": "the code that comes with the model {folder}",
    f"hf:some/body@{COMMIT}?remote_code=yes&layer=2": "the code that comes with the model some/body",
    "logmel,{folder}/harmful.py": "the Python file {folder}/harmful.py",
    "env:{folder}/python::{folder}/harmful.py": (
        "the program {folder}/python and in it the Python file {folder}/harmful.py"
    ),
    "env:{folder}/python::logmel": "the program {folder}/python",
}
DATA = ["logmel", "musicset-ularge", "random", "hf:some/body", "hf:some/body?layer=2&remote_code=0", "onnx:net.onnx",
        "emb:given.npz", "pretrained:run@last", "model.keras", "opensmile?feature_set=ComParE_2016"]  # fmt: skip


@pytest.fixture
def harmful(tmp_path, monkeypatch):
    """A file and a module that note that they were run, in the current folder."""
    witness = tmp_path / "witness"
    for name in ("harmful.py", "harmful_package.py"):
        (tmp_path / name).write_text(HARMFUL.format(witness=str(witness)))
    monkeypatch.chdir(tmp_path)
    return witness


def test_the_file_would_run(harmful, tmp_path):
    """A test of the test: named by the user, it does."""
    assert resolve_one("harmful:Harmful").name == "harmful"
    assert harmful.exists()
    sys.modules.pop("harmful")


@pytest.mark.parametrize("text", CODE)
def test_code_is_told_and_nothing_of_it_runs(text, harmful, tmp_path):
    named, what = text.replace("{folder}", str(tmp_path)), CODE[text].replace("{folder}", str(tmp_path))
    with pytest.raises(UserError) as caught:
        refuse_code_of_data(named, "the record x.json", "bench reproduce x.json")
    message = str(caught.value)
    assert f"which would run {what}. Nothing was run: it is code, not data" in message
    assert "name it yourself: bench reproduce x.json --encoder " in message
    assert not harmful.exists()


@pytest.mark.parametrize("text", DATA)
def test_what_is_built_in_installed_or_data_goes_on(text):
    assert code_in(parse(text)) is None
    refuse_code_of_data(text, "the record x.json", "bench reproduce x.json")


@pytest.fixture
def named_by_data(tmp_path, make_task, monkeypatch):
    """A record and a probe of logmel, and what makes them name another encoder, with digests that fit."""
    places = {"home": tmp_path / "home", "results": tmp_path / "results"}
    card = make_task(per_class=5)
    benchmark.run("logmel", card, trials=1, seeds=1, workers=0, export=tmp_path / "probes", **places)
    (path,) = places["results"].glob("runs/tones/*.json")
    record = store.read(path)
    (probe,) = (tmp_path / "probes").glob("*/*")

    def name(text, older=False):
        made = None if older else record.provenance.model_copy(update={"encoder": text})
        changed = record.model_copy(
            update={"encoder": record.encoder.model_copy(update={"id": text}), "provenance": made}
        )
        monkeypatch.setattr(store, "read", lambda _: changed)
        from probes.export import files

        stored, found = files.load(probe)
        other = found.model_copy(update={"encoder": found.encoder.model_copy(update={"text": text})})
        monkeypatch.setattr(files, "load", lambda _: (stored, other))
        return path, probe

    return name, str(card), places["home"], sorted((card.parent / "audio").iterdir())[:1]


@pytest.mark.parametrize("older", [False, True], ids=["provenance", "older"])
@pytest.mark.parametrize("text", ["{folder}/harmful.py", "harmful:Harmful", "hear:harmful", "logmel,harmful:Harmful"])
def test_reproduce_and_predict_run_nothing_that_data_names(text, older, harmful, named_by_data, tmp_path):
    name, card, home, songs = named_by_data
    named = text.replace("{folder}", str(tmp_path))
    record, probe = name(named, older)
    with pytest.raises(
        UserError, match=r"the record .* says that its encoder .*yourself: bench reproduce .* --encoder "
    ):
        reproduce(record, home=home, task=card)
    with pytest.raises(
        UserError, match=r"(?s)the probe .* says that its encoder .*yourself: bench predict .* --encoder "
    ):
        predict(probe, songs, home=home)
    assert not harmful.exists()


def test_built_in_encoders_of_a_record_and_a_probe_go_on(named_by_data):
    name, card, home, songs = named_by_data
    record, probe = name("logmel")
    reproduce(record, home=home, task=card)
    _, (one,) = predict(probe, songs, home=home)
    assert one.outputs is not None


def test_the_command_says_so(harmful, named_by_data, capsys):
    name, card, home, _ = named_by_data
    record, _ = name("harmful:Harmful")
    with pytest.raises(SystemExit) as end:
        main(["reproduce", str(record), "--task", card, "--home", str(home)])
    assert end.value.code == 2
    assert "Nothing was run: it is code" in capsys.readouterr().err
    assert not harmful.exists()


class TestModelsOfTheHub:
    @pytest.mark.parametrize(
        "changed",
        [
            {"attn_implementation": "some-body/kernel"}, {"attn_implementation": {"": "some-body/kernel@main"}},
            {"_attn_implementation": "a/b:c"}, {"audio_config": {"attn_implementation": "a/b"}},
            {"experts_implementation": "a/b"},
        ],
    )  # fmt: skip
    def test_a_configuration_that_fetches_code_is_refused(self, tmp_path, changed):
        os.environ["HF_HUB_OFFLINE"] = "1"
        pytest.importorskip("transformers", reason="needs the extra [hf]")
        from benchmark.encoders.packaged.huggingface import open_huggingface

        (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert", **changed}))
        with pytest.raises(UserError, match="asks in its configuration for code from the hub"):
            open_huggingface(parse(f"hf:{tmp_path}"), None)


def test_a_parquet_or_archive_of_embeddings_is_never_unpickled(tmp_path):
    np.savez(tmp_path / "given.npz", ids=np.array(["a"], object), embeddings=np.ones((1, 2)))
    with pytest.raises(UserError, match="could run code"):
        resolve_one(f"emb:{tmp_path / 'given.npz'}")
