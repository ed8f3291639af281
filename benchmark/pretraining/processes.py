"""Several processes of one training: where torchrun or SLURM put this one, one voice of them, and one end.

torchrun says it in ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and ``LOCAL_WORLD_SIZE``. srun says it in variables of its
own, which :func:`adopt_slurm` writes as torchrun's, so that all else reads these alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

from benchmark.errors import UserError

#: What torch says where another process has gone: gloo, its store, and NCCL.
GONE = re.compile(
    r"connection (closed|reset|refused)|broken pipe|peer|remote process|timed out|socket|unhandled system error", re.I
)
#: From where a port is taken that all processes of a step of SLURM find: its job and step decide which.
FIRST_PORT, PORTS = 15_000, 10_000


def rank() -> int:
    """Return the number of this process among those of the training, from 0; 0 where there is no other."""
    return _number("RANK")


def world() -> int:
    """Return the number of processes of the training."""
    return max(1, _number("WORLD_SIZE"))


def local_world() -> int:
    """Return how many of them are on this machine."""
    return max(1, _number("LOCAL_WORLD_SIZE")) if world() > 1 else 1


@contextmanager
def said_once() -> Iterator[None]:
    """Let the first process of a machine alone say what all of them find; the others end with the same status.

    Raises:
        SystemExit: This is another process of the machine, and something is refused.
    """
    try:
        yield
    except UserError:
        if _number("LOCAL_RANK"):
            raise SystemExit(2) from None
        raise


@contextmanager
def ended_together() -> Iterator[None]:
    """Say in place of a failed exchange that another process has ended, and once what all processes find.

    What this process alone finds, it says itself.

    Raises:
        UserError: Another process has gone, or what happened here.
        SystemExit: This is another process of the machine, and the first one says it.
    """
    try:
        yield
    except UserError as error:
        from benchmark.pretraining.training.collapse import TrainingStopped

        if isinstance(error, TrainingStopped):
            with said_once():
                raise
        raise
    except RuntimeError as error:
        if world() == 1 or not GONE.search(str(error)):
            raise
        with said_once():
            raise UserError(
                f"another of the {world()} processes of this training has ended, so that process {rank()} cannot go on",
                "see what it said, and run the same command again: it continues from the last checkpoint",
            ) from error


def adopt_slurm(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Write what srun says of this process as torchrun says it; return whether srun has started several.

    Raises:
        UserError: What it says cannot be: machines with different numbers of processes, or no number.
    """
    if "RANK" in environment or not {"SLURM_PROCID", "SLURM_NTASKS"} <= set(environment):
        return False
    tasks = _slurm(environment, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    if tasks < 2:
        return False
    nodes = _slurm(environment, "SLURM_STEP_NUM_NODES", "SLURM_NNODES", default=1)
    counts = _tasks_per_node(environment, tasks) or [tasks // nodes] * nodes
    if len(set(counts)) > 1 or sum(counts) != tasks:
        raise UserError(
            f"SLURM has put {tasks} processes on {len(counts)} machines, and not as many on each",
            "start as many on every machine: srun --ntasks-per-node N",
        )
    number = _slurm(environment, "SLURM_PROCID")
    environment["RANK"], environment["WORLD_SIZE"] = str(number), str(tasks)
    environment["LOCAL_RANK"] = str(_slurm(environment, "SLURM_LOCALID", default=number % counts[0]))
    environment["LOCAL_WORLD_SIZE"] = str(counts[0])
    environment["GROUP_RANK"] = str(_slurm(environment, "SLURM_NODEID", default=number // counts[0]))
    environment.setdefault("MASTER_ADDR", _first_host(environment))
    job, step = (_slurm(environment, name, default=0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    environment.setdefault("MASTER_PORT", str(FIRST_PORT + (job * 7 + step) % PORTS))
    return True


def _tasks_per_node(environment: Mapping[str, str], tasks: int) -> list[int]:
    """Return the processes of each machine, which SLURM writes as ``2(x3),1``; none where it does not say it."""
    for name in ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"):
        parts = re.findall(r"(\d+)(?:\(x(\d+)\))?", environment.get(name, ""))
        counts = [int(count) for count, times in parts for _ in range(int(times or 1))]
        if sum(counts) == tasks:
            return counts
    return []


def _first_host(environment: Mapping[str, str]) -> str:
    """Return the first of SLURM's machines, which it writes as ``node[003-007,9],other``."""
    names = ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST")
    hosts = next((environment[name] for name in names if environment.get(name)), "127.0.0.1")
    first = re.match(r"[^,\[\s]*(?:\[[^\]]*\][^,\[\s]*)*", hosts)
    assert first is not None  # it may be empty
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0])


def _slurm(environment: Mapping[str, str], *names: str, default: int | None = None) -> int:
    for name in names:
        text = environment.get(name, "")
        if text.isdecimal():
            return int(text)
        if text:
            raise UserError(f"{name} is {text!r}, and no number", "start the processes with srun, or unset it")
    if default is None:
        raise UserError(f"SLURM has set none of {', '.join(names)}", "start the processes with srun")
    return default


def _number(variable: str) -> int:
    text = os.environ.get(variable, "0")
    return int(text) if text.isdecimal() else 0
