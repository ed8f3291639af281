"""ONNX files as encoders: graphs of a few nodes, made here."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx, of the extra [dev]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from benchmark.embeddings.space import check_declarations, space_of  # noqa: E402
from benchmark.encoders.packaged.onnx_model import open_onnx  # noqa: E402
from benchmark.encoders.spec import parse  # noqa: E402
from benchmark.errors import UserError  # noqa: E402

WEIGHTS = np.random.default_rng(0).normal(size=(4, 1, 400)).astype(np.float32)
QUERY = "?sample_rate=8000&window=1"


@pytest.fixture
def saved(tmp_path):
    def save(
        nodes, shape, outputs=("out",), *, kind=TensorProto.FLOAT, more_inputs=(), weights=WEIGHTS, external=False,
        name="a model.onnx",
    ):  # fmt: skip
        inputs = [helper.make_tensor_value_info("wave", kind, shape)]
        inputs += [helper.make_tensor_value_info(each, TensorProto.FLOAT, [1]) for each in more_inputs]
        graph = helper.make_graph(
            nodes, "graph", inputs, [helper.make_tensor_value_info(each, TensorProto.FLOAT, None) for each in outputs],
            [
                numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "one"),
                numpy_helper.from_array(np.array([2]), "two"), numpy_helper.from_array(np.array([0]), "zero"),
            ],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        file = tmp_path / name
        options = (
            {"save_as_external_data": True, "location": "weights.data", "size_threshold": 1024} if external else {}
        )
        onnx.save(model, str(file), **options)
        return file

    return save


def conv(source="wave", target="frames"):
    """[B, 1, N] -> [B, 4, T]."""
    return helper.make_node("Conv", [source, "weights"], [target], strides=[200])


def turned(source="frames", target="out"):
    return helper.make_node("Transpose", [source], [target], perm=[0, 2, 1])


def meant(source="frames", target="out"):
    return helper.make_node("ReduceMean", [source, "two"], [target], keepdims=0)


FRAMED = [conv(), turned()]
POOLED = [conv(), meant()]
FLAT = [helper.make_node("Unsqueeze", ["wave", "one"], ["x"]), conv("x"), meant()]


def opened(file, query=QUERY):
    return open_onnx(parse(f"onnx:{file}{query}"), None)


def noise(samples=8000, channels=1):
    return np.random.default_rng(1).uniform(-0.5, 0.5, (4, channels, samples)).astype(np.float32)


def expected(waveforms):
    windows = np.lib.stride_tricks.sliding_window_view(waveforms[:, 0], 400, axis=1)[:, ::200]
    return np.einsum("btn,dn->btd", windows, WEIGHTS[:, 0])


@pytest.mark.parametrize(
    ("nodes", "shape", "frames", "one_by_one"),
    [
        (POOLED, ["b", 1, "n"], False, False), (FRAMED, ["b", 1, "n"], True, False), (FLAT, ["b", "n"], False, False),
        (POOLED, [1, 1, 8000], False, True), (FLAT, [1, 8000], False, True), (FLAT, ["b", 8000], False, False),
        (POOLED, None, False, False),
    ],
)  # fmt: skip
def test_shapes_and_batches(saved, nodes, shape, frames, one_by_one):
    encoder = opened(saved(nodes, shape))
    check_declarations(encoder)
    assert (encoder.dim, encoder.one_by_one) == (4, one_by_one)
    assert encoder.name == "onnx:a model.onnx?sample_rate=8000&window=1"
    encoder.to("cpu")
    wanted = expected(noise())
    found = encoder.embed(noise())
    np.testing.assert_allclose(found, wanted if frames else wanted.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([encoder.embed(each[None]) for each in noise()]), found, atol=1e-6)
    space_of(encoder, None, None)


def test_samples_before_channels(saved):
    nodes = [turned("wave", "x"), conv("x"), meant()]
    for shape, query in ((["b", "n", 1], QUERY), (["b", "n", "c"], QUERY + "&layout=bnc"), ([1, 8000, 1], QUERY)):
        found = opened(saved(nodes, shape), query).embed(noise())
        np.testing.assert_allclose(found, expected(noise()).mean(1), rtol=1e-4, atol=1e-5)


def test_stereo_from_the_shape(saved):
    weights = np.random.default_rng(0).normal(size=(4, 2, 400)).astype(np.float32)
    file = saved(POOLED, ["b", 2, "n"], weights=weights)
    encoder = opened(file)
    assert encoder.channels == 2
    assert encoder.embed(noise(channels=2)).shape == (4, 4)
    with pytest.raises(UserError, match=r"takes 2 channel\(s\), not 1"):
        opened(file, QUERY + "&channels=1")


def test_a_fixed_length_is_the_window(saved):
    file = saved(FLAT, ["b", 6000])
    encoder = opened(file, "?sample_rate=8000")
    assert encoder.window_seconds == 0.75
    assert space_of(encoder, None, None).windows.window == space_of(encoder, None, None).windows.minimum == 6000
    assert opened(file, "?sample_rate=8000&window=0.75&hop=0.5").hop_seconds == 0.5
    for query in ("&window=1", "&window=track", "&window=0.75&minimum=0.5"):
        with pytest.raises(UserError, match=r"exactly 6000 samples, 0\.75 s at 8000 Hz"):
            opened(file, f"?sample_rate=8000{query}")


def test_one_of_several_outputs_is_chosen(saved):
    file = saved([conv(), meant(target="mean"), turned(target="frames last")], ["b", 1, "n"], ("mean", "frames last"))
    with pytest.raises(UserError, match=r"several outputs: choose with output=NAME among mean .*frames last"):
        opened(file)
    mean, frames = opened(file, QUERY + "&output=mean"), opened(file, QUERY + "&output=frames last")
    np.testing.assert_allclose(frames.embed(noise()).mean(1), mean.embed(noise()), rtol=1e-4, atol=1e-5)
    assert mean.fingerprint() != frames.fingerprint()
    with pytest.raises(UserError, match="has no output 'media'"):
        opened(file, QUERY + "&output=media")


@pytest.mark.parametrize(
    ("arguments", "query", "message"),
    [
        ({}, "?window=1", "needs sample_rate=.*does not give the sample rate"),
        ({}, "?sample_rate=8000", "needs window="),
        ({}, QUERY + "&outptu=x", "did you mean 'output'"),
        ({}, QUERY + "&input=x", "has no input 'x'"),
        ({"shape": [4, 1, "n"]}, QUERY, "batches of exactly 4"),
        (
            {"shape": ["b", 1, 1, "n"], "nodes": [meant("wave", "x"), conv("x"), meant()]},
            QUERY,
            "Export it with its front end",
        ),
        ({"shape": ["b", 96, 128]}, QUERY, "neither mono nor stereo"),
        ({"nodes": [conv()], "outputs": ("frames",)}, QUERY, "Say frames=last"),
        ({"nodes": [helper.make_node("ReduceMean", ["wave"], ["out"], keepdims=0)]}, QUERY, r"answers \[\] to one"),
        ({"more_inputs": ("length",)}, QUERY, "several inputs"),
        ({"more_inputs": ("length",)}, QUERY + "&input=wave", "wants length beside the waveform"),
        ({}, "?sample_rate=8000&window=0.01", "failed on 80 samples of noise"),
    ],
)
def test_what_does_not_fit_is_named(saved, arguments, query, message):
    arguments = {"nodes": POOLED, "shape": ["b", 1, "n"], **arguments}
    with pytest.raises(UserError, match=message):
        opened(saved(**arguments), query)


def test_an_input_that_is_not_float32_is_refused(saved):
    nodes = [helper.make_node("Cast", ["wave"], ["x"], to=TensorProto.FLOAT), conv("x"), meant()]
    with pytest.raises(UserError, match=r"takes tensor\(double\), not float32"):
        opened(saved(nodes, ["b", 1, "n"], kind=TensorProto.DOUBLE))


def test_a_model_that_mixes_its_batch_is_refused(saved):
    nodes = [conv(), meant(target="m"), helper.make_node("ReduceMean", ["m", "zero"], ["c"]),
             helper.make_node("Sub", ["m", "c"], ["d"]), helper.make_node("Exp", ["d"], ["out"])]  # fmt: skip
    with pytest.raises(UserError, match="another embedding in a batch than alone"):
        opened(saved(nodes, ["b", 1, "n"]))


def test_the_fingerprint_is_of_the_content_with_its_side_files(saved, tmp_path):
    first = opened(saved(POOLED, ["b", 1, "n"]))
    same = opened(saved(POOLED, ["b", 1, "n"]))
    assert first.fingerprint() == same.fingerprint()
    same.embed(noise())
    assert first.fingerprint() == same.fingerprint()
    assert opened(tmp_path / "a model.onnx", "?sample_rate=16000&window=1").fingerprint() != first.fingerprint()
    file = saved(POOLED, ["b", 1, "n"], external=True)
    beside = tmp_path / "weights.data"
    outside = opened(file)
    changed = bytearray(beside.read_bytes())
    changed[:4] = b"\x00\x00\x80\x3f"
    beside.write_bytes(bytes(changed))
    assert opened(file).fingerprint() != outside.fingerprint()
    below = file.read_bytes().replace(b"weights.data", b"deep/er.data")  # as long, so that the file stays whole
    file.write_bytes(below)
    (tmp_path / "deep").mkdir()
    beside.rename(tmp_path / "deep" / "er.data")
    first = opened(file).fingerprint()
    changed[:4] = b"\x00\x00\x00\x40"
    (tmp_path / "deep" / "er.data").write_bytes(bytes(changed))
    assert opened(file).fingerprint() != first
    first = opened(file).fingerprint()
    (tmp_path / "notes.txt").write_text("of no matter")
    assert opened(file).fingerprint() == first


def test_where_a_gpu_could_be_used_the_fingerprint_is_the_same(saved, monkeypatch):
    file = saved(POOLED, ["b", 1, "n"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    plain = opened(file)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    able = opened(file)
    assert (plain.arrays, able.arrays) == ("numpy", "torch")
    assert able.fingerprint() == plain.fingerprint()
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(able.embed(torch.from_numpy(noise())), plain.embed(noise()))


def test_a_gpu_that_onnxruntime_cannot_use_is_refused(saved):
    encoder = opened(saved(POOLED, ["b", 1, "n"]))
    encoder.to("cpu")
    with pytest.raises(UserError, match=r"cannot use 'mps'.*--device cpu"):
        encoder.to("mps")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "page.onnx").write_text("<html>")
    with pytest.raises(UserError, match="cannot be opened as the ONNX model"):
        opened(tmp_path / "page.onnx")
    with pytest.raises(UserError, match="no ONNX file at"):
        opened(tmp_path / "nowhere.onnx")


def test_without_onnxruntime_the_command_is_named(saved, monkeypatch):
    file = saved(POOLED, ["b", 1, "n"])
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"\n  .* -P -m pip install .*\[onnx\]'?$"):
        opened(file)
