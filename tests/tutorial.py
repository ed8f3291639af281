"""Execute docs/tutorial.ipynb in a scratch folder; with --write, keep its outputs in it.

python tests/tutorial.py [--write] [--home DIR]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.ipynb"
SECONDS = 500  # for one cell


def executed(page: Path, folder: Path) -> Any:
    """Return a notebook with the outputs of this execution; its current folder is ``folder``.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell ends with an error.
    """
    notebook = nbformat.read(page, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )  # fmt: skip
    return client.execute()


def cleaned(notebook: Any) -> Any:
    """Return a notebook that says nothing of the machine."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    return notebook


def main(arguments: list[str]) -> int:
    """Execute it and say how many cells there are."""
    parser = argparse.ArgumentParser(description="Execute docs/tutorial.ipynb in a scratch folder.")
    parser.add_argument("--write", action="store_true", help="keep the outputs in the notebook")
    parser.add_argument("--home", type=Path, help="a data home (default: a new one)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        os.environ["BENCH_HOME"] = str((given.home or Path(folder) / "home").absolute())
        notebook = executed(PAGE, Path(folder))
    if given.write:
        nbformat.write(cleaned(notebook), PAGE)
    print(f"{len(notebook.cells)} cells of {PAGE.name} executed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
