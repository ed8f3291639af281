"""The command that installs an extra works from a checkout and from a wheel, and names no package that is not there."""

import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest

from benchmark.system import extras

ROOT = Path(extras.__file__).resolve().parents[2]
EXTRAS = (
    "av", "export", "hf", "mirdata", "mlflow", "onnx", "opensmile", "pretrain", "report", "tensorboard", "trackio",
    "wandb",
)  # fmt: skip


@pytest.mark.parametrize("extra", EXTRAS)
def test_from_a_checkout(extra):
    words = shlex.split(extras.install_command(extra))
    assert words[:5] == [sys.executable, "-P", "-m", "pip", "install"]
    assert words[5:] == ["-c", str(ROOT / "constraints.txt"), "-e", f"{ROOT}[{extra}]"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_from_a_wheel(extra, monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "benchmark" / "system" / "extras.py"))
    words = shlex.split(extras.install_command(extra))[5:]
    assert words
    assert words == extras.packages_of(extra)
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for word in words:  # what was tested was put on the index by somebody else than a stranger to come
        assert re.match(r"[A-Za-z0-9_.-]+", word)[0].lower() in pinned
    assert not any("music-probe" in word for word in words)


def test_without_metadata_nothing_is_made_up(monkeypatch, tmp_path):
    def lost(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "__file__", str(tmp_path / "benchmark" / "system" / "extras.py"))
    monkeypatch.setattr(extras.metadata, "requires", lost)
    assert extras.install_command("hf") == "install the packages of its extra [hf]"


def test_every_extra_of_the_project_is_known():
    """Those for work on the project itself, which no message asks for, are dev and docs."""
    assert {*EXTRAS, "dev", "docs"} == set(metadata.metadata("music-probe-benchmark").get_all("Provides-Extra"))


def test_no_message_or_page_tells_to_install_this_program_by_its_name():
    """Whoever registered it would be installed."""
    told = re.compile(r"pip3? install[^\n`]*music-probe-benchmark|uv (pip|add)[^\n`]*music-probe-benchmark")
    files = [path for folder in ("benchmark", "tasks", "probes", "results") for path in (ROOT / folder).rglob("*.py")]
    files += [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert len(files) > 100
    assert [path.name for path in files if told.search(path.read_text(encoding="utf-8"))] == []
