"""Declarations that cannot be meant are refused in words, whoever makes them; numbers of numpy are plain ones."""

import json

import numpy as np
import pytest
import soundfile

from benchmark.embeddings.space import space_of
from benchmark.encoders.base import Encoder
from benchmark.encoders.declarations import check_declarations
from benchmark.encoders.precomputed.encoder import Precomputed
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.spec import parse
from benchmark.encoders.windowing import window_rule
from benchmark.errors import UserError


class Plain(Encoder):
    name, version, sample_rate, dim, arrays, minimum_seconds = "plain", "1", 16000, 4, "numpy", 0.5

    def __init__(self, **declared) -> None:
        vars(self).update(declared)


IMPLAUSIBLE = [
    ({"sample_rate": 16}, r"sample_rate = 16: this is no sample rate: write it in Hz.* \(was 16,000 meant, 16 kHz\?\)"),
    ({"sample_rate": 44}, "44,000 meant"),
    ({"sample_rate": 999}, "from 1,000 to 768,000"),
    ({"sample_rate": 1}, "1,000 meant"),
    ({"sample_rate": 768_001}, "from 1,000 to 768,000$"),
    ({"sample_rate": 44_100_000}, "from 1,000 to 768,000$"),
    ({"sample_rate": True}, "sample_rate = True: make it a whole number"),
    ({"sample_rate": "16000"}, "sample_rate = '16000': make it a whole number"),
    ({"sample_rate": np.float64(16000)}, "sample_rate = 16000.0: make it a whole number"),
    ({"sample_rate": float("nan")}, "sample_rate = nan: make it a whole number"),
    ({"dim": 0}, "dim = 0: make it a whole number above 0"),
    ({"dim": True}, "dim = True: make it a whole number"),
    ({"dim": 10_000_000}, "dim = 10000000: an embedding has at most 1,000,000 numbers"),
    ({"dim": 500_000, "layers": tuple("abcdefghijklmnopqrstu")}, "in each of 21 layers: at most 10,000,000"),
    ({"channels": 0}, "channels = 0: make it one of"),
    ({"channels": True}, "channels = True: make it one of"),
    ({"channels": 1.0}, r"channels = 1\.0: make it one of"),
    ({"channels": "1"}, "channels = '1': make it one of"),
    ({"channels": 6}, "channels = 6: make it one of"),
    ({"fitted": 0}, "fitted = 0: make it one of"),
    ({"window_seconds": 1e-4}, "window_seconds = 0.0001: write it in seconds, from 0.001 to 3,600"),
    ({"window_seconds": 0}, "window_seconds = 0: write it in seconds"),
    (
        {"window_seconds": 86400.0},
        r"window_seconds = 86400: .*None takes whole tracks.*\(was 86\.4 meant, 86400 ms\?\)",
    ),
    ({"window_seconds": 3000, "hop_seconds": 2000}, None),
    ({"window_seconds": float("nan")}, "window_seconds = nan: make it a number of seconds, or None"),
    ({"window_seconds": True}, "window_seconds = True: make it a number"),
    ({"window_seconds": "3"}, "window_seconds = '3': make it a number"),
    ({"window_seconds": np.float32("nan")}, "window_seconds = nan: make it a number"),
    ({"hop_seconds": 1e-4}, r"hop_seconds = 0\.0001: write it in seconds, from 0\.003 to 60 for windows of 3 s"),
    ({"hop_seconds": 0}, "hop_seconds = 0: write it in seconds"),
    ({"hop_seconds": 2000}, r"hop_seconds = 2000: .*\(was 2 meant, 2000 ms\?\)"),
    ({"hop_seconds": 61.0}, "from 0.003 to 60"),
    ({"window_seconds": 0.01, "minimum_seconds": 0.01, "hop_seconds": 0.0005}, "hop_seconds = 0.0005"),
    ({"minimum_seconds": 7200.0}, "minimum_seconds = 7200: write it in seconds, from 0 to 3,600"),
    ({"minimum_seconds": np.inf}, "minimum_seconds = inf: make it a number of seconds"),
    ({"maximum_seconds": 1e-4}, "maximum_seconds = 0.0001"),
    ({"maximum_seconds": 1e6}, "maximum_seconds = 1e\\+06: .* to 86,400; None"),
]


@pytest.mark.parametrize(("declared", "message"), IMPLAUSIBLE, ids=lambda value: str(value)[:60])
def test_what_cannot_be_meant_is_refused(declared, message):
    encoder = Plain(**declared)
    if message is None:  # odd, but possible
        space_of(encoder, None, None)
        return
    with pytest.raises(UserError, match=rf"the encoder Plain declares .*{message}"):
        space_of(encoder, None, None)


USUAL = [
    {}, {"sample_rate": 1000}, {"sample_rate": 768_000}, {"sample_rate": 192_000, "channels": 2},
    {"dim": 1}, {"dim": 691_200}, {"dim": 4800, "layers": tuple(map(str, range(73)))},
    {"window_seconds": None, "hop_seconds": None, "minimum_seconds": None},
    {"window_seconds": 0.064, "hop_seconds": 0.01, "minimum_seconds": None},
    {"window_seconds": 360.0, "hop_seconds": None}, {"hop_seconds": 60.0}, {"maximum_seconds": 3600.0},
    {"window_seconds": 3600.0, "hop_seconds": 3600},
]  # fmt: skip


@pytest.mark.parametrize("declared", USUAL, ids=str)
def test_what_encoders_do_declare_passes(declared):
    space_of(Plain(**declared), None, None)


def test_numbers_of_numpy_are_the_same_declarations():
    ours = Plain(window_seconds=3.0, hop_seconds=2.0)
    theirs = Plain(
        sample_rate=np.int64(16000), dim=np.int32(4), channels=np.uint8(1), window_seconds=np.float32(3.0),
        hop_seconds=np.float64(2.0), minimum_seconds=np.float16(0.5),
    )  # fmt: skip
    assert theirs.fingerprint() == ours.fingerprint()
    assert space_of(theirs, None, None) == space_of(ours, None, None)
    json.dumps(space_of(theirs, None, None).describe())
    assert type(theirs.sample_rate) is int


def test_a_number_of_numpy_that_cannot_be_replaced_is_named():
    class Fixed(Plain):
        @property
        def dim(self):
            return np.int64(4)

    with pytest.raises(UserError, match=r"dim = np\.int64\(4\), a number of numpy: return 4 instead"):
        check_declarations(Fixed())


@pytest.mark.parametrize(("window", "hop"), [(1e-4, None), (90000.0, None), (3.0, 0.0001), (3.0, 100.0)])
def test_the_windows_of_a_task_are_held_to_it_too(window, hop):
    with pytest.raises(UserError, match=r"the task asks for (window|hop)_seconds = "):
        window_rule(Plain(minimum_seconds=0), window, hop)


def test_options_of_files_and_modules(tmp_path):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def forward(self, waves):
            return torch.stack([waves.abs().mean(1), waves.square().mean(1)], 1)

    file = tmp_path / "net.pt"
    torch.jit.script(Net()).save(file)
    name = f"torchscript:{file}"
    for query, message in (
        ("sample_rate=16&window=3", r"has sample_rate=16: .*16,000 meant"),
        ("sample_rate=16000&window=0.0001", "has window_seconds = 0.0001"),
        ("sample_rate=16000&window=90000", "has window_seconds = 90000"),
        ("sample_rate=16000&window=3&hop=0.0001", "has hop_seconds = 0.0001"),
        ("sample_rate=16000&window=3&hop=300", "has hop_seconds = 300"),
    ):
        with pytest.raises(UserError, match=message):
            resolve_one(f"{name}?{query}&layout=bn&trust=1", tmp_path)
    assert parse(name).kind == "torchscript"


def test_embeddings_of_a_length_of_audio_are_refused(tmp_path):
    np.savez(tmp_path / "wide.npz", ids=np.array(["a"]), embeddings=np.ones((1, 1_000_001), np.float32))
    with pytest.raises(UserError, match=r"has the shape \[1, 1000001\]: an embedding has at most 1,000,000 numbers"):
        Precomputed(tmp_path / "wide.npz")


def test_a_run_with_kilohertz_scores_nothing(tmp_path, make_task):
    from benchmark import run

    with pytest.raises(UserError, match="was 16,000 meant"):
        run(Plain(sample_rate=16), str(make_task(per_class=5)), home=tmp_path / "home", results=tmp_path / "results")
    assert not list(tmp_path.glob("results/**/*.json"))
    assert soundfile.info(next(tmp_path.glob("**/*.flac"))).samplerate == 8000
