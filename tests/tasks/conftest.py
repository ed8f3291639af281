"""The real annotation files, for every reader's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def annotations(reference_data: Path) -> Path:
    """The folder of annotation and split files below ``BENCH_TEST_DATA``."""
    folder = reference_data / "annotations"
    if not folder.is_dir():
        pytest.skip("BENCH_TEST_DATA has no annotations: no split or label list to compare with")
    return folder
