"""``bench doctor``: what this machine has, what is slow here and why. No user, host or folder is named."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from benchmark.system.extras import DISTRIBUTION, packages_of
from benchmark.system.machine import hardware
from benchmark.system.precision import slow_on_processor
from benchmark.system.version import format_version

PACKAGES = ("torch", "numpy", "soundfile", "soxr", "optuna", "scikit-learn", "pandas", "pyarrow")
SMALL_DISK, SMALL_MEMORY = 10e9, 4.0  # bytes; GiB
SIDE, SECONDS = 1024, 0.3  # of the products whose rate is measured


def format_doctor(home: Path) -> str:
    """Return a page on this machine that fits a bug report.

    Args:
        home: The data home; its room is said, and not its path.
    """
    machine = hardware("cpu")
    accelerators, rate, room = _accelerators(), _gigaflops(), _free(home)
    facts = {
        "bench": format_version(),
        "Python": f"{platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{machine['cpu']}, {_cores()} core(s)",
        "instructions": f"{machine['instructions']}; {' '.join(machine['flags']) or 'flags unknown'}",
        "products": f"{rate:,.0f} GFLOP/s in float32 with {machine['threads']} thread(s) of torch",
        "oneDNN, BLAS": "; ".join(filter(None, [machine["onednn"], *machine["blas"]])),
        "memory": f"{machine['memory_gb']:g} GiB, {_available()}",
        "data home": "cannot be looked at" if room is None else f"{decimal(room)} free",
        "accelerators": "; ".join(accelerators) or "none that torch can use",
        "packages": ", ".join(f"{name} {_version(name) or 'missing'}" for name in PACKAGES),
    }
    lines = [f"{name + ':':<14}{text}" for name, text in facts.items() if text]
    lines += ["", "Extras:", *(f"  {name:<11}{text}" for name, text in extras().items())]
    slow = warnings(machine, accelerators=accelerators, room=room)
    return "\n".join(
        [*lines, "", "What is slow here, and why:", *(f"- {line}" for line in slow or ["nothing that shows"])]
    )


def examine(home: Path) -> dict[str, Any]:
    """Return what :func:`format_doctor` tells, for programs; sizes are bytes, and what is not known is ``None``."""
    machine, accelerators, room = hardware("cpu"), _accelerators(), _free(home)
    return {
        "bench": format_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "hardware": machine,
        "gigaflops": _gigaflops(),
        "memory_available": _available_bytes(),
        "data_home_free": room,
        "accelerators": accelerators,
        "packages": {name: _version(name) for name in PACKAGES},
        "extras": extras(),
        "slow": warnings(machine, accelerators=accelerators, room=room),
    }


def extras() -> dict[str, str]:
    """Return each extra of the package with the versions of its packages, or what is missing of it."""
    try:
        names = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        names = []
    return {name: _extra(name) for name in sorted(names) if name not in ("dev", "docs")}


def _extra(name: str) -> str:
    packages = [re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in packages_of(name)]
    versions = {package: _version(package) for package in packages}
    missing = [package for package, version in versions.items() if version is None]
    return f"missing: {', '.join(missing)}" if missing else ", ".join(f"{p} {v}" for p, v in versions.items())


def warnings(machine: Mapping[str, Any], *, accelerators: Sequence[str], room: float | None) -> list[str]:
    """Return sentences on what makes runs slow, or fail, on a machine.

    Args:
        machine: As :func:`benchmark.system.machine.hardware` describes it.
        accelerators: Those that torch can use.
        room: Free bytes below the data home.
    """
    flags, lines = set(machine["flags"]), []
    if not accelerators:
        lines.append("No GPU: 'bench encoders check NAME' says how long an encoder takes here.")
    if flags and not flags & {"avx2", "asimd"}:
        lines.append("The processor has no AVX2: matrix products take several times as long as on one that has.")
    slow = slow_on_processor(flags)
    if slow is not None:
        lines.append(slow)
    if machine["cores"] <= 2:
        lines.append(f"{machine['cores']} core(s): decoding and the encoder share them.")
    if 0 < machine["memory_gb"] < SMALL_MEMORY:
        lines.append(f"{machine['memory_gb']:g} GiB of memory: take a small --batch-size and --workers 1.")
    if room is not None and room < SMALL_DISK:
        lines.append(f"{decimal(int(room))} are free below the data home: give another disk with --home.")
    for name, value in machine["limits"].items():
        lines.append(f"{name}={value} lowers what the libraries may use.")
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is not None and threads.isdecimal() and int(threads) < machine["cores"]:
        lines.append(f"OMP_NUM_THREADS={threads} lowers the threads of matrix products.")
    return lines


def _gigaflops() -> float:
    """Return the rate of float32 matrix products, from a third of a second of them."""
    import torch

    matrix = torch.ones(SIDE, SIDE)
    matrix @ matrix
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        matrix @ matrix
        count += 1
    return 2 * SIDE**3 * count / (time.perf_counter() - began) / 1e9


def _accelerators() -> list[str]:
    import torch

    names = [
        f"cuda:{i} {torch.cuda.get_device_name(i)}, {decimal(torch.cuda.get_device_properties(i).total_memory)}"
        for i in range(torch.cuda.device_count())
    ]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def _cores() -> str:
    every = os.cpu_count() or 1
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every
    return f"{every}" if mine == every else f"{mine} of {every}"


def _available() -> str:
    found = _available_bytes()
    return "how much of it is available is not known" if found is None else f"{decimal(found)} of it available"


def _available_bytes() -> int | None:
    if sys.platform != "linux":
        return None
    found = re.search(r"^MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def _free(home: Path) -> int | None:
    there = next((path for path in (home, *home.parents) if path.exists()), None)
    try:
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
