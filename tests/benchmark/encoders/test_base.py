"""The encoder contract: the ten-line plug-in works, and a fingerprint changes exactly when an embedding may."""

import subprocess
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.encoders.base import Encoder, window_of
from benchmark.encoders.handcrafted.logmel import LogMel
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError


class Plain(Encoder):
    name, version, sample_rate, dim = "plain", "1", 16000, 2

    def __init__(self, **attributes) -> None:
        vars(self).update(attributes)


class Module(Encoder, torch.nn.Module):
    """An encoder that is a torch module itself."""

    name, sample_rate, dim = "module", 16000, 4

    def __init__(self, seed: int = 0, width: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = torch.nn.Linear(width, 4)
        self.dropout = torch.nn.Dropout(0.5)
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("mean", torch.zeros(2))
        self.gain = 0.5


class ModuleFirst(torch.nn.Module, Encoder):
    name, sample_rate, dim = "module", 16000, 4

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = torch.nn.Linear(3, 4)
        self.gain = 0.5


def plug_in(folder: Path, body: str, name: str = "mine") -> Encoder:
    """Write a plug-in file and return its encoder."""
    file = folder / f"{name}.py"
    head = "import numpy as np\nimport torch\nfrom benchmark import Encoder\n\nFACTOR = 1\n\n\nclass Mine(Encoder):\n"
    file.write_text(head + "    name, sample_rate, dim = 'mine', 16000, 2\n" + body)
    return resolve_one(str(file))


class TestContract:
    def test_the_ten_lines_of_the_documentation(self):
        class Mine(Encoder):
            name, version, sample_rate, dim = "mine", "1", 16000, 2

            def embed(self, waveforms):
                return torch.stack([waveforms.abs().mean((1, 2)), waveforms.std((1, 2))], dim=1)

        assert Mine().embed(torch.zeros(3, 1, 100)).shape == (3, 2)
        assert len(Mine().fingerprint()) == 64

    def test_without_embed_the_error_says_so(self):
        with pytest.raises(UserError, match=r"Plain has no embed\(waveforms\) method"):
            Plain().embed(np.zeros((1, 1, 10)))

    def test_the_shortest_input(self):
        assert window_of(Plain()) == 3.0
        assert window_of(Plain(minimum_seconds=0.5)) == 0.5
        assert window_of(Plain(window_seconds=None)) == 0.0

    def test_moving_reaches_every_module_and_ends_training(self):
        encoder = Plain(first=torch.nn.Dropout(), second=torch.nn.Sequential(torch.nn.BatchNorm1d(2)), other=3)
        encoder.to("meta")
        assert not encoder.first.training
        assert not encoder.second[0].training
        assert encoder.second[0].weight.device.type == "meta"

    def test_moving_an_encoder_that_is_a_module(self):
        encoder = Module()
        assert encoder.training
        encoder.to("meta")
        assert not encoder.training
        assert not encoder.dropout.training
        assert {tensor.device.type for tensor in encoder.state_dict().values()} == {"meta"}


class TestFingerprint:
    def test_it_is_a_sha256_and_stable(self):
        assert Plain().fingerprint() == Plain().fingerprint()
        assert len(bytes.fromhex(Plain().fingerprint())) == 32

    def test_it_is_the_same_in_every_process(self, tmp_path):
        body = (
            "    def __init__(self):\n        self.a, self.b = {'x', 'y', 'z'}, {'k': np.arange(3)}\n"
            "        self.net = torch.nn.Linear(2, 2)\n        torch.nn.init.ones_(self.net.weight)\n"
            "        torch.nn.init.ones_(self.net.bias)\n"
        )
        here = plug_in(tmp_path, body).fingerprint()
        file = str(tmp_path / "mine.py")
        code = f"from benchmark.encoders.registry import resolve_one as r; print(r({file!r}).fingerprint())"
        for seed in "12":
            there = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
            )
            assert there.stdout.strip() == here

    PAIRS = (
        (1, 2),
        (1.0, 1.5),
        ("a", "b"),
        (True, False),
        (None, 0),
        (b"a", b"b"),
        ([1, 2], [2, 1]),
        ((1, 2), (1, 2, 3)),
        ({1, 2}, {1, 3}),
        pytest.param(frozenset("ab"), frozenset("ac"), id="frozensets"),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": [np.zeros(2)]}, {"a": [np.ones(2)]}),
        (OrderedDict(a=1), OrderedDict(a=2)),
        (np.arange(4), np.arange(4)[::-1]),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        (np.arange(4, dtype="i4"), np.arange(4, dtype="i8")),
        (np.zeros(2), -np.zeros(2)),
        (np.float32(1), np.float32(2)),
        (np.float32(1), np.float64(1)),
        (torch.arange(4), torch.arange(4).flip(0)),
        (torch.arange(4), torch.arange(4).reshape(2, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (torch.zeros(0), torch.zeros(0, 2)),
        (torch.tensor([True]), torch.tensor([False])),
        (torch.float32, torch.bfloat16),
        (torch.nn.Dropout(0.1), torch.nn.Dropout(0.2)),
        (torch.nn.ReLU(), torch.nn.GELU()),
    )

    @pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda value: repr(value)[:40])
    def test_it_tells_values_of_attributes_apart(self, one, other):
        assert Plain(a=one).fingerprint() != Plain(a=other).fingerprint()
        assert Plain(a=one).fingerprint() == Plain(a=one).fingerprint()

    def test_the_layout_of_an_array_in_memory_does_not_matter(self):
        array = np.arange(12).reshape(3, 4)
        assert Plain(a=array).fingerprint() == Plain(a=np.asfortranarray(array)).fingerprint()
        tensor = torch.arange(12).reshape(3, 4)
        assert Plain(a=tensor).fingerprint() == Plain(a=tensor.T.contiguous().T).fingerprint()

    def test_attributes_have_names(self):
        assert Plain(a=1).fingerprint() != Plain(b=1).fingerprint()
        assert Plain(a=1, b=2).fingerprint() == Plain(b=2, a=1).fingerprint()

    def test_what_is_not_in_it(self):
        assert Plain(device="cuda", training=True).fingerprint() == Plain().fingerprint()

        class Counting(Plain):
            not_in_fingerprint = ("calls",)

        assert Counting(calls=1).fingerprint() == Counting(calls=object()).fingerprint()

    def test_a_weight_in_a_module_counts(self):
        def encoder(value: float) -> Encoder:
            net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
            torch.nn.init.ones_(net[0].weight)
            torch.nn.init.zeros_(net[0].bias)
            net[1].running_mean[1] = value
            return Plain(net=net)

        assert encoder(0.0).fingerprint() == encoder(0.0).fingerprint()
        assert encoder(0.0).fingerprint() != encoder(1e-6).fingerprint()

    def test_training_mode_of_a_module_does_not_count(self):
        net = torch.nn.Linear(2, 2)
        before = Plain(net=net).fingerprint()
        net.eval()
        assert Plain(net=net).fingerprint() == before

    @pytest.mark.parametrize(
        "value",
        [object(), print, lambda: 0, np.array([object()]), iter([]), torch.Generator(), types.SimpleNamespace(a=1)],
        ids=lambda value: type(value).__name__,
    )
    def test_what_cannot_be_hashed_is_refused_by_name(self, value):
        with pytest.raises(UserError, match=rf"Plain\.helper changes \(it is a {type(value).__name__}\)"):
            Plain(helper=value).fingerprint()
        with pytest.raises(UserError, match=r"Plain\.deep changes"):
            Plain(deep={"a": [value]}).fingerprint()

    def test_a_file_counts_by_its_content(self, tmp_path):
        first, second = tmp_path / "a.bin", tmp_path / "b.bin"
        first.write_bytes(b"weights")
        second.write_bytes(b"weights")
        assert Plain(file=first).fingerprint() == Plain(file=second).fingerprint()
        second.write_bytes(b"Weights")
        assert Plain(file=first).fingerprint() != Plain(file=second).fingerprint()

    def test_a_folder_counts_by_its_files(self, tmp_path):
        (tmp_path / "m" / "deep").mkdir(parents=True)
        (tmp_path / "m" / "deep" / "weights").write_bytes(b"one")
        before = Plain(folder=tmp_path / "m").fingerprint()
        (tmp_path / "m" / "deep" / "weights").write_bytes(b"two")
        changed = Plain(folder=tmp_path / "m").fingerprint()
        (tmp_path / "m").rename(tmp_path / "n")
        assert before != changed == Plain(folder=tmp_path / "n").fingerprint()


class TestModules:
    """An encoder may be a torch module itself, with either class first."""

    @pytest.mark.parametrize("cls", [Module, ModuleFirst])
    def test_the_same_weights_are_the_same_encoder(self, cls):
        assert cls(0).fingerprint() == cls(0).fingerprint() != cls(1).fingerprint()

    @pytest.mark.parametrize("cls", [Module, ModuleFirst])
    def test_a_plain_attribute_counts(self, cls):
        louder = cls()
        louder.gain = 0.6
        assert louder.fingerprint() != cls().fingerprint()

    def test_parameters_and_buffers_of_its_own_count(self):
        prints = {Module().fingerprint()}
        for name in ("scale", "mean"):
            other = Module()
            with torch.no_grad():
                getattr(other, name)[0] = 7
            prints.add(other.fingerprint())
        assert len(prints) == 3

    def test_use_does_not_change_it(self):
        encoder = Module()
        before = encoder.fingerprint()
        encoder.layer(torch.ones(1, 3)).sum().backward()
        encoder.layer.register_forward_hook(lambda *_: None)
        encoder.register_forward_hook(lambda *_: None)
        encoder.to("cpu")
        assert encoder.fingerprint() == before

    def test_what_cannot_be_hashed_is_still_refused(self):
        encoder = Module()
        encoder.helper = object()
        with pytest.raises(UserError, match=r"Module\.helper"):
            encoder.fingerprint()


class TestSource:
    EMBED = "    def embed(self, x):\n        return x.mean((1, 2))[:, None] * FACTOR\n"

    def test_an_edited_plug_in_is_another_encoder(self, tmp_path):
        one = plug_in(tmp_path, self.EMBED).fingerprint()
        assert plug_in(tmp_path, self.EMBED).fingerprint() == one
        assert plug_in(tmp_path, self.EMBED.replace("FACTOR", "(FACTOR + 1)")).fingerprint() != one

    def test_constants_of_its_class_and_of_its_file_count(self, tmp_path):
        bodies = [
            self.EMBED,
            "    hop = 320\n" + self.EMBED,
            "    hop = 160\n" + self.EMBED,
            self.EMBED + "\n\nFACTOR = 2\n",
        ]
        assert len({plug_in(tmp_path, body).fingerprint() for body in bodies}) == 4

    def test_a_moved_plug_in_is_the_same_encoder(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        one = plug_in(tmp_path, self.EMBED).fingerprint()
        assert plug_in(tmp_path / "elsewhere", self.EMBED, "other_name").fingerprint() == one

    def test_a_class_keeps_the_code_that_it_was_loaded_with(self, tmp_path):
        encoder = plug_in(tmp_path, self.EMBED)
        before = encoder.fingerprint()
        (tmp_path / "mine.py").write_text("edited after it was loaded")
        assert encoder.fingerprint() == before
        (tmp_path / "mine.py").unlink()
        assert encoder.fingerprint() == before

    def test_plug_ins_of_one_file_name_keep_apart(self, tmp_path):
        (tmp_path / "other").mkdir()
        one = plug_in(tmp_path, self.EMBED)
        before = one.fingerprint()
        two = plug_in(tmp_path / "other", self.EMBED + "\n\nFACTOR = 2\n")
        assert one.fingerprint() == before != two.fingerprint()

    def test_a_base_class_in_another_file_counts(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(str(tmp_path))
        prints = []
        for factor in (1, 2):
            name = f"encoder_base_{factor}"
            (tmp_path / f"{name}.py").write_text(
                f"from benchmark import Encoder\nclass Base(Encoder):\n    def scale(self): return {factor}\n"
            )
            module = __import__(name)
            prints.append(type("Mine", (module.Base,), {"name": "m", "sample_rate": 8000, "dim": 1})().fingerprint())
        assert prints[0] != prints[1]

    def test_built_in_encoders_answer_with_their_version(self, monkeypatch):
        before = LogMel().fingerprint()
        monkeypatch.setattr(LogMel, "version", "99")
        assert LogMel().fingerprint() != before

    @staticmethod
    def in_notebook(body: str) -> str:
        """Return the fingerprint of an encoder that has no file, as in a notebook."""
        space = {"__name__": "__main__", "Encoder": Encoder}
        code = "class Cell(Encoder):\n    name, sample_rate, dim = 'cell', 8000, 1\n" + body
        exec(compile(code, "<cell>", "exec"), space)  # the class's module is __main__, whose file lacks it
        return space["Cell"]().fingerprint()

    def test_a_class_without_a_file_counts_by_its_members(self):
        bodies = [
            "    hop = 1\n",
            "    hop = 2\n",
            "    hop = (1, [2])\n",
            "    def embed(self, x): return x + 1\n",
            "    def embed(self, x): return x + 2\n",
            "    def embed(self, x): return x - 1\n",
            "    def embed(self, x, by=1): return x + by\n",
            "    def embed(self, x, by=2): return x + by\n",
            "    def embed(self, x, *, by=2): return x + by\n",
            "    def embed(self, x): return [lambda: x + 1]\n",
            "    def embed(self, x): return [lambda: x + 2]\n",
            "    @staticmethod\n    def f(x): return 1\n",
            "    @staticmethod\n    def f(x): return 2\n",
            "    @classmethod\n    def f(x): return 3\n",
            "    @property\n    def f(x): return 1\n",
            "    @property\n    def f(x): return 2\n",
        ]
        prints = [self.in_notebook(body) for body in bodies]
        assert len(set(prints)) == len(bodies)
        assert [self.in_notebook(body) for body in bodies] == prints
