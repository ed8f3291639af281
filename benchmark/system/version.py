"""Which code this is: the package's version, and the commit of its checkout where there is one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMIT = re.compile(r"[0-9a-f]{40}")


def format_version(root: Path = ROOT) -> str:
    """Return the version, such as ``0.1.0 (commit 1a122bd)``."""
    from benchmark import __version__

    commit = commit_of(root)
    return __version__ if commit is None else f"{__version__} (commit {commit[:7]})"


def commit_of(root: Path = ROOT) -> str | None:
    """Return the commit that a checkout of git stands at, or ``None`` where there is no checkout.

    What was changed since is not looked at: git, which could tell, need not be installed.
    """
    folder = root / ".git"
    try:
        if folder.is_file():  # a second working tree: "gitdir: PATH"
            folder = root / folder.read_text(encoding="utf-8").partition(":")[2].strip()
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head if COMMIT.fullmatch(head) else None
        name = head.partition(":")[2].strip()
        common = folder / "commondir"
        base = folder / common.read_text(encoding="utf-8").strip() if common.is_file() else folder
        for place in (folder, base):
            if (place / name).is_file():
                commit = (place / name).read_text(encoding="utf-8").strip()
                return commit if COMMIT.fullmatch(commit) else None
        packed = (base / "packed-refs").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None
    found = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", packed, re.MULTILINE)
    return found[1] if found else None
