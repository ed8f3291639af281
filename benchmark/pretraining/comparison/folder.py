"""The folder of a comparison: what lies in it, under which names. Imports next to nothing, for those who look."""

from __future__ import annotations

from pathlib import Path

#: What was asked for, with the steps that came of the budget; the tables; the records, and what was found of them.
PLAN, TABLE, RESULTS = "comparison.json", "comparison.md", "results"
#: Recipes with their steps; a folder a training; which of them were stopped; where the pace is measured.
RECIPES, RUNS, STOPPED, PACE = "recipes", "runs", "stopped.json", "pace"
LOCK = ".lock"
#: How random weights are named, in front of their network.
RANDOM = "random"


def run_name(recipe: str, seed: int) -> str:
    """Return the name of a run's folder, which is also the encoder's in records.

    >>> run_name("tiny-simclr", 2), run_name("random-sf-nfnet-tiny", 0)
    ('tiny-simclr-seed-2', 'random-sf-nfnet-tiny-seed-0')
    """
    return f"{recipe}-seed-{seed}"


def results_in(path: Path) -> Path:
    """Return the results folder of a comparison's folder; any other path as it is."""
    return path / RESULTS if (path / PLAN).is_file() and (path / RESULTS).is_dir() else path
