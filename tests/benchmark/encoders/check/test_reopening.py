"""Opened twice, an encoder of any kind has one fingerprint and gives one answer; what no file holds breaks the rule."""

import re
import textwrap

import numpy as np
import pytest
import torch

from benchmark.encoders.check import rules as rules
from benchmark.reports import encoders

MINE = """
import numpy as np
import torch
from benchmark import Encoder
{module}

class Mine(Encoder):
    name, version, sample_rate, dim, arrays = "mine", "1", 2000, 4, "numpy"
    window_seconds, hop_seconds, minimum_seconds = 1.0, 0.5, 0.1
    {declared}

    def __init__(self):
        self.weights = np.arange(1.0, 5.0)
        {init}

    {more}

    def embed(self, waveforms):
        quarters = np.array_split(waveforms.mean(1), 4, axis=1)
        rows = np.stack([np.sqrt(np.square(part).mean(1)) for part in quarters], axis=1) * self.weights
        return (rows{used}).astype(np.float32)
"""


def write(folder, module="", declared="", init="", more="", used=""):
    parts = {"module": module, "declared": declared, "init": init, "more": more, "used": used}
    code = MINE
    for key, text in parts.items():
        indent = {"init": 8, "more": 4}.get(key, 0)
        code = code.replace(
            f"{{{key}}}", textwrap.indent(text, " " * indent).strip() or ("pass" if indent == 8 else "")
        )
    file = folder / "mine.py"
    file.write_text(code)
    return str(file)


def checked(name, home, capsys, **options):
    text, kept = encoders.check(name, home, arguments=(), task=(), data_roots=(), device="cpu", batch_size=2, **options)
    return kept, text + capsys.readouterr().out


def rule_of(printed):
    """Return what is printed of the rule, in one line."""
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if "opened twice" in line)
    rest = []
    for line in lines[start + 1 :]:
        if not line.startswith(" "):
            break
        rest.append(line.strip())
    return " ".join([lines[start], *rest])


SOUND = {
    "plain": {},
    "seeded": {"init": "self.weights = np.random.default_rng(0).normal(size=4)"},
    "fitted": {
        "declared": "fitted = True",
        "more": "def fit(self, waveforms):\n    self.weights = sum(np.abs(w).mean() for w in waveforms) * np.ones(4)",
    },
    "a set": {"init": "self.names = {'a', 'b', 'c', 'd'}"},
}

BROKEN = {
    "drawn": ({"init": "self.weights = np.random.rand(4)"}, r"fingerprint \w{16} the first time and \w{16} the second"),
    "drawn by torch": ({"init": "self.weights = torch.rand(4).numpy()"}, "the second"),
    "memory": ({"init": "self.weights = np.frombuffer(id(self).to_bytes(8, 'little'), np.uint16) + 1.0"}, "the second"),
    "the time": ({"init": "import time; self.weights = self.weights * time.time()"}, "the second"),
    "at module level": (
        {"module": "DRAWN = np.random.rand(4)", "used": " * DRAWN"},
        "one fingerprint, .* but relative difference .*: something of it is in no file: set a seed",
    ),
    "left out of the fingerprint": (
        {"declared": "not_in_fingerprint = ('drawn',)", "init": "self.drawn = np.random.rand(4)",
         "used": " * self.drawn"}, "one fingerprint, .* but relative difference",
    ),
    "the order of a set": (
        {"init": "self.order = [ord(name) for name in set('abcdefghijklmnop')]"}, "the second",
    ),
}  # fmt: skip


class TestPlugIns:
    @pytest.mark.parametrize("kind", SOUND)
    def test_sound_ones_pass(self, tmp_path, capsys, kind):
        kept, printed = checked(write(tmp_path, **SOUND[kind]), tmp_path, capsys)
        assert kept, printed
        assert rule_of(printed).startswith("pass  opened twice   one fingerprint, ")

    @pytest.mark.parametrize("kind", BROKEN)
    def test_state_of_no_file_breaks_the_rule(self, tmp_path, capsys, kind):
        parts, message = BROKEN[kind]
        kept, printed = checked(write(tmp_path, **parts), tmp_path, capsys)
        assert not kept
        assert rule_of(printed).startswith("FAIL")
        assert re.search(message, rule_of(printed))
        assert "\n1 of 16 rules are broken" in printed

    def test_one_that_opens_only_once_is_named(self, tmp_path, capsys):
        once = (
            f"import os\nif os.path.exists({str(tmp_path / 'opened')!r}):\n    raise OSError('it is open')\n"
            f"open({str(tmp_path / 'opened')!r}, 'w').close()"
        )
        kept, printed = checked(write(tmp_path, init=once), tmp_path, capsys)
        assert not kept
        assert "a second opening, in a process of its own, failed:" in rule_of(printed)
        assert "OSError: it is open" in rule_of(printed)


class TestOtherKinds:
    @pytest.mark.parametrize("name", ["logmel", "random"])
    def test_built_in(self, tmp_path, capsys, name):
        kept, printed = checked(name, tmp_path, capsys)
        assert kept
        assert "pass  opened twice" in printed

    def test_a_class_and_a_hear_module_of_the_current_folder(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write(tmp_path)
        (tmp_path / "mine.py").rename(tmp_path / "reopened_class.py")
        (tmp_path / "reopened_hear.py").write_text(
            "import torch\n\n\nclass Model:\n    sample_rate, scene_embedding_size = 2000, 2\n\n\n"
            "def load_model(path=None):\n    model = Model()\n    model.gain = 1 + torch.rand(2)\n"
            "    return model\n\n\n"
            "def get_scene_embeddings(audio, model):\n"
            "    return torch.stack([audio.abs().mean(1), audio.std(1)], 1) * model.gain\n"
        )
        kept, printed = checked("reopened_class:Mine", tmp_path, capsys)
        assert kept, printed
        kept, printed = checked("hear:reopened_hear?window=1", tmp_path, capsys)
        assert not kept
        assert "FAIL  opened twice" in printed
        assert "but relative difference" in rule_of(printed)

    def test_embeddings_are_read_twice(self, tmp_path, capsys):
        np.savez(tmp_path / "given.npz", ids=np.array(["a", "b"]), embeddings=np.eye(2, 3, dtype=np.float32))
        kept, printed = checked(f"emb:{tmp_path / 'given.npz'}", tmp_path, capsys)
        assert kept
        assert "read twice they are the same" in printed

    def test_torchscript(self, tmp_path, capsys):
        class Net(torch.nn.Module):
            def forward(self, waves):
                return torch.stack([waves.abs().mean(1), waves.std(1)], 1)

        torch.jit.script(Net()).save(tmp_path / "net.pt")
        query = "?sample_rate=2000&window=1&layout=bn&trust=1"
        kept, printed = checked(f"torchscript:{tmp_path / 'net.pt'}{query}", tmp_path, capsys)
        assert kept, printed
        assert "pass  opened twice" in printed


def test_the_rule_tells_what_differs():
    rows = np.ones((2, 3), np.float32)
    assert rules.opened_twice(("a", rows), ("a", rows), 1e-4).passed
    assert not rules.opened_twice(("a", rows), ("b", rows), 1e-4).passed
    assert not rules.opened_twice(("a", rows), ("a", 1.1 * rows), 1e-4).passed
    assert "rows of [2, 3] and [2, 4]" in rules.opened_twice(("a", rows), ("a", np.ones((2, 4))), 1e-4).numbers
