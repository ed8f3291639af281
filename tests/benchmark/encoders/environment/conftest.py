"""Environments that the tests make: without this program, with numpy alone or with torch too, and without any network.

Packages are links to those of this environment, so that nothing else of it can be imported there.
"""

import subprocess
import sys
import sysconfig
import textwrap
import time
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmark.encoders.check.sounds import sounds
from benchmark.encoders.outputs import as_rows, call_encoder

BATCH = sounds(3, 2000, 2000, 1)


def pid_of(encoder):
    return encoder._process._running._process.pid


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid, seconds=10.0):
    until = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def rows_of(encoder, batch=BATCH):
    return as_rows(encoder, call_encoder(encoder, batch.copy(), "cpu"), len(batch))


ONCE = """
mark = os.path.join(self.folder, "once")
if not os.path.exists(mark):
    open(mark, "w").close()
    sys.stderr.write("about to fall\\n")
    {act}
"""

MINE = '''
import os, sys, time
import numpy as np
from benchmark import Encoder
{module}

class Mine(Encoder):
    """Loudness of four quarters."""

    name, version, sample_rate, dim, arrays = "mine", "1", 2000, 4, "{arrays}"
    window_seconds, hop_seconds, minimum_seconds = 1.0, 0.5, 0.1
    {declared}

    def __init__(self, scale: float = 1.0, folder: str = ""):
        self.weights = np.arange(1.0, 5.0) * scale
        self.folder = folder
        {init}

    not_in_fingerprint = ("folder", "calls", "device", "training")

    def embed(self, waveforms):
        waveforms = np.asarray(waveforms)
        quarters = np.array_split(waveforms.mean(1), 4, axis=1)
        rows = (np.stack([np.sqrt(np.square(part).mean(1)) for part in quarters], axis=1) * self.weights)
        rows = rows.astype(np.float32)
        {embed}
        return rows

    {more}
'''


def write_plug_in(folder, name="mine.py", arrays="numpy", module="", declared="", init="", embed="", more=""):
    """Write a plug-in with code in its places, and return its path."""
    code = MINE.replace("{arrays}", arrays)
    places = {"module": (module, 0), "declared": (declared, 4), "init": (init, 8), "embed": (embed, 8)}
    for key, (text, indent) in {**places, "more": (more, 4)}.items():
        block = textwrap.indent(textwrap.dedent(text).strip(), " " * indent).strip()
        code = code.replace(f"{{{key}}}", block or ("pass" if key == "init" else ""))
    file = Path(folder) / name
    file.write_text(code)
    return str(file)


def needed(name, found):
    """Add a package and those that it needs."""
    key = name.lower().replace("_", "-")
    if key in found:
        return
    try:
        found[key] = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return
    for line in found[key].requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed(requirement.name, found)


def made_environment(folder, *packages):
    """Make a virtual environment with links to packages of this one, and return its folder."""
    subprocess.run([sys.executable, "-P", "-m", "venv", "--without-pip", str(folder)], check=True)
    scheme = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    found = {}
    for package in packages:
        needed(package, found)
    for distribution in found.values():
        for top in {file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}:
            link = Path(scheme) / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return Path(folder)


@pytest.fixture(scope="session")
def numpy_environment(tmp_path_factory):
    return made_environment(tmp_path_factory.mktemp("environments") / "small", "numpy")


@pytest.fixture(scope="session")
def torch_environment(tmp_path_factory):
    return made_environment(tmp_path_factory.mktemp("environments") / "torchy", "numpy", "torch")


@pytest.fixture
def plug_in(tmp_path):
    """Write a plug-in into the test's folder."""
    return lambda **parts: write_plug_in(tmp_path, **parts)


@pytest.fixture
def opened(numpy_environment, plug_in):
    """Open a plug-in in the environment with numpy alone."""
    from benchmark.encoders.registry import resolve_one

    def opened(options="", environment=numpy_environment, **parts):
        return resolve_one(f"env:{environment}::{plug_in(**parts)}{options}")

    return opened


@pytest.fixture(scope="session")
def make_environment():
    """Make a virtual environment in a folder with links to packages."""
    return made_environment
