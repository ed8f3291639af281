"""Killed at the n-th change of the file system, or at any moment; several at once.

The same command then brings the work to its end, and nothing is lost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.campaigns import world as worlds
from tests.campaigns.trial import TREE, Ended, bench, run, with_fault
from tests.campaigns.world import COMMANDS, World

#: Commands that a second process may run at the same time, and of which nothing may be lost.
SHARED = ("embed", "run", "search", "prepare", "prune", "leaderboard")
TOGETHER = 3


def killed(world: World, scratch: Path, times: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield (command, outcome, what was said) of each kill; half of them at events, half at moments.

    Args:
        world: The worlds.
        scratch: A folder for copies.
        times: Kills a command.
        seed: Chooses them.
    """
    rng = np.random.default_rng(seed)
    plan = {name: _plan(world, scratch, name, times, rng) for name in world.expected}
    for i in range(times):  # all commands take turns, so that a campaign that is ended early has seen all of them
        for name, (events, moments) in plan.items():
            command, place = COMMANDS[name][0], world.copy(name, scratch / f"{name}-{i}")
            if events and (i % 2 == 0 or not moments):
                number = events.pop()
                what = f"at event {number}"
                run(with_fault(f"kill:{number}", *command), place)
            else:
                moment = moments.pop()
                what = f"after {moment:.1f} s"
                run(bench(*command), place, kill_after=moment)
            yield name, *after(world, name, place, run(bench(*command), place), what)
            shutil.rmtree(place)


def interrupted(world: World, scratch: Path, times: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield (command, outcome, what was said) of commands that are asked to end: Ctrl-C, SIGTERM, a closed terminal."""
    rng = np.random.default_rng(seed)
    for i in range(times):
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[i % 3]
        for name in world.expected:
            command, place = COMMANDS[name][0], world.copy(name, scratch / f"signal-{name}-{i}")
            moment = float(rng.uniform(0.7, 1.2 * max(1.5, world.seconds[name])))  # the interpreter starts before
            ended = run(bench(*command), place, kill_after=moment, by=number)
            what = f"{number.name} after {moment:.1f} s"
            # Before our own code is reached a signal does what Python and the system do with it: nothing is begun.
            early = ended.status == -number or (ended.last == "KeyboardInterrupt" and "benchmark/" not in ended.err)
            if ended.word in ("ok", "refusal") or early:
                yield f"{name}", *after(world, name, place, run(bench(*command), place), what)
            else:
                yield f"{name}", ended.word, f"{what}, status {ended.status}: {ended.last}"
            shutil.rmtree(place)


def _plan(
    world: World, scratch: Path, name: str, times: int, rng: np.random.Generator
) -> tuple[list[int], list[float]]:
    """Return the events and the moments, in seconds, at which a command is to be killed."""
    place = world.copy(name, scratch / f"count-{name}")
    run(with_fault("count:events", *COMMANDS[name][0]), place)
    events = int((place / "events").read_text())
    chosen = rng.choice(np.arange(1, events + 1), min(events, times - times // 2), replace=False)
    moments = rng.uniform(0.1, 1.0, times - len(chosen)) * max(1.0, world.seconds[name])
    return chosen.tolist(), moments.tolist()


def after(world: World, name: str, place: Path, again: Ended, what: str) -> tuple[str, str]:
    """Return the outcome of a world in which a command was run again: ``ok``, ``LOST``, or how it failed."""
    gone = name == "prune" and again.word == "refusal" and "no cached embeddings" in again.err
    if again.word != "ok" and not gone:  # all was deleted before the kill: that it is told so is right
        return ("LOST" if again.word == "refusal" else again.word), f"{what}: {again.last}"
    try:
        found = worlds.state(name, place)
    except (OSError, ValueError, KeyError) as error:
        return "LOST", f"{what}: {type(error).__name__}: {error}"
    lost = [part for part, digest in world.expected[name].items() if found.get(part) != digest]
    return ("LOST", f"{what}: other {', '.join(lost)}") if lost else ("ok", "")


def at_once(world: World, scratch: Path, times: int) -> Iterator[tuple[str, str, str]]:
    """Yield (command, outcome, what was said) of processes that run one command in one place at the same time."""
    for name in (each for each in world.expected if each in SHARED):
        for storage in ("journal", "sqlite") if name == "search" else ("",):
            command = [*COMMANDS[name][0], *(["--storage", "sqlite:///search.db"] if storage == "sqlite" else [])]
            for i in range(times):
                place = world.copy(name, scratch / f"together-{name}{storage}-{i}")
                others = [
                    subprocess.Popen(
                        bench(*command),
                        cwd=place,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        text=True,
                        env={**os.environ, "PYTHONPATH": str(TREE), "OMP_NUM_THREADS": "1"},
                    )
                    for _ in range(TOGETHER - 1)
                ]
                own = run(bench(*command), place)
                errors = [other.communicate()[1] for other in others]
                label = f"{name} {storage}".strip()
                broken = [text for text in errors if "Traceback" in text]
                if broken:
                    yield label, "TRACEBACK", broken[0].strip().splitlines()[-1]
                elif own.word == "refusal" or any(other.returncode for other in others):
                    said = next((text.strip() for text in [own.err, *errors] if "bench:" in text), "")
                    again = run(bench(*command), place)
                    word, why = after(world, name, place, again, "together")
                    waits = any(text in said for text in ("another process", "another run", "no cached embeddings"))
                    yield label, ("ok" if waits else "refusal") if word == "ok" else word, why or said[-200:]
                else:
                    yield label, *after(world, name, place, own, "together")
