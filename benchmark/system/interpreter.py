"""Start another Python that runs nothing of the current folder.

``python -c`` and ``python -m`` put the current folder first on the path, so that a ``json.py`` or a ``pip.py`` that
somebody left there would be run in place of the module of that name. Every process of this program is started here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

#: Takes the path from the arguments before anything is imported (sys is a part of the interpreter). What is installed
#: is on the new interpreter's own path, so it is found wherever one stands.
BOOT = (
    "import sys; n = int(sys.argv[1]); given = sys.argv[2 : 2 + n]; del sys.argv[1 : 2 + n]; "
    "sys.path[:] = given + [entry for entry in sys.path if entry not in given]; "
)


def python_code(code: str, *arguments: str) -> list[str]:
    """Return the command that runs ``code`` with what is installed here and this program; no ``__main__`` is imported.

    Args:
        code: Statements in one line.
        arguments: What it finds in ``sys.argv[1:]``.
    """
    path = search_path(sys.path)
    return [sys.executable, "-P", "-c", BOOT + code, str(len(path)), *path, *arguments]


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs an installed ``module``, as ``python -m`` does, but for the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def search_path(entries: Sequence[str]) -> list[str]:
    """Return where modules are looked for, but for the current folder and that of the script that was started.

    The folder of this program comes last where it is not among them: it may be one of the two.
    """
    script = Path(sys.argv[0] if sys.argv else "").resolve().parent
    folders = [entry for entry in map(str, entries) if entry and Path(entry).resolve() not in (Path.cwd(), script)]
    own = str(Path(__file__).resolve().parents[2])
    return folders if own in folders else [*folders, own]
