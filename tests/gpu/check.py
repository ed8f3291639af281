"""Run every CUDA path as tests, and print on one page what rates they reach of what the card could.

    python3 tests/gpu/check.py [--device cuda] [--wheels .whl] [--limit 450]

Needs nothing but a Python that has torch and the packages too large to be carried (see wheels.txt): what else is
missing is installed from a folder of wheels (``make gpu-wheels`` fills it), into a folder that is deleted at the end.
Without a GPU it says so. ``--device cpu`` tries the checks themselves, on little data: its rates mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LARGE = ("numpy", "pandas", "pyarrow", "sklearn", "scipy", "torch")  # the machine's own
SIZE = 8192


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 where all passed or there is no GPU, 1 where a test failed, 2 where none could run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the checks themselves")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".whl", help="wheels of what the machine lacks")
    parser.add_argument("--limit", type=float, default=450.0, help="seconds after which the tests are ended")
    given = parser.parse_args(arguments)
    lacking = [name for name in LARGE if importlib.util.find_spec(name) is None]
    if lacking:
        print(f"This Python ({sys.executable}) has no {', '.join(lacking)}: install {'them' if lacking[1:] else 'it'}.")
        return 2
    import torch

    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"No GPU: torch {torch.__version__} sees no CUDA device here. Nothing was checked.")
        return 0
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        site, rates = Path(folder, "site"), Path(folder, "rates.jsonl")
        problem = install(given.wheels, site)
        if problem:
            print(problem)
            return 2
        describe_project(site)
        began = time.monotonic()
        status, counts = run_tests(given.device, site, rates, given.limit)
        lines = rates.read_text(encoding="utf-8").splitlines() if rates.exists() else []
        print(page(given.device, [json.loads(line) for line in lines], counts, time.monotonic() - began))
    return status


def install(wheels: Path, site: Path) -> str:
    """Install those wheels into ``site`` whose packages this Python lacks; return what is wrong, or nothing."""
    site.mkdir()
    chosen = []
    for wheel in sorted(wheels.glob("*.whl")):
        try:
            metadata.distribution(wheel.name.partition("-")[0])
        except metadata.PackageNotFoundError:
            chosen.append(wheel)
    if chosen:
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
            "--no-compile", "--target", str(site), *map(str, chosen),
        ]  # fmt: skip
        if subprocess.run(command, check=False, cwd=site).returncode:
            return (
                f"The wheels of {wheels} could not be installed: make gpu-wheels makes them for one version of Python"
            )
    if importlib.util.find_spec("pytest") is None and not (site / "pytest").is_dir():
        return f"pytest is neither here nor in {wheels}: make gpu-wheels, where there is a network"
    return ""


def describe_project(site: Path) -> None:
    """Write the name and version of this checkout where installed packages have them: records state the version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir()
    text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")


def run_tests(device: str, site: Path, rates: Path, limit: float) -> tuple[int, str]:
    """Run the tests of this folder in a process of their own; return its exit status and what it counted."""
    paths = [str(ROOT), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(paths), "BENCH_GPU_DEVICE": device, "BENCH_GPU_RATES": str(rates),
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    if device == "cpu":  # what is tried is small, and threads wait for each other
        environment.setdefault("OMP_NUM_THREADS", "1")
    command = [
        sys.executable, "-m", "pytest", str(HERE), "-m", "gpu", "-v", "-rfEs", "--tb=short", "-p", "no:cacheprovider",
        "--durations=5",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, errors="replace")
    assert process.stdout is not None
    last, ended = "nothing was run", threading.Event()

    def end() -> None:
        ended.set()
        process.kill()

    timer = threading.Timer(limit, end)
    timer.start()
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
        status = min(process.wait(), 1)
        if ended.is_set():
            return 1, f"ended after {limit:g} s, before all had run; the last line was: {last}"
        return abs(status), last.strip("= ")
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def limits_of(card: str) -> Mapping[str, float] | None:
    """Return what the vendor says of a card: TFLOP/s in fp32 and bf16, GB/s of its memory; or ``None``."""
    cards = tomllib.loads((HERE / "cards.toml").read_text(encoding="utf-8"))
    named = [name for name in cards if name in card]
    return cards[max(named, key=len)] if named else None


def measured(device: str, size: int) -> dict[str, float]:
    """Return the rates of large products in TFLOP/s and of a copy in GB/s, read and written, on ``device``."""
    import torch

    def best(call: Any) -> float:
        call()
        found = []
        for _ in range(5):
            wait(device)
            started = time.perf_counter()
            call()
            wait(device)
            found.append(time.perf_counter() - started)
        return min(found)

    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        rates[name] = 2 * size**3 / best(lambda left=left, right=right: left @ right) / 1e12
    source = torch.ones(size, size * 4, device=device)
    target = torch.empty_like(source)
    rates["memory"] = 2 * source.nbytes / best(lambda: target.copy_(source)) / 1e9
    return rates


def wait(device: str) -> None:
    """Wait until the device has done its work."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def page(device: str, rates: Sequence[Mapping[str, Any]], counts: str, seconds: float) -> str:
    """Return the page: the card, its limits, and every rate beside them."""
    import torch

    cuda = device.startswith("cuda")
    card = torch.cuda.get_device_name(device) if cuda else "CPU"
    here, said = measured(device, SIZE if cuda else 1024), limits_of(card) if cuda else None
    lines = [
        "",
        f"# GPU check: {card}, torch {torch.__version__}, Python {sys.version.split()[0]}",
        "",
        "| limit | measured here | the vendor's figure |",
        "| --- | --- | --- |",
    ]
    for name, words, unit in (
        ("fp32", "products in fp32", "TFLOP/s"), ("bf16", "products in bf16", "TFLOP/s"), ("memory", "copy", "GB/s"),
    ):  # fmt: skip
        vendor = "not in cards.toml" if said is None else f"{said[name]:g} {unit}"
        lines.append(f"| {words} | {here[name]:.4g} {unit} | {vendor} |")
    lines += ["", "| what | rate | TFLOP/s | of a large product here | of the vendor's figure |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for rate in rates:
        reached = rate["flop"] / rate["seconds"] / 1e12
        cells = ["-", "-", "-"]
        if rate["flop"]:
            share = "-" if said is None else f"{reached / said[rate['precision']]:.1%}"
            cells = [f"{reached:.3g}", f"{reached / here[rate['precision']]:.1%}", share]
        lines.append(f"| {rate['what']} | {rate['words']} | {' | '.join(cells)} |")
    lines += ["", f"{counts}; {seconds:.0f} s in all", "Rates in fp32 are without TF32, but for pre-training."]
    if not cuda:
        lines.append("No GPU was used: these rates are of tiny inputs and mean nothing.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
