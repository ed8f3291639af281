"""Files of a collection that are far shorter than the others, as a broken download leaves them."""

from __future__ import annotations

import numpy as np

#: A file is far shorter than the rest under this part of their median length.
SHORT = 0.1
RULE = "under a tenth of the median"


def far_shorter(seconds: np.ndarray) -> np.ndarray:
    """Return the indices of files that are far shorter than the rest, given the seconds [N] of all."""
    if len(seconds) == 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.asarray(seconds, np.float64) < SHORT * np.median(seconds))
