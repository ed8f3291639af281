"""Searches in processes of their own, some of which are killed with SIGKILL; prints what came of them as JSON.

Run as a program: imports cost more than all of its searches, so it is started once and forks.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.storages.journal import JournalFileBackend

from probes.data import SplitArrays, TrainValid
from probes.protocol import ProbeSpec, Protocol, Settings, protocol_for
from probes.search.pruning import PRUNERS, Halving
from probes.search.search import search
from probes.search.storage import open_study
from probes.training.trainer import Trainer

FORK = multiprocessing.get_context("fork")
SPEC = ProbeSpec("multiclass", 3, "cross_entropy", look_every=2)
TRIALS = 10


def protocol() -> Protocol:
    """Return ranges of short linear probes, asked for in rounds of four."""
    found = protocol_for("paper", "demo", ("demo",), hidden=(), dropout=0.0, batch_size=32)
    first = (Settings(1e-2, 0.0, 30, True, (), 0.0, 32), Settings(1e-3, 1e-3, 40, False, (), 0.0, 32))
    return replace(found, steps=(10, 40), round=4, first=first)


def data() -> TrainValid:
    """Return a problem on which scores differ."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(120, 6)), rng.normal(size=(120, 3))
    y = (x[:, :3] + noise).argmax(1)
    ids = tuple(map(str, range(120)))
    return TrainValid(
        SplitArrays(ids[:80], x[:80].astype(np.float32), y[:80]),
        SplitArrays(ids[80:], x[80:].astype(np.float32), y[80:]),
        frozenset(),
    )


def die() -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, name: str, *, look: Callable[[int], None] = lambda n: None, pruner: str = "halving") -> None:
    """Search in ``folder`` and leave the outcome there; ``look`` is told the number of each look before it."""
    looks, begun = iter(range(10**9)), 0

    def score(targets: np.ndarray, outputs: np.ndarray) -> float:
        look(next(looks))
        return float(np.log(outputs[np.arange(len(targets)), targets]).mean())

    trainer = Trainer(SPEC, data(), score)
    begin = trainer.begin

    def counting(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        return begin(*args)

    trainer.begin = counting  # type: ignore[method-assign]
    with open_study(None, folder, "study") as study:
        found = search(trainer, protocol(), study, trials=TRIALS, seed=3, pruner=pruner)
        states = [trial.state.name for trial in study.trials]
    trials = [
        [t.number, repr(t.settings), t.state, t.score, t.best_step, t.steps_run, list(t.rungs)] for t in found.trials
    ]
    outcome = {"trials": trials, "selected": found.selected, "begun": begun, "states": states}
    (folder / f"{name}.json").write_text(json.dumps(outcome))


def started(function: Callable[..., None], *args: Any, **options: Any) -> Any:
    """Start a process that runs ``function``."""
    process = FORK.Process(target=function, args=args, kwargs=options)
    process.start()
    return process


def outcome(folder: Path, name: str) -> dict[str, Any]:
    """Return what :func:`run` left."""
    return json.loads((folder / f"{name}.json").read_text())


def killed_at_look(folder: Path, at: list[int], pruner: str) -> dict[str, Any]:
    """Kill a search before the given looks, one process after the other, then let one end it."""
    for number in at:
        process = started(
            run, folder, "killed", look=lambda n, number=number: die() if n == number else None, pruner=pruner
        )
        process.join()
        assert process.exitcode == -signal.SIGKILL, process.exitcode
    process = started(run, folder, "resumed", pruner=pruner)
    process.join()
    return outcome(folder, "resumed")


def run_and_die_at_write(folder: Path, at: int, after: bool) -> None:
    """Search until the ``at``-th write of the journal, and die just before or after it."""
    append, writes = JournalFileBackend.append_logs, iter(range(10**9))

    def counting(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        last = next(writes) == at
        if last and not after:
            die()
        append(self, logs)
        if last:
            die()

    JournalFileBackend.append_logs = counting  # type: ignore[method-assign]
    run(folder, "killed")


def killed_at_write(folder: Path, at: int, after: bool) -> dict[str, Any]:
    """Kill a search at a write of its journal, then let another process end it."""
    process = started(run_and_die_at_write, folder, at, after)
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode
    process = started(run, folder, "resumed")
    process.join()
    return outcome(folder, "resumed")


def two_at_once(folder: Path, *, one_dies: bool) -> list[dict[str, Any]]:
    """Let two processes search at once; both have trials before either continues. One may die then."""
    both = FORK.Barrier(2)

    def wait(number: int) -> None:
        if number == 0:
            both.wait(60)

    def wait_and_die(number: int) -> None:
        wait(number)
        if number == 3:
            die()

    processes = [
        started(run, folder, "first", look=wait),
        started(run, folder, "second", look=wait_and_die if one_dies else wait),
    ]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, -signal.SIGKILL if one_dies else 0]
    return [outcome(folder, name) for name in (["first"] if one_dies else ["first", "second"])]


def main(folder: Path) -> None:
    """Print all outcomes."""
    os.fsync = lambda descriptor: None  # killed processes lose nothing that was written, and the disk is slow
    PRUNERS["halving"] = Halving(shares=(0.1, 0.3), keep=(0.5, 0.3), fewest=4)
    unbroken = {}
    for pruner in ("halving", "none"):
        run(folder / pruner, "unbroken", pruner=pruner)
        unbroken[pruner] = outcome(folder / pruner, "unbroken")
    found = {
        "unbroken": unbroken,
        "look": {
            pruner: [killed_at_look(folder / f"{pruner}{at}", at, pruner) for at in ([0], [9], [17], [5, 0, 11])]
            for pruner in unbroken
        },
        "write": [
            killed_at_write(folder / f"write{at}{after}", at, after)
            for at in (0, 1, 2, 4, 24, 28, 31, 54)
            for after in (False, True)
        ],
        "two": two_at_once(folder / "two", one_dies=False),
        "survivor": two_at_once(folder / "survivor", one_dies=True),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
