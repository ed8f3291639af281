"""The page on this machine: complete, without names of users, hosts and folders, and right about what is slow."""

import getpass
import platform

import pytest
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.reports import doctor
from benchmark.system.processor import arithmetic

QUICK = {"cores": 16, "memory_gb": 64.0, "flags": ["avx2", "avx512f", "avx512_bf16"], "limits": {}}


def test_the_page_says_what_a_bug_report_needs_and_names_nobody(tmp_path):
    home = tmp_path / "somebodys" / "home"
    result = CliRunner().invoke(app, ["doctor", "--home", str(home)])
    assert result.exit_code == 0
    for word in ("bench:", "Python:", "processor:", arithmetic()["instructions"], "torch 2.", "Extras:", "slow here"):
        assert word in result.output
    for name in (str(tmp_path), "somebodys", platform.node(), *({getpass.getuser()} - {"root"})):
        assert name not in result.output
    assert not home.exists()


@pytest.mark.parametrize(
    ("changed", "accelerators", "room", "said"),
    [
        ({}, [], 1e12, "No GPU"),
        ({"flags": ["sse4_1"]}, ["cuda:0"], 1e12, "no AVX2"),
        ({"flags": ["avx2"]}, ["cuda:0"], 1e12, "no bf16 instructions"),
        ({"cores": 2}, ["cuda:0"], 1e12, "2 core(s)"),
        ({"memory_gb": 2.0}, ["cuda:0"], 1e12, "2 GiB of memory"),
        ({}, ["cuda:0"], 3e9, "3.0 GB are free"),
        ({"limits": {"MKL_CBWR": "COMPATIBLE"}}, ["cuda:0"], 1e12, "MKL_CBWR=COMPATIBLE"),
    ],
)
def test_what_is_slow_is_said_and_only_that(monkeypatch, changed, accelerators, room, said):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    lines = doctor.warnings({**QUICK, **changed}, accelerators=accelerators, room=room)
    assert [said in line for line in lines if "bf16" not in line or "bf16" in said] == [True]


def test_a_quick_machine_has_nothing_to_say(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert doctor.warnings(QUICK, accelerators=["cuda:0"], room=None) == []
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert doctor.warnings(QUICK, accelerators=["cuda:0"], room=1e12) == [
        "OMP_NUM_THREADS=4 lowers the threads of matrix products."
    ]


def test_an_extra_that_is_not_whole_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "packages_of", lambda name: ["numpy>=1", "nowhere-to-be-found[x]>=2; python_version"])
    assert set(doctor.extras().values()) == {"missing: nowhere-to-be-found"}
