"""What must change a fingerprint, and what must not: the ways in which an encoder changes without changing its name."""

import subprocess
import sys

import pytest
import torch

from benchmark.encoders.base import Encoder
from benchmark.encoders.fingerprint import modules_in, set_to_eval
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError

PLUGIN = """
import torch
from benchmark import Encoder
from {helper} import K


class Mine(Encoder):
    name, sample_rate, dim = "mine", 8000, 1

    def embed(self, waveforms):
        return K * waveforms.mean((1, 2))[:, None]
"""


def fingerprint_of(file):
    """In a process of its own: a module that is loaded once does not change."""
    code = (
        "import sys\nfrom benchmark.encoders.registry import resolve_one\nprint(resolve_one(sys.argv[1]).fingerprint())"
    )
    return subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True).stdout


class TestCode:
    def test_a_module_of_the_users_that_the_file_imports_counts(self, tmp_path):
        file, helper = tmp_path / "enc.py", tmp_path / "beside_it.py"
        file.write_text(PLUGIN.format(helper="beside_it"))
        helper.write_text("K = 1\n")
        before = fingerprint_of(file)
        assert fingerprint_of(file) == before
        helper.write_text("K = 5\n")
        assert fingerprint_of(file) != before

    @pytest.mark.parametrize("name", ["torch_front", "benchmark_parts"])
    def test_a_users_module_whose_name_begins_like_ours_counts(self, tmp_path, name):
        file, helper = tmp_path / "enc.py", tmp_path / f"{name}.py"
        file.write_text(PLUGIN.format(helper=name))
        helper.write_text("K = 1\n")
        before = fingerprint_of(file)
        helper.write_text("K = 5\n")
        assert fingerprint_of(file) != before

    @pytest.mark.parametrize("statement", ["from late_part import K", "from late_pack.deep import K"])
    def test_what_is_imported_inside_functions_counts_and_is_not_imported(self, tmp_path, statement):
        file, part, pack = tmp_path / "enc.py", tmp_path / "late_part.py", tmp_path / "late_pack"
        text = PLUGIN.replace("from {helper} import K\n", "").replace(
            "        return", f"        import nowhere.at_all\n        {statement}\n        return"
        )
        file.write_text(text)
        pack.mkdir()
        (pack / "__init__.py").write_text("raise SystemExit('imported')\n")
        (pack / "deep.py").write_text("from ..... import beyond\nfrom . import K\nimport late_part\n")
        part.write_text("raise SystemExit('imported')\nK = 1\n")
        before = fingerprint_of(file)
        assert fingerprint_of(file) == before
        part.write_text("raise SystemExit('imported')\nK = 2\n")
        assert fingerprint_of(file) != before

    def test_a_module_that_nothing_imports_does_not(self, tmp_path):
        file = tmp_path / "enc.py"
        file.write_text(PLUGIN.format(helper="beside_it"))
        (tmp_path / "beside_it.py").write_text("K = 1\n")
        before = fingerprint_of(file)
        (tmp_path / "stranger.py").write_text("K = 2\n")
        assert fingerprint_of(file) == before

    def test_a_script_counts_with_all_that_stands_in_it(self, tmp_path):
        script = tmp_path / "script.py"
        text = PLUGIN.replace("from {helper} import K", "K = 1") + "\n\nprint(Mine().fingerprint())\n"
        digests = []
        for source in (text, text.replace("K = 1", "K = 100"), text):
            script.write_text(source)
            done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
            digests.append(done.stdout)
        assert digests[0] != digests[1]
        assert digests[0] == digests[2]


class Gain(torch.nn.Module):
    def __init__(self, k: float, hidden: float = 0.0) -> None:
        super().__init__()
        self.k = k
        self.register_buffer("unsaved", torch.tensor(hidden), persistent=False)

    def forward(self, x):
        return x * self.k + self.unsaved


class Wrapping(Encoder):
    name, sample_rate, dim = "wrapping", 8000, 1

    def __init__(self, *modules):
        self.nets = list(modules)


class TestModules:
    def test_plain_attributes_and_unsaved_buffers_of_parts_count(self):
        prints = [
            Wrapping(torch.nn.Sequential(gain)).fingerprint() for gain in (Gain(1), Gain(2), Gain(1, 0.5), Gain(1))
        ]
        assert len(set(prints)) == 3
        assert prints[0] == prints[3]

    def test_what_a_part_counts_can_be_named_in_not_in_fingerprint(self):
        class Counting(Encoder):
            name, sample_rate, dim = "counting", 8000, 1
            not_in_fingerprint = ("k",)

            def __init__(self, k):
                self.net = Gain(k)

        assert Counting(1).fingerprint() == Counting(2).fingerprint()

    def test_what_a_module_of_an_installed_package_keeps_while_it_runs_does_not_count(self):
        attention = torch.nn.MultiheadAttention(4, 1)
        before = Wrapping(attention).fingerprint()
        attention.cached_length = 7
        assert Wrapping(attention).fingerprint() == before

    def test_what_cannot_be_hashed_is_refused_with_the_ways_out(self):
        with pytest.raises(UserError, match=r"Wrapping.nets changes.*pathlib\.Path attribute, whose content is hashed"):
            Wrapping(object()).fingerprint()

    def test_exported_programs_have_a_mode_of_their_own(self):
        program = torch.export.export(torch.nn.Dropout().eval(), (torch.zeros(2),)).module()
        dropout = torch.nn.Dropout()
        set_to_eval(Wrapping(program, dropout))
        assert not dropout.training

    def test_modules_in_lists_and_mappings_are_set_to_eval(self):
        nets = [torch.nn.Dropout(), torch.nn.Dropout()]
        encoder = Wrapping(nets[0], {"deep": (nets[1],)})
        assert nets == modules_in(encoder.nets)
        encoder.to("cpu")
        assert not any(net.training for net in nets)


class TestNeighbours:
    def test_a_file_may_import_its_neighbour_and_a_module_name_is_found_in_the_working_folder(
        self, tmp_path, monkeypatch
    ):
        (tmp_path / "neighbour_of_enc.py").write_text("K = 1\n")
        file = tmp_path / "encoder_with_neighbour.py"
        file.write_text(PLUGIN.format(helper="neighbour_of_enc"))
        before = list(sys.path)
        assert resolve_one(str(file)).name == "mine"
        monkeypatch.chdir(tmp_path)
        assert resolve_one("encoder_with_neighbour:Mine").name == "mine"
        assert sys.path == before

    def test_a_path_with_a_comma_is_one_path(self, tmp_path):
        from benchmark.encoders.registry import resolve

        (tmp_path / "a, b").mkdir()
        file = tmp_path / "a, b" / "enc.py"
        file.write_text(PLUGIN.replace("from {helper} import K", "K = 1"))
        assert [encoder.name for encoder in resolve(f"{file}:Mine")] == ["mine"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_built_in_answers_with_its_version(version, monkeypatch):
    from benchmark.encoders.handcrafted.mfcc import Mfcc

    before = Mfcc().fingerprint()
    monkeypatch.setattr(Mfcc, "version", version)
    assert (Mfcc().fingerprint() == before) == (version == "1")
