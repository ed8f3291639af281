"""Folders for the time of a run: what is known of their runs, dead or alive, and what only age decides."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.system import scratch as module
from benchmark.system.scratch import LOCK, OWNER, ScratchFolder, run_of, scratch_folder, scratch_folders

HOLDER = """
import sys
from pathlib import Path
from benchmark.system.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "train-all.npy").write_bytes(bytes(100))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def left(tmp_path):
    """A folder whose run is dead."""
    with scratch_folder(tmp_path) as folder:
        shutil.copytree(folder, tmp_path / "scratch-left")
    return tmp_path / "scratch-left"


def test_it_is_there_for_the_time_of_the_context(tmp_path):
    with scratch_folder(tmp_path) as folder:
        (folder / "gain").mkdir()
        assert folder.parent == tmp_path
        assert run_of(folder) == "alive"
    assert list(tmp_path.iterdir()) == []


def test_it_goes_after_an_error_too(tmp_path):
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_alive_until_it_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        found = [run_of(folder)]
        process.kill()
        process.wait()
    assert [*found, run_of(folder)] == ["alive", "dead"]
    (listed,) = scratch_folders(tmp_path)
    assert (listed.path, listed.run, listed.size) == (folder, "dead", 100)


def test_a_folder_without_a_name_is_nobodys(tmp_path):
    (tmp_path / "scratch-old").mkdir()
    assert run_of(tmp_path / "scratch-old") == "unknown"
    assert list((tmp_path / "scratch-old").iterdir()) == []  # not even looked at with a lock


@pytest.mark.parametrize("name", ["another-machine", ""])
def test_nothing_is_known_of_another_machine_or_of_a_name_that_was_not_written(left, name):
    assert run_of(left) == "dead"
    (left / OWNER).write_text(name)
    assert run_of(left) == "unknown"


def test_nothing_is_known_where_the_lock_cannot_be_tried(left):
    (left / LOCK).unlink()
    (left / LOCK).mkdir()
    assert run_of(left) == "unknown"


def test_a_folder_without_locks_is_a_folder_still(tmp_path, monkeypatch):
    def cannot(_self, *_args, **_chosen):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(module.FileLock, "acquire", cannot)
    with scratch_folder(tmp_path) as folder:
        assert run_of(folder) == "unknown"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("run", "days", "goes"),
    [("alive", 9, False), ("dead", 0, True), ("unknown", 0.9, False), ("unknown", 1.1, True), ("dead", 9, True)],
)
def test_who_may_go(run, days, goes):
    assert ScratchFolder(Path("scratch-x"), run, 0, 1e9).abandoned(1e9 + days * 86400) == goes


def test_what_was_written_last_counts(left):
    (left / "gain").mkdir()
    (left / "gain" / "test-all.npy").write_bytes(bytes(7))
    then = time.time() - 5000
    for path in (left / "gain" / "test-all.npy", left / "gain", left):
        os.utime(path, (then, then))
    os.utime(left / "gain" / "test-all.npy", (then + 1000, then + 1000))
    (found,) = scratch_folders(left.parent)
    assert found.size == 7
    assert found.changed == pytest.approx(then + 1000, abs=1)
