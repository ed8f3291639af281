"""Modules with the HEAR functions as encoders."""

import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmark.embeddings.space import check_declarations  # noqa: E402
from benchmark.encoders.packaged.hear import open_hear  # noqa: E402
from benchmark.encoders.spec import parse  # noqa: E402
from benchmark.errors import UserError  # noqa: E402

MODULE = """
import torch
from {name}_parts import WIDTH

print("imported")


class Model(torch.nn.Module):
    sample_rate = 24000
    scene_embedding_size = WIDTH
    timestamp_embedding_size = 3

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, WIDTH))
        self.dropout = torch.nn.Dropout(0.5)


def load_model(model_file_path=""):
    print("loaded")
    model = Model()
    if model_file_path:
        model.load_state_dict(torch.load(model_file_path, weights_only=True))
    return model.train()


def get_scene_embeddings(audio, model):
    print("embedding")
    return model.dropout(audio.abs().mean(1, keepdim=True) * model.weight)


def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 1200, 1200)
    times = torch.arange(frames.shape[1]).repeat(len(audio), 1) * 50.0
    return torch.stack([frames.mean(2), frames.std(2), frames.amax(2)], dim=2), times
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of a new name, with a neighbour, into a folder with a blank, and go there."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    count = iter(range(9))

    def write(change=lambda text: text, width=8):
        name = f"hear_{tmp_path.name.replace('-', '_')}_{next(count)}"
        (folder / f"{name}_parts.py").write_text(f"WIDTH = {width}\n")
        (folder / f"{name}.py").write_text(change(textwrap.dedent(MODULE.format(name=name))))
        return name

    return write


def opened(text):
    return open_hear(parse(text), None)


WAVEFORMS = 0.3 * torch.randn(4, 1, 24000, generator=torch.Generator().manual_seed(0))


def test_scenes_in_evaluation_mode_with_nothing_on_stdout(module, capsys):
    encoder = opened(f"hear:{(name := module())}")
    check_declarations(encoder)
    assert (encoder.name, encoder.sample_rate, encoder.dim, encoder.channels) == (f"hear:{name}", 24000, 8, 1)
    encoder.to("cpu")
    found = encoder.embed(WAVEFORMS)
    assert found.shape == (4, 8)
    assert torch.equal(found, encoder.embed(WAVEFORMS))  # dropout is off
    torch.testing.assert_close(torch.cat([encoder.embed(each[None]) for each in WAVEFORMS]), found)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert all(word in printed.err for word in ("imported", "loaded", "embedding"))


def test_timestamps_when_asked_or_when_there_is_nothing_else(module):
    asked = opened(f"hear:{module()}?embedding=timestamps")
    assert asked.dim == 3
    assert asked.embed(WAVEFORMS).shape == (4, 20, 3)
    only = opened(f"hear:{module(lambda text: text.replace('def get_scene_embeddings', 'def other'))}")
    assert torch.equal(only.embed(WAVEFORMS), asked.embed(WAVEFORMS))


def test_weights_and_source_are_in_the_fingerprint_and_their_place_is_not(module, tmp_path):
    name = module()
    torch.save({"weight": torch.ones(8)}, tmp_path / "one.pt")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "one.pt").write_bytes((tmp_path / "one.pt").read_bytes())
    torch.save({"weight": torch.zeros(8)}, tmp_path / "three.pt")
    plain, one, two, three = (
        opened(f"hear:{name}{at}")
        for at in ("", *(f"@{tmp_path}/{file}.pt" for file in ("one", "elsewhere/one", "three")))
    )
    assert one.name == two.name == f"hear:{name}@one.pt"
    assert two.fingerprint() == one.fingerprint()
    one.embed(WAVEFORMS)
    assert two.fingerprint() == one.fingerprint()
    three.name = plain.name = one.name
    assert len({each.fingerprint() for each in (one, three, plain)}) == 3
    edited = opened(f"hear:{module(lambda text: text + chr(10) + 'NEW = 1' + chr(10))}")
    edited.name = plain.name
    assert edited.fingerprint() != plain.fingerprint()


def test_an_edited_neighbour_is_another_fingerprint(module):
    first, second = opened(f"hear:{module()}"), opened(f"hear:{module(width=9)}")
    second.name, second.dim = first.name, first.dim
    assert first.fingerprint() != second.fingerprint()


def test_windows(module):
    name = module()
    assert opened(f"hear:{name}").window_seconds == 10.0
    encoder = opened(f"hear:{name}?window=4&hop=2&minimum=0.5")
    assert (encoder.window_seconds, encoder.hop_seconds, encoder.minimum_seconds) == (4.0, 2.0, 0.5)
    assert opened(f"hear:{name}?window=track").window_seconds is None


def test_a_model_that_is_no_torch_module_and_answers_arrays(module):
    def change(text):
        text = text.replace("return model.train()", "return model").replace("torch.nn.Module", "object")
        text = text[: text.index("    def __init__")] + text[text.index("\n\ndef load_model") :]
        body = "    import numpy as np\n    return np.ones((len(audio), 8), np.float32)\n"
        start = text.index("def get_scene_embeddings")
        return text[:start] + "def get_scene_embeddings(audio, model):\n" + body

    encoder = opened(f"hear:{module(change)}")
    encoder.to("cpu")
    np.testing.assert_array_equal(encoder.embed(WAVEFORMS), np.ones((4, 8)))
    assert encoder.fingerprint() == encoder.fingerprint()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def load_model", "def load", "is no HEAR module"),
        ("    sample_rate = 24000", "    rate = 1", "sample_rate = None"),
        ("scene_embedding_size = WIDTH", "scene_embedding_size = 'many'", "scene_embedding_size = 'many'"),
        ("model = Model()", "raise RuntimeError('no weights')", "raised RuntimeError: no weights: where it needs"),
        ("import torch\n", "import torch\nimport not_installed_here\n", "cannot import .*not_installed_here"),
    ],
)
def test_what_a_module_lacks_is_named(module, old, new, message):
    with pytest.raises(UserError, match=message):
        opened(f"hear:{module(lambda text: text.replace(old, new, 1))}")


def test_other_problems_are_named(module, tmp_path):
    name = module()
    for text, message in (
        ("hear:no_such_module_here", "Install it, or run the command in the folder that holds it"),
        (f"hear:{name}@{tmp_path}/nowhere.pt", "no weights at"),
        (f"hear:{name}?embeding=scene", "did you mean 'embedding'"),
        (f"hear:{name}?embedding=both", "one of scene, timestamps"),
        (f"hear:{name}?window=0", "above 0"),
    ):
        with pytest.raises(UserError, match=message):
            opened(text)
    scenes = module(lambda text: text.replace("def get_timestamp_embeddings", "def other"))
    with pytest.raises(UserError, match="has no get_timestamp_embeddings"):
        opened(f"hear:{scenes}?embedding=timestamps")
    alone = module(lambda text: text.replace("dim=2), times", "dim=2)"))
    with pytest.raises(UserError, match="return the embeddings and their timestamps, as HEAR wants"):
        opened(f"hear:{alone}?embedding=timestamps").embed(WAVEFORMS)


def test_a_tensorflow_model_is_refused(module):
    def change(text):
        return text.replace(
            "return model.train()", "return type('M', (), {'__module__': 'tensorflow.python.module'})()"
        )

    with pytest.raises(UserError, match="TensorFlow"):
        opened(f"hear:{module(change)}")
