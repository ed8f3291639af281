"""Where things lie: the data home, and the folder of records."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "BENCH_HOME"
APPLICATION = "music-probe-benchmark"


def home_folder(given: Path | str | None = None) -> Path:
    """Return the data home: ``given``, else ``$BENCH_HOME``, else the platform's cache folder."""
    if given is None:
        given = os.environ.get(HOME_VARIABLE) or None
    if given is None:
        import platformdirs

        given = platformdirs.user_cache_dir(APPLICATION)
    return Path(given).expanduser().absolute()
