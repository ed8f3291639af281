"""Encoders with layers, from ``--layer`` to the record, and on to the files of the probe."""

from dataclasses import replace

import numpy as np
import pytest

import benchmark
from benchmark.errors import UserError
from benchmark.jobs import export, protocols, runner
from results import store
from tests.benchmark.conftest import predict

FAST = {"trials": 2, "seeds": 2, "workers": 0}


@pytest.fixture
def card(make_task):
    return make_task()


@pytest.fixture
def run(layered, card, tmp_path):
    """Probe the layered encoder; its embeddings are made once a test."""

    def run(layer=None, results="results", **chosen):
        where = {"home": tmp_path / "home", "results": tmp_path / results}
        return benchmark.run(layered, card, **where, layer=layer, **{**FAST, **chosen})

    return run


def test_the_informative_layer_is_chosen_by_a_ridge_on_valid(run):
    record = run()
    assert record.probe.layer == "spectrum"
    assert list(record.search.layers) == ["noise", "spectrum"]
    assert record.search.layers["noise"] < 0.7 < record.search.layers["spectrum"]
    assert record.encoder.dim == 32
    assert record.probe.parameters == (16 + 1) * 16 + (16 + 1) * 3  # of one layer
    assert record.scores.test["accuracy"].value > 0.7
    assert record.probe.mixing is None


def test_a_layer_is_named_or_numbered(run):
    chosen = run()
    for layer in ("spectrum", "1"):
        record = run(layer, results=layer)
        assert record.probe.layer == "spectrum"
        assert record.search.layers is None
        assert record.scores == chosen.scores
        assert record.run_key != chosen.run_key
    other = run("noise", results="noise")
    assert other.probe.layer == "noise"
    assert other.floors.ridge["accuracy"].value < chosen.floors.ridge["accuracy"].value


def test_a_mixture_is_learned_inside_the_probe(run, monkeypatch):
    protocol_for = protocols.protocol_for

    def longer(*names, **chosen):
        protocol = replace(protocol_for(*names, **chosen), learning_rate=(3e-2, 3e-2), steps=(300, 300), first=())
        return replace(protocol, first=(protocol.middle(),))

    monkeypatch.setattr(protocols, "protocol_for", longer)
    record = run("mix")
    assert record.probe.layer == "mix"
    assert record.search.layers is None
    assert len(record.probe.mixing) == 2
    for noise, spectrum in record.probe.mixing:
        assert noise + spectrum == pytest.approx(1)
        assert spectrum > noise


def test_all_layers_stand_side_by_side(run):
    record = run("all")
    assert record.probe.layer == "all"
    assert record.probe.mixing is None
    assert record.probe.parameters == (32 + 1) * 16 + (16 + 1) * 3


def test_one_study_and_one_record_a_choice(run, tmp_path):
    """Embeddings serve all choices; each choice of a layer has a record of its own."""
    first, second = run("noise"), run("spectrum")
    assert second.encoder.space == first.encoder.space
    assert second.seconds.embed == 0
    runs = tmp_path / "results" / "runs" / "tones"
    assert store.read(runs / "layered+layer-noise.json") == first
    assert store.read(runs / "layered+layer-spectrum.json") == second
    assert not (runs / "history").exists()
    assert len(list((tmp_path / "results" / "studies").glob("*.journal"))) == 2


class TestRefusals:
    @pytest.mark.parametrize("layer", ["2", "-1", "spectra", "Mix", ""])
    def test_a_layer_that_is_not_there_is_refused_before_anything_is_embedded(self, run, monkeypatch, layer):
        monkeypatch.setattr(runner, "embed", lambda *a: pytest.fail("audio was embedded"))
        with pytest.raises(UserError, match=r"[Ii]t has noise, spectrum \(or their numbers from 0 to 1\)"):
            run(layer)

    @pytest.mark.parametrize("layer", ["auto", "mix", "0"])
    def test_an_encoder_without_layers(self, bands, card, tmp_path, layer):
        with pytest.raises(UserError, match="'bands' gives no layers to choose from"):
            benchmark.run(bands, card, home=tmp_path / "h", results=tmp_path / "r", layer=layer, **FAST)

    def test_embeddings_that_were_given_have_none(self, make_vectors, tmp_path):
        with pytest.raises(UserError, match="'given' gives no layers to choose from"):
            benchmark.run(*make_vectors(), home=tmp_path / "h", results=tmp_path / "r", layer="0", **FAST)


class TestExport:
    @pytest.mark.parametrize("layer", ["auto", "mix", "all"])
    def test_a_file_of_test_is_answered_as_in_the_record(self, run, layered, card, tmp_path, layer):
        pytest.importorskip("onnx")
        record = run(layer, export=tmp_path / "export")
        rows = store.read_predictions(tmp_path / "results", record).to_pylist()
        folder = export.find_probe(tmp_path / "export")
        seed = int(np.argmax(record.scores.valid["accuracy"].seeds))
        tests = [row for row in rows if row["split"] == "test"][:4]
        files = [card.parent / "audio" / f"{row['track_id']}.flac" for row in tests]
        answered, found = predict(folder, files, encoder=layered, home=tmp_path / "home")
        assert list(answered.labels) == record.data.labels
        for row, one in zip(tests, found, strict=True):
            np.testing.assert_allclose(one.outputs, row[f"outputs_{seed}"], atol=1e-4)
