import json
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from probes.export import files as module
from probes.export.files import (
    ProbeFileError,
    best_of,
    changed_files,
    export,
    load,
    read_card,
    refuse_occupied,
    require_onnx,
    signed,
)

MADE = run_path(str(Path(__file__).parents[1].joinpath("stored_probes.py")))
card_of, probe_of = MADE["card_of"], MADE["probe_of"]


def sign(folder):
    """Sign what lies there, as a stranger may."""
    (folder / "probe.json").write_bytes(signed(read_card(folder), folder))


X = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)


@pytest.fixture
def written(tmp_path):
    probe = probe_of()
    return export(probe, card_of(probe), tmp_path / "deep" / "probe")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
def test_what_is_read_is_what_was_written(activation, tmp_path):
    probe = probe_of(activation)
    card = card_of(probe)
    folder = export(probe, card, tmp_path / "probe")
    assert sorted(file.name for file in folder.iterdir()) == ["probe.json", "probe.onnx", "probe.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["probe"]
    found, its_card = load(folder)
    assert its_card == card.model_copy(update={"digests": its_card.digests})
    assert sorted(its_card.digests) == ["probe.onnx", "probe.safetensors"]
    np.testing.assert_array_equal(found.predict(X), probe.predict(X))
    assert "Tönes" in (folder / "probe.json").read_text(encoding="utf-8")


def test_the_file_onnx_is_the_same_function(written):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(written / "probe.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"embeddings": X})
    np.testing.assert_allclose(outputs, load(written)[0].predict(X), rtol=1e-5, atol=1e-6)


def test_an_older_probe_of_the_same_task_and_encoder_is_replaced(written):
    (written / "left over").write_text("x")
    newer = probe_of(seed=9)
    assert export(newer, card_of(newer), written) == written
    np.testing.assert_array_equal(load(written)[0].predict(X), newer.predict(X))
    assert [path.name for path in written.parent.iterdir()] == ["probe"]
    assert not (written / "left over").exists()


@pytest.mark.parametrize("other", [{"task": "keys"}, {"encoder": "logmel"}])
def test_the_probe_of_another_is_not_replaced(written, other):
    before = (written / "probe.safetensors").read_bytes()
    newer = probe_of(seed=9)
    with pytest.raises(ProbeFileError, match="holds the probe of bands on tones"):
        export(newer, card_of(newer, **other), written)
    assert (written / "probe.safetensors").read_bytes() == before


def test_what_is_no_probe_is_not_replaced(tmp_path):
    probe = probe_of()
    (tmp_path / "mine").mkdir()
    export(probe, card_of(probe), tmp_path / "mine")  # an empty folder is free
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "song.mp3").write_text("x")
    with pytest.raises(ProbeFileError, match="holds something else than a probe"):
        export(probe, card_of(probe), tmp_path / "songs")
    assert [path.name for path in (tmp_path / "songs").iterdir()] == ["song.mp3"]
    with pytest.raises(ProbeFileError, match="is a file"):
        refuse_occupied(tmp_path / "songs" / "song.mp3", "tones", "bands")
    with pytest.raises(ProbeFileError, match="cannot write the probe"):
        export(probe, card_of(probe), tmp_path / "songs" / "song.mp3" / "probe")


def test_a_failure_leaves_the_older_probe_and_nothing_else(written, monkeypatch):
    before = load(written)[0].predict(X)
    newer = probe_of(seed=9)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(ProbeFileError, match="No space left"):
        export(newer, card_of(newer), written)
    assert [path.name for path in written.parent.iterdir()] == ["probe"]
    np.testing.assert_array_equal(load(written)[0].predict(X), before)


def test_a_rename_that_fails_puts_the_older_probe_back(written, monkeypatch):
    before = load(written)[0].predict(X)
    newer, rename = probe_of(seed=9), type(written).rename

    def fail_for_new(self, target):
        if target == written and not self.name.endswith(".old"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(type(written), "rename", fail_for_new)
    with pytest.raises(ProbeFileError, match="Input/output error"):
        export(newer, card_of(newer), written)
    np.testing.assert_array_equal(load(written)[0].predict(X), before)
    assert [path.name for path in written.parent.iterdir()] == ["probe"]


def test_labels_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ProbeFileError, match="4 outputs"):
        export(probe_of(outputs=4), card_of(probe_of()), tmp_path / "probe")
    with pytest.raises(ProbeFileError, match="sigmoid"):
        export(probe_of("sigmoid"), card_of(probe_of()), tmp_path / "probe")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    require_onnx()
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnx" else object())
    for refused in (require_onnx, lambda: export(probe_of(), card_of(probe_of()), tmp_path / "probe")):
        with pytest.raises(
            ProbeFileError, match=r"the package onnx, which is not installed\. Install it: pip install onnx$"
        ):
            refused()


# files of strangers


def test_a_folder_without_a_probe_is_named(tmp_path):
    with pytest.raises(ProbeFileError, match=r"no probe at .*there is no probe\.json"):
        load(tmp_path)
    with pytest.raises(ProbeFileError, match="no probe at"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format_version": 1}', b"[" * 100_000],
)
def test_a_card_that_is_none_is_refused(written, content):
    (written / "probe.json").write_bytes(content)
    with pytest.raises(ProbeFileError, match=r"probe\.json is no card of a probe"):
        load(written)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", 3),
        ("kind", "ranking"),
        ("activation", "relu"),
        ("labels", []),
        ("labels", [1, 2, 3]),
        ("surplus", 1),
        ("encoder", "bands"),
        ("scores", {"test": {"accuracy": "good"}}),
    ],
)
def test_a_card_with_a_bad_value_is_refused_by_its_key(written, key, value):
    data = json.loads((written / "probe.json").read_text(encoding="utf-8"))
    (written / "probe.json").write_text(json.dumps({**data, key: value}), encoding="utf-8")
    with pytest.raises(ProbeFileError, match=rf"no card of a probe: {key}"):
        read_card(written)


def test_a_card_of_gigabytes_is_not_read(written, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_CARD", 100)
    with pytest.raises(ProbeFileError, match="too large"):
        read_card(written)


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, (2**60).to_bytes(8, "little") + b"{}", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_weights_that_are_none_are_refused(written, content):
    (written / "probe.safetensors").write_bytes(content)
    sign(written)
    with pytest.raises(ProbeFileError, match=r"probe\.safetensors"):
        load(written)


def test_weights_that_lack_or_are_cut_short_are_refused(written):
    whole = (written / "probe.safetensors").read_bytes()
    (written / "probe.safetensors").write_bytes(whole[:-5])
    sign(written)
    with pytest.raises(ProbeFileError, match="cannot be read"):
        load(written)
    (written / "probe.safetensors").unlink()
    with pytest.raises(ProbeFileError, match=r"no probe\.safetensors"):
        load(written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel_1": None}, "not"),
        ({"kernel_0": None, "kernel_1": None, "bias_0": None, "bias_1": None}, "no probe"),
        ({"kernel_x": np.zeros((2, 2), np.float32)}, "not"),
        ({"surplus": np.zeros(2, np.float32)}, "it has"),
        ({"bias_1": np.zeros(4, np.float32)}, "bias_1"),
        ({"bias_1": np.zeros(3, np.float64)}, "float64, not float32"),
        ({"bias_1": np.full(3, np.nan, np.float32)}, "not finite"),
        ({"input_mean": np.zeros(5, np.float32)}, "input_mean"),
        ({"input_scale": np.zeros((6, 1), np.float32)}, "input_scale"),
        (
            {"kernel_1": np.zeros((5, 4), np.float32), "bias_1": np.zeros(4, np.float32),
             "target_mean": np.zeros(4, np.float32), "target_scale": np.zeros(4, np.float32)},
            "4 outputs for 3 labels",
        ),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_the_card_are_refused(written, change, message):
    path = written / "probe.safetensors"
    tensors = {name: array for name, array in {**load_file(path), **change}.items() if array is not None}
    save_file(tensors, path)
    with pytest.raises(ProbeFileError, match="is not as it was written"):
        load(written)
    sign(written)
    with pytest.raises(ProbeFileError, match=message):
        load(written)


def test_the_best_on_valid_is_exported_and_the_earliest_of_equals():
    assert best_of([SimpleNamespace(valid_score=score) for score in (0.1, 0.5, 0.3, 0.5)]) == 1


def test_a_probe_of_version_1_is_read_unchecked(written):
    path = written / "probe.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["sha256"], content["digests"]
    path.write_text(json.dumps(content | {"format_version": 1}), encoding="utf-8")
    _, card = load(written)
    assert not card.checked
    assert changed_files(written) == []
    path.write_text(json.dumps(content | {"format_version": 2}), encoding="utf-8")
    with pytest.raises(ProbeFileError, match="is not as it was written"):
        load(written)


def test_what_changed_is_named(written):
    assert changed_files(written) == []
    for name in ("probe.onnx", "probe.safetensors"):
        (written / name).write_bytes((written / name).read_bytes() + b"x")
    path = written / "probe.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Tönes", "Tones"), encoding="utf-8")
    assert changed_files(written) == ["probe.json", "probe.safetensors", "probe.onnx"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9])
def test_a_disk_that_fills_up_is_told_and_leaves_the_older_probe(written, share):
    """Whatever of the three files did not fit; the writer of safetensors has an error class of its own."""
    resource = pytest.importorskip("resource")
    before = {file.name: file.read_bytes() for file in written.iterdir()}
    newer, limits = probe_of(seed=9), resource.getrlimit(resource.RLIMIT_FSIZE)
    room = int(share * max(map(len, before.values())))
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(ProbeFileError, match=r"cannot write the probe to .*File too large"):
            export(newer, card_of(newer), written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in written.iterdir()} == before
    assert [path.name for path in written.parent.iterdir()] == ["probe"]
