"""Instruction sets and libraries of this machine, which decide how products are rounded."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

#: Flags of a processor that products depend on, as Linux writes them, the older first.
FLAGS = (
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512dq", "avx512bw", "avx512vl",
    "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "bf16", "sve",
    "sve2",
)  # fmt: skip
#: The sets of oneDNN on x86-64 that matter, each with the flags that it needs, the older first.
SETS = (
    ("SSE41", ("sse4_1",)),
    ("AVX", ("avx",)),
    ("AVX2", ("avx2",)),
    ("AVX2_VNNI", ("avx_vnni",)),
    ("AVX512_CORE", ("avx512f", "avx512dq", "avx512bw", "avx512vl")),
    ("AVX512_CORE_VNNI", ("avx512_vnni",)),
    ("AVX512_CORE_BF16", ("avx512_bf16",)),
    ("AVX512_CORE_FP16", ("avx512_fp16",)),
    ("AVX512_CORE_AMX", ("amx_tile", "amx_bf16", "amx_int8")),
)
#: Variables that lower what a library may use.
LIMITS = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR",
    "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES",
)  # fmt: skip


def arithmetic() -> dict[str, Any]:
    """Return what decides how this process rounds, as the fields of a record's hardware.

    ``instructions``, ``flags``, ``onednn``, ``blas``, ``threads`` and ``limits``; see
    :class:`results.sections.inputs.HardwareSection`.
    """
    import torch
    from threadpoolctl import threadpool_info

    built, flags = torch.__config__.show(), processor_flags()
    mkl = re.search(r"oneAPI Math Kernel Library Version (\S+)", built)
    blas = {f"MKL {mkl[1]} (of torch)"} if mkl else set()
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            kernel = pool.get("architecture") or "kernel unknown"
            blas.add(f"{pool['internal_api']} {pool.get('version') or 'of unknown version'} ({kernel})")
    return {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "flags": flags,
        "onednn": _onednn(built, flags),
        "blas": sorted(blas),
        "threads": torch.get_num_threads(),
        "limits": {name: os.environ[name] for name in LIMITS if os.environ.get(name)},
    }


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return those of :data:`FLAGS` that the processor has; nothing where the system does not tell."""
    if sys.platform != "linux":
        return []
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            has = set(values.split())
            return [flag for flag in FLAGS if flag in has]
    return []


def _onednn(built: str, flags: list[str]) -> str | None:
    """Return oneDNN's version and the instruction set that it may use, by the processor and by the environment."""
    version = re.search(r"(?:MKL-DNN|oneDNN)\D{0,3}(\d[\w.]*)", built)
    if version is None:
        return None
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return version[1]
    names = [name for name, _ in SETS]
    most = [name for name, needs in SETS if set(needs) <= set(flags)]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    allowed = names[: names.index(limit.upper()) + 1] if limit.upper() in names else names
    used = [name for name in most if name in allowed]
    return f"{version[1]} ({used[-1] if used else 'no known instruction set'})"
