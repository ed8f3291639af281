"""The data home, and the folder of records."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmark.errors import UserError

HOME_VARIABLE = "BENCH_HOME"
APPLICATION = "music-probe-benchmark"


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
        raise UserError(f"{option} {folder} cannot be written ({error.strerror or error}): choose another") from None


def home_folder(given: Path | str | None = None) -> Path:
    """Return the data home: ``given``, else ``$BENCH_HOME``, else the platform's cache folder."""
    if given is None or not str(given).strip():
        given = os.environ.get(HOME_VARIABLE) or None
    if given is None:
        import platformdirs

        given = platformdirs.user_cache_dir(APPLICATION)
    from tasks.files import expanded

    return expanded(given).absolute()
