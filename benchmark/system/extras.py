"""The commands that install the extras of this package.

The program is on no package index, so that its name there would be whoever registers it. From a checkout an extra is
installed of the checkout; elsewhere the packages that it stands for are.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "music-probe-benchmark"


def install_command(extra: str) -> str:
    """Return the command that installs the packages of an extra beside this program, wherever one stands."""
    pip = [sys.executable, "-P", "-m", "pip", "install"]
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file() and (root / "constraints.txt").is_file():
        return shlex.join([*pip, "-c", str(root / "constraints.txt"), "-e", f"{root}[{extra}]"])
    packages = packages_of(extra)
    return shlex.join([*pip, *packages]) if packages else f"install the packages of its extra [{extra}]"


def packages_of(extra: str) -> list[str]:
    """Return the requirements of an extra, such as ``onnxruntime>=1.17``."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        requirements = []
    marked = [
        re.fullmatch(r"([^;]+);\s*extra\s*==\s*['\"]([^'\"]+)['\"]\s*", requirement) for requirement in requirements
    ]
    return [match[1].strip() for match in marked if match and match[2] == extra]
