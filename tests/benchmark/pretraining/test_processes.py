"""Several processes of one training through the command line: torchrun, srun's variables, resumes, kills, one voice."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.pretrain import Choices, pretrain
from benchmark.pretraining.processes import adopt_slurm, ended_together
from benchmark.pretraining.training import checkpoint
from benchmark.pretraining.training.collapse import TrainingStopped
from benchmark.system.progress import Silent

pytest.importorskip("lightning_fabric")

#: Nothing random is drawn by each process alone: two processes are then one with the joint batch.
QUICK = (
    "batch=4", "steps=4", "warmup_steps=1", "frames=32", "projector_width=16", "projector_layers=1", "drop_rate=0",
    "checkpoint_every=2", "keep_every=1000", "log_every=1",
)  # fmt: skip


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_store(tmp_path / "store", ((f"t{i}", rng.random((120, 96)).astype(np.float16)) for i in range(8)))
    return tmp_path / "store"


def alone(folder: Path, store: Path, name: str, *overrides: str) -> list[str]:
    """Train in this process, and return what is said."""
    told = Told()
    pretrain(Choices("tiny-simclr", str(store), folder / name, (*QUICK, *overrides), "cpu", folder / "home"), told)
    return told.lines


def arguments(folder: Path, store: Path, name: str, *overrides: str) -> list[str]:
    given = ["--data", str(store), "--out", str(folder / name), "--device", "cpu", "--home", str(folder / "home")]
    return ["-m", "benchmark", "pretrain", "tiny-simclr", *given, *QUICK, *overrides]


def environment(**more: str) -> dict[str, str]:
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    inherited = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("SLURM_")}
    return {**inherited, "OMP_NUM_THREADS": "1", **more}


def srun(command: list[str], number: int, port: int) -> subprocess.Popen[str]:
    """Start one of two processes as srun starts it on one machine."""
    told = {
        "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_PROCID": str(number),
        "SLURM_LOCALID": str(number), "SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_TASKS_PER_NODE": "2",
        "SLURM_NODELIST": "localhost", "MASTER_PORT": str(port),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *command], env=environment(**told), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def same(one: Path, other: Path) -> None:
    """See that two runs have the same losses and weights, to 1e-5."""
    from safetensors.numpy import load_file

    def losses(run: Path) -> list[float]:
        with (run / "metrics.csv").open(encoding="utf-8") as file:
            return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "loss"]

    np.testing.assert_allclose(losses(one), losses(other), rtol=1e-5)
    mine, theirs = (load_file(run / "encoder.safetensors") for run in (one, other))
    for name, values in mine.items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-5, err_msg=name)


@pytest.mark.timeout(600)
def test_torchrun_trains_what_one_process_trains_and_one_process_speaks(tmp_path: Path, store: Path) -> None:
    alone(tmp_path, store, "one")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, *arguments(tmp_path, store, "two")],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    same(tmp_path / "one", tmp_path / "two")
    assert done.stdout.split() == [str(tmp_path / "two" / "encoder.safetensors")]
    for said in ("2 processes, fp32", "step 2 of 4", "Trained 4 steps"):
        assert done.stderr.count(said) == 1, done.stderr
    assert "distributed" not in done.stderr.lower().replace("torch.distributed.run", "")


@pytest.mark.timeout(600)
def test_srun_trains_them_too_and_a_run_goes_on_with_more_or_fewer_processes(tmp_path: Path, store: Path) -> None:
    for steps in ("steps=2", "steps=4", "steps=6"):
        alone(tmp_path, store, "one", steps)
    alone(tmp_path, store, "run", "steps=2")
    port = free_port()
    both = [srun(arguments(tmp_path, store, "run"), number, port) for number in (0, 1)]
    first, second = (process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], first + second
    assert second == ""
    assert "Waiting for the 1 other process(es)" in first
    assert "It was trained by 1 process(es) and is now by 2" in first
    lines = alone(tmp_path, store, "run", "steps=6")
    assert any("It was trained by 2 process(es) and is now by 1" in line for line in lines)
    same(tmp_path / "one", tmp_path / "run")


@pytest.mark.timeout(600)
def test_where_one_process_is_killed_the_others_say_so_and_the_run_goes_on(tmp_path: Path, store: Path) -> None:
    steps = "steps=100000"
    port = free_port()
    both = [srun(arguments(tmp_path, store, "run", steps), number, port) for number in (0, 1)]
    waited = time.monotonic() + 400
    while not list((tmp_path / "run").glob("checkpoints/last*")) and time.monotonic() < waited:
        assert both[0].poll() is None, both[0].communicate()[0]
        time.sleep(0.1)
    both[1].send_signal(signal.SIGKILL)
    first, _ = (process.communicate()[0] for process in both)
    assert both[0].returncode == 2, first
    assert "another of the 2 processes of this training has ended, so that process 0 cannot go on" in first
    assert "Traceback" not in first
    state = checkpoint.load(checkpoint.path_of(tmp_path / "run", "last"))
    assert (state["step"] % 2, state["world"]) == (0, 2)
    assert state["step"] >= 2


@pytest.mark.timeout(600)
def test_ctrl_c_under_torchrun_writes_the_step(tmp_path: Path, store: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    running = subprocess.Popen(
        [sys.executable, *launcher, *arguments(tmp_path, store, "run", "steps=100000", "checkpoint_every=90000")],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    waited = time.monotonic() + 400
    log = tmp_path / "run" / "metrics.csv"
    while not (log.exists() and "loss" in log.read_text(encoding="utf-8")) and time.monotonic() < waited:
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    said, _ = running.communicate()
    assert running.returncode == 1, said
    assert said.count("Stopped after step") == 1, said
    state = checkpoint.load(checkpoint.path_of(tmp_path / "run", "last"))
    assert f"Stopped after step {state['step']}." in said


SRUN = {"SLURM_JOB_ID": "1234567", "SLURM_STEP_ID": "2", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"}


class TestSlurm:
    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({}, ("3", "4", "3", "4", "0", "127.0.0.1")),
            ({"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NNODES": "2"}, ("3", "4", "1", "2", "1", "127.0.0.1")),
            ({"SLURM_TASKS_PER_NODE": "2(x2)", "SLURM_NODELIST": "n[07-08]"}, ("3", "4", "1", "2", "1", "n07")),
            ({"SLURM_TASKS_PER_NODE": "1(x4)", "SLURM_NODELIST": "a,b[1,3],c"}, ("3", "4", "0", "1", "3", "a")),
            ({"SLURM_NODELIST": "rack[1-2]-n[3,5],c"}, ("3", "4", "3", "4", "0", "rack1-n3")),
            ({"SLURM_JOB_NODELIST": "x.example.org"}, ("3", "4", "3", "4", "0", "x.example.org")),
            ({"SLURM_NODELIST": "a", "MASTER_ADDR": "10.0.0.1"}, ("3", "4", "3", "4", "0", "10.0.0.1")),
            # A step of fewer tasks than the job.
            ({"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "4"}, ("3", "4", "3", "4", "0", "127.0.0.1")),
        ],
    )
    def test_its_variables_are_said_as_torchrun_says_them(self, more, expected):
        told = {**SRUN, **more}
        assert adopt_slurm(told)
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR")
        assert tuple(told[name] for name in names) == expected

    def test_the_port_is_one_that_all_processes_of_a_step_find(self):
        ports = []
        for number, step in (("0", "2"), ("3", "2"), ("0", "3")):
            told = {**SRUN, "SLURM_PROCID": number, "SLURM_STEP_ID": step}
            adopt_slurm(told)
            ports.append(int(told["MASTER_PORT"]))
        assert ports[0] == ports[1] != ports[2]
        assert all(10_000 < port < 32_768 for port in ports)
        told = {**SRUN, "MASTER_PORT": "5000"}
        adopt_slurm(told)
        assert told["MASTER_PORT"] == "5000"

    @pytest.mark.parametrize(
        "told", [{}, {"SLURM_NTASKS": "4"}, {**SRUN, "SLURM_NTASKS": "1"}, {**SRUN, "RANK": "0", "WORLD_SIZE": "2"}]
    )
    def test_one_process_and_those_of_torchrun_are_left_as_they_are(self, told):
        before = dict(told)
        assert not adopt_slurm(told)
        assert told == before

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"SLURM_TASKS_PER_NODE": "3,1"}, "4 processes on 2 machines, and not as many on each.*--ntasks-per-node"),
            ({"SLURM_NNODES": "3"}, "4 processes on 3 machines"),
            ({"SLURM_PROCID": "x"}, "SLURM_PROCID is 'x', and no number"),
        ],
    )
    def test_what_cannot_be_is_refused(self, more, message):
        with pytest.raises(UserError, match=message):
            adopt_slurm({**SRUN, **more})


class TestOneEnd:
    @pytest.fixture(autouse=True)
    def two(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("LOCAL_RANK", "0")

    @pytest.mark.parametrize(
        "said",
        [
            "[../gloo/transport/tcp/pair.cc:525] Read error [127.0.0.1]:33: Connection reset by peer",
            "[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:38617",
            "NCCL error: remote process exited or there was a network error",
        ],
    )
    def test_a_process_that_has_gone_is_said_in_words(self, monkeypatch, said):
        def failing() -> None:
            with ended_together():
                raise RuntimeError(said)

        with pytest.raises(UserError, match=r"another of the 2 processes of this training has ended.*last checkpoint"):
            failing()
        monkeypatch.setenv("LOCAL_RANK", "1")
        with pytest.raises(SystemExit) as silent:
            failing()
        assert silent.value.code == 2
        monkeypatch.setenv("WORLD_SIZE", "1")
        with pytest.raises(RuntimeError, match=r"gloo|NCCL"):
            failing()

    def test_faults_of_our_own_are_not_taken_for_it(self):
        with pytest.raises(RuntimeError, match="mat1"), ended_together():
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    def test_what_all_find_one_says_and_what_one_finds_it_says_itself(self, monkeypatch):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with pytest.raises(SystemExit), ended_together():
            raise TrainingStopped("the loss is nan", "begin again")
        with pytest.raises(UserError, match="cannot read"), ended_together():
            raise UserError("cannot read a shard", "mend it")


def test_a_process_with_another_recipe_is_refused(store):
    from types import SimpleNamespace

    from benchmark.pretraining.data.store import open_store
    from benchmark.pretraining.fabric import refuse_different
    from benchmark.pretraining.training.recipes import load

    recipe, opened = load("tiny-simclr"), open_store(store)
    first = (recipe.model_dump_json(), opened.fingerprint)
    fabric = SimpleNamespace(world_size=2, global_rank=1, broadcast=lambda _: first)
    refuse_different(fabric, recipe, opened)
    with pytest.raises(UserError, match="process 1 has another recipe than the first process: start all of them"):
        refuse_different(fabric, load("tiny-simclr", ["seed=1"]), opened)
    first = (recipe.model_dump_json(), "0" * 64)
    with pytest.raises(UserError, match="process 1 has another store than"):
        refuse_different(fabric, recipe, opened)


def test_processes_that_do_not_meet_are_told_of(monkeypatch):
    from datetime import timedelta

    from benchmark.pretraining import fabric

    monkeypatch.setattr(fabric, "MEETING", timedelta(seconds=1))
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    told = Told()
    with pytest.raises(UserError, match=r"the 2 processes have not met at 127.0.0.1:.*start all of them with one srun"):
        fabric._meet("gloo", told)
    assert told.lines[0].startswith("Waiting for the 1 other process(es) at 127.0.0.1:")
