"""A record holds every choice of its run, and a file made of it gives the very run again."""

import dataclasses
import json
import tomllib

import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.jobs.configuration import read_configuration
from benchmark.jobs.options import PLACES, Options
from benchmark.jobs.resolved import configuration_of, configuration_text
from results import store
from results.record import RecordError
from results.sections.configuration import ConfigurationSection

FAST = {"trials": 2, "seeds": 2, "workers": 0, "device": "cpu"}


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


def printed(capsys, path):
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", str(path), "--print-config"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_option_that_decides_a_result_is_in_it():
    options = {field.name for field in dataclasses.fields(Options)}
    assert set(ConfigurationSection.model_fields) == (options - set(PLACES)) | {"encoder", "task", "device"}


def test_defaults_are_resolved_and_no_path_of_the_machine_is_in_it(make_vectors, places, tmp_path):
    record = benchmark.run(*make_vectors(), **places, **FAST)
    assert record.configuration == ConfigurationSection(
        encoder="emb:given.npz", task="card.toml", limit=None, allow_missing=0, allow_damaged=0, deform=None,
        precision=None, own_windows=False, layer=None, protocol="paper", trials=2, seed=0, seeds=2, sampler="tpe",
        pruner="halving", probe_precision="fp32", train_fraction=[], repeats=1, device="cpu",
    )  # fmt: skip
    assert str(tmp_path) not in record.configuration.model_dump_json()


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"protocol": "quick", "seed": 3, "sampler": "random", "pruner": "none", "probe_precision": "bf16"},
        {"limit": 40},
        {"train_fraction": (0.5, 1), "repeats": 2},
        {"protocol": "open", "allow_damaged": 2},
    ],
    ids=["defaults", "choices", "limit", "curve", "open"],
)
def test_the_printed_file_gives_the_same_run(make_vectors, places, tmp_path, capsys, chosen):
    encoder, card = make_vectors()
    records = benchmark.run_many(encoder, card, **places, **{**FAST, **chosen})
    path = store.path_of(places["results"], records[-1])
    text = printed(capsys, path)
    file = card.parent / "run.toml"  # beside what it names
    file.write_text(text, encoding="utf-8")
    assert read_configuration(file).encoders == (f"emb:{card.parent}/given.npz",)
    words = ["run", "--config", str(file), "--home", str(places["home"]), "--results", str(places["results"])]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--dry-run"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "record kept" in out
    assert "new record" not in out
    anew = benchmark.run_many(config=file, home=places["home"], results=tmp_path / "anew")
    assert anew[-1].run_key == records[-1].run_key
    assert anew[-1].scores == records[-1].scores
    assert anew[-1].configuration == records[-1].configuration


def test_layers_windows_and_deformations_come_back(layered, make_task, places):
    record = benchmark.run(layered, make_task(), layer="spectrum", deform="gain=-20,noise=20dB", **places, **FAST)
    made = record.configuration
    assert made is not None
    assert (made.layer, made.encoder) == ("spectrum", "layered")
    assert Options(deform=made.deform).deformations == Options(deform="gain=-20,noise=20dB").deformations
    text = configuration_text(store.path_of(places["results"], record))
    assert "# The encoder was an object in Python: name what it is here, such as mine.py:Class." in text


@pytest.mark.parametrize("chosen", [{}, {"limit": 40, "seed": 2}, {"train_fraction": (0.5,), "sampler": "random"}])
def test_a_record_without_it_gives_the_same_choices(make_vectors, places, chosen):
    record = benchmark.run(*make_vectors(), **places, **chosen, **FAST)
    assert configuration_of(record.model_copy(update={"configuration": None})) == record.configuration


def test_names_of_others_are_text_in_the_file(make_vectors, places, tmp_path, capsys):
    record = benchmark.run(*make_vectors(), **places, **FAST)
    made = record.configuration
    assert made is not None
    assert record.provenance is not None
    hostile = 'x"\n\x1b[31m]</script>🎵\u202e'
    store.write(
        places["results"],
        record.model_copy(
            update={
                "configuration": made.model_copy(update={"encoder": hostile}),
                "provenance": record.provenance.model_copy(update={"version": "1\ntrials = 99"}),
            }
        ),
    )
    path = store.path_of(places["results"], record)
    text = printed(capsys, path)
    assert "\x1b" not in text
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    found = tomllib.loads(text)
    assert found["encoder"] == hostile
    assert found["trials"] == 2


def test_a_record_of_an_unknown_choice_is_refused(make_vectors, places):
    record = benchmark.run(*make_vectors(), **places, **FAST)
    path = store.path_of(places["results"], record)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["configuration"]["tirals"] = 3
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RecordError, match=r"tirals"):
        configuration_text(path)
