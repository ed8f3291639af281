"""Basic Pitch as an encoder, on a small ONNX file of its inputs and outputs: windows, statistics, refusals."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.encoders.published import basic_pitch
from benchmark.encoders.published.basic_pitch import (
    FRAMES,
    INPUT,
    OUTPUTS,
    STEP,
    WINDOW,
    BasicPitch,
    cut,
    open_basic_pitch,
)
from benchmark.encoders.spec import parse
from benchmark.errors import UserError

pytest.importorskip("onnxruntime")

LEAD = 15 * 256


def write_model(path: Path, window: int = WINDOW) -> None:
    """Write a model that gives, for all pitches of a frame, the largest of its 254 or so samples."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    per_frame = window // FRAMES
    nodes = [
        helper.make_node("Slice", [INPUT, "start", "end", "axis"], ["whole"]),
        helper.make_node("Reshape", ["whole", "shape"], ["framed"]),
        helper.make_node("ReduceMax", ["framed", "axes"], ["peak"], keepdims=1),
        *(helper.make_node("Tile", ["peak", f"times{width}"], [name]) for name, width in OUTPUTS.values()),
    ]
    # Two outputs have one width: the constant of it is written once.
    constants = {"start": [0], "end": [per_frame * FRAMES], "axis": [1], "shape": [0, FRAMES, per_frame], "axes": [2]}
    constants |= {f"times{width}": [1, 1, width] for _, width in OUTPUTS.values()}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", window, 1])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", FRAMES, w]) for n, w in OUTPUTS.values()],
        [helper.make_tensor(name, TensorProto.INT64, [len(v)], v) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "encoders" / "basic-pitch").mkdir(parents=True)
    write_model(home / "encoders" / "basic-pitch" / "nmp.onnx")
    return home


@pytest.fixture
def encoder(home):
    return open_basic_pitch(parse("basic-pitch"), home)


def noise(samples: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(7).uniform(-0.5, 0.5, (batch, 1, samples)).astype(np.float32)


class TestWindows:
    @pytest.mark.parametrize("samples", [2205, STEP - LEAD, STEP - LEAD + 1, WINDOW, 66150, 300_000])
    def test_they_are_the_published_ones(self, samples):
        """As its authors write it: half the overlap in zeros, then a window every step, the last filled with zeros."""
        waveform = noise(samples)[0, 0]
        lengthened = np.concatenate([np.zeros(LEAD, np.float32), waveform])
        expected = [lengthened[start : start + WINDOW] for start in range(0, len(lengthened), STEP)]
        expected = [np.pad(window, (0, WINDOW - len(window))) for window in expected]
        np.testing.assert_array_equal(cut(waveform), expected)

    def test_the_statistics_are_of_the_frames_within_the_sound(self, encoder):
        waveform = noise(66150)[0, 0]
        per_frame = WINDOW // FRAMES
        peaks = cut(waveform)[:, : per_frame * FRAMES].reshape(-1, FRAMES, per_frame).max(2)[:, 15:-15].ravel()
        peaks = peaks[: 66150 * 86 // 22050]
        assert len(peaks) == 258
        embedding = encoder.embed(waveform[None, None])[0]
        np.testing.assert_allclose(embedding, [peaks.mean()] * 440 + [peaks.std()] * 440, rtol=1e-5)

    def test_a_track_of_many_windows_is_taken_in_blocks(self, encoder, monkeypatch):
        waveform = noise(20 * STEP)
        together = encoder.embed(waveform)
        monkeypatch.setattr(basic_pitch, "AT_ONCE", 1)
        np.testing.assert_allclose(encoder.embed(waveform), together, rtol=1e-6)


class TestContract:
    @pytest.mark.parametrize("samples", [2205, 66150])
    def test_shape_batch_and_silence(self, encoder, samples):
        batch = np.concatenate([noise(samples, 2), np.zeros((1, 1, samples), np.float32)])
        before = encoder.fingerprint()
        together = encoder.embed(batch)
        assert together.shape == (3, encoder.dim) == (3, 880)
        assert together.dtype == np.float32
        assert not together[2].any()
        np.testing.assert_array_equal(together, np.concatenate([encoder.embed(row[None]) for row in batch]))
        assert encoder.fingerprint() == before

    def test_the_fingerprint_is_of_the_file(self, encoder, tmp_path):
        write_model(tmp_path / "same.onnx")
        write_model(tmp_path / "other.onnx", WINDOW + 1)
        assert BasicPitch(tmp_path / "same.onnx").fingerprint() == encoder.fingerprint()
        assert BasicPitch(tmp_path / "other.onnx").fingerprint() != encoder.fingerprint()


class TestRefusals:
    def test_without_weights_or_with_options(self, home, tmp_path):
        with pytest.raises(UserError, match=r"Fetch them with: bench encoders fetch basic-pitch$"):
            open_basic_pitch(parse("basic-pitch"), tmp_path)
        with pytest.raises(UserError, match="no option 'layer'"):
            open_basic_pitch(parse("basic-pitch?layer=note"), home)

    def test_without_the_package_the_message_is_the_command(self, home, monkeypatch):
        monkeypatch.setattr(basic_pitch.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(UserError, match=r"\n  .* -P -m pip install .*\[onnx\]'?$"):
            open_basic_pitch(parse("basic-pitch"), home)

    def test_another_model_or_none(self, tmp_path):
        write_model(tmp_path / "other.onnx", WINDOW + 172)
        with pytest.raises(UserError, match="is not the model of Basic Pitch"):
            BasicPitch(tmp_path / "other.onnx").embed(noise(22050))
        (tmp_path / "page.onnx").write_text("<html>")
        with pytest.raises(UserError, match=r"page\.onnx cannot be opened.*fetch it again"):
            BasicPitch(tmp_path / "page.onnx").embed(noise(22050))


def test_the_published_model_hears_a_note():
    if not os.environ.get("BENCH_BASIC_PITCH"):
        pytest.skip("BENCH_BASIC_PITCH is not set: the nmp.onnx that 'bench encoders fetch basic-pitch' brings")
    t = np.arange(3 * 22050) / 22050
    tone = sum(0.2 / h * np.sin(2 * np.pi * 440 * h * t) for h in range(1, 6)).astype(np.float32)
    embedding = BasicPitch(Path(os.environ["BENCH_BASIC_PITCH"])).embed(tone[None, None])[0]
    assert embedding[:88].argmax() == 69 - 21
    assert embedding[176:440].argmax() // 3 == 69 - 21
