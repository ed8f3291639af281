"""The script around the checks, without a GPU: what it says, the card's limits, the page, what it installs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", HERE / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_and_ends(script, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(script, "run_tests", lambda *given: pytest.fail("tests were run"))
    assert script.main([]) == 0
    assert capsys.readouterr().out.startswith("No GPU: torch ")


def test_what_python_lacks_is_named(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "LARGE", ("torch", "no_such_package", "nor_this_one"))
    assert script.main([]) == 2
    assert "has no no_such_package, nor_this_one: install them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("card", "bf16"),
    [("NVIDIA H200", 989.0), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA L40S", 362.0), ("NVIDIA L4", 121.0)],
)
def test_the_limits_are_those_of_the_longest_name(script, card, bf16):
    assert script.limits_of(card)["bf16"] == bf16


def test_an_unknown_card_has_no_limits(script):
    assert script.limits_of("Tesla K80") is None
    assert script.limits_of("CPU") is None


def test_the_page_says_what_share_of_each_limit_was_reached(script, monkeypatch):
    monkeypatch.setattr(script, "measured", lambda device, size: {"fp32": 50.0, "bf16": 800.0, "memory": 4300.0})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    rates = [
        {"what": "a network", "seconds": 2.0, "flop": 2e13, "precision": "fp32", "words": "9 times real time"},
        {"what": "the same", "seconds": 1.0, "flop": 8e13, "precision": "bf16", "words": "20 times real time"},
        {"what": "reading", "seconds": 1.0, "flop": 0.0, "precision": "fp32", "words": "7 a second"},
    ]
    page = script.page("cuda", rates, "70 passed, 1 skipped in 200s", 210.0)
    assert "| a network | 9 times real time | 10 | 20.0% | 14.9% |" in page
    assert "| the same | 20 times real time | 80 | 10.0% | 8.1% |" in page
    assert "| reading | 7 a second | - | - | - |" in page
    assert "70 passed, 1 skipped in 200s; 210 s in all" in page
    assert "mean nothing" not in page


def wheel(folder: Path, name: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "value = 7\n")
        about = f"{name}-1.0.dist-info"
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")


def test_wheels_of_what_is_there_are_left_alone(script, tmp_path, monkeypatch):
    """A carried NumPy that stood before the machine's own would break its torch."""
    wheel(tmp_path, "carried_only")
    wheel(tmp_path, "numpy")
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.install(tmp_path, tmp_path / "site") == ""
    assert [Path(each).name for each in ran[0] if each.endswith(".whl")] == ["carried_only-1.0-py3-none-any.whl"]
    assert "--no-index" in ran[0]


def test_the_checkout_is_found_as_the_installed_project(script, tmp_path):
    script.describe_project(tmp_path)
    code = "from importlib.metadata import version; print(version('music-probe-benchmark'))"
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    project = tomllib.loads((HERE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found.stdout.strip() == project["version"]


def test_every_wheel_is_pinned():
    lines = (HERE / "wheels.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in (HERE.parents[1] / "constraints.txt").read_text().splitlines()}
    assert {line for line in lines if line and not line.startswith("#")} <= pinned


def test_tests_that_fail_give_exit_1(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "HERE", tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest\npytestmark = pytest.mark.gpu\ndef test_a():\n    assert False\n", encoding="utf-8"
    )
    status, counts = script.run_tests("cpu", tmp_path, tmp_path / "rates", 100.0)
    assert (status, counts.startswith("1 failed")) == (1, True)
    assert "test_one.py" in capsys.readouterr().out


def test_tests_that_hang_are_ended(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "HERE", tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest, time\npytestmark = pytest.mark.gpu\ndef test_a():\n    time.sleep(60)\n", encoding="utf-8"
    )
    status, counts = script.run_tests("cpu", tmp_path, tmp_path / "rates", 4.0)
    assert status == 1
    assert "ended after 4 s" in counts
