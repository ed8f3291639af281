"""The data home, and the folder of records."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmark.errors import UserError

HOME_VARIABLE = "BENCH_HOME"
APPLICATION = "music-probe-benchmark"


ROOT = Path(__file__).resolve().parents[2]
#: The folder of records where none is named; in a checkout of this package, whose own records are examples, another.
RESULTS, IN_CHECKOUT = Path("results"), Path("my-results")


def examples_folder() -> Path | None:
    """Return the folder of example records where the current folder is a checkout of this package, else ``None``."""
    is_checkout = Path.cwd().resolve() == ROOT and (ROOT / ".git").exists()
    return RESULTS if is_checkout else None


def results_folder(given: Path | str | None = None) -> Path:
    """Return the folder of records: ``given``, else ``results``; in a checkout of this package ``my-results``."""
    if given is not None:
        return Path(given)
    return RESULTS if examples_folder() is None else IN_CHECKOUT


def refuse_unwritable(folder: Path, option: str) -> None:
    """See whether ``folder``, or the folder that it would be made in, can be written, before hours are spent.

    Raises:
        UserError: It cannot, or it is no folder; ``option`` is what names it.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".writable-"):
            pass
    except OSError as error:
        raise UserError(f"{option} {folder} cannot be written ({error.strerror or error})", "choose another") from None


def home_folder(given: Path | str | None = None) -> Path:
    """Return the data home: ``given``, else ``$BENCH_HOME``, else the platform's cache folder."""
    if given is None or not str(given).strip():
        given = os.environ.get(HOME_VARIABLE) or None
    if given is None:
        import platformdirs

        given = platformdirs.user_cache_dir(APPLICATION)
    from tasks.files import expanded

    return expanded(given).absolute()
