"""How this machine rounds, in words."""

import json
import subprocess
import sys

import pytest

from benchmark.system.processor import FLAGS, _onednn, arithmetic, processor_flags
from results.sections.inputs import HardwareSection

BUILT = "  - Intel(R) MKL-DNN v3.7.1 (Git Hash 8d263e693366ef8db40acc569cc7d8edf644556d)\n"


def test_what_decides_rounding_is_in_the_record():
    found = arithmetic()
    assert found["instructions"]
    assert found["threads"] >= 1
    assert found["blas"]
    assert set(found) <= set(HardwareSection.model_fields)


def test_a_process_that_may_use_less_says_so():
    code = "import json; from benchmark.system.processor import arithmetic; print(json.dumps(arithmetic()))"
    limits = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **limits}
    )
    found = json.loads(done.stdout)
    assert found["instructions"] == "DEFAULT"
    assert found["limits"] == limits
    if found["onednn"] is not None and "(" in found["onednn"]:
        assert found["onednn"].endswith("(SSE41)")


def test_flags_are_read_in_a_fixed_order(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx512f avx2 sse4_1 avx\n\nprocessor\t: 1\nflags\t: none\n")
    if sys.platform == "linux":
        assert processor_flags(file) == ["sse4_1", "avx", "avx2", "avx512f"]
    file.write_text("nothing of the kind\n")
    assert processor_flags(file) == []
    assert len(set(FLAGS)) == len(FLAGS)


@pytest.mark.parametrize(
    ("flags", "limit", "used"),
    [
        (["sse4_1", "avx", "avx2"], "", "AVX2"),
        (["sse4_1", "avx", "avx2"], "SSE41", "SSE41"),
        (["sse4_1", "avx", "avx2", "avx512f", "avx512dq", "avx512bw", "avx512vl"], "", "AVX512_CORE"),
        (["sse4_1", "avx", "avx2", "avx512f"], "", "AVX2"),
        (["sse4_1", "avx"], "avx2", "AVX"),
        ([], "", "no known instruction set"),
    ],
)
def test_onednn_uses_the_newest_set_that_is_there_and_allowed(monkeypatch, flags, limit, used):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert _onednn(BUILT, flags) == f"3.7.1 ({used})"
    assert _onednn("no such line", flags) is None
