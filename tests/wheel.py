"""Build the wheel, install it where no checkout is known, and run a demo task with it in an empty folder.

    python tests/wheel.py [HOME]

HOME is a data home whose demo collection is used, such as that of ``make demo``; without, the collection is rendered.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Raise what says that a step has failed."""
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = Path(name)
        home = Path(sys.argv[1]).resolve() if sys.argv[1:] else folder / "home"
        pip = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
        (wheel,) = folder.glob("*.whl")
        venv.create(folder / "venv")
        scripts = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        # The packages that it needs are those of this environment; links of an editable installation among them are not
        # followed from a .pth file, so that nothing of the checkout is found.
        (packages,) = (folder / "venv").glob("[Ll]ib/**/site-packages")
        (packages / "needed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        subprocess.run([*pip, "--python", scripts / "python", "install", "--no-deps", wheel], check=True)
        empty = folder / "empty"
        empty.mkdir()
        command = ["run", "-e", "mfcc", "-t", "demo_key", "--trials", "2", "--seeds", "2", "--home", home]
        subprocess.run([scripts / "bench", *command], cwd=empty, check=True)
        where = "import benchmark, sys; sys.exit(benchmark.__file__.startswith(sys.argv[1]))"
        subprocess.run([scripts / "python", "-c", where, str(ROOT)], cwd=empty, check=True)
        records = list(empty.glob("results/runs/demo_key/*.json"))
        print(f"{wheel.name} ran outside the checkout: {', '.join(record.name for record in records)}")
        if not records:
            sys.exit("no record was written")


if __name__ == "__main__":
    main()
