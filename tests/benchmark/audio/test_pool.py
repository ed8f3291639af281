"""Decoding in worker processes: in order, bounded, and unharmed by files or signals that kill a worker."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.audio import index, reader
from benchmark.audio import pool as workers_module
from benchmark.audio.decode import AudioRule
from benchmark.audio.pool import AHEAD, decode_all
from benchmark.audio.reader import Decoded, decode_one
from benchmark.errors import UserError
from benchmark.system.files import content_hash

RULE = AudioRule(8000)
PATIENCE = 60.0  # seconds that a process may take to end before a test gives up on it


class Deadly(type(Path())):
    """A path that kills the process which is handed it: what a crash in the decoder looks like from outside."""

    command = "__import__('os')._exit(3)"

    def __reduce__(self):
        return eval, (self.command,)


class Slow(Deadly):
    """A path that kills its worker when the files before it have long been decoded."""

    command = "(__import__('time').sleep(0.5), __import__('os')._exit(3))"


def song(path: Path, value: float = 0.1, seconds: float = 0.5) -> Path:
    soundfile.write(path, np.full(int(8000 * seconds), value, np.float32), 8000, subtype="FLOAT")
    return path


@pytest.fixture
def songs(tmp_path) -> list[Path]:
    return [song(tmp_path / f"{i}.wav", i / 100) for i in range(20)]


def workers_of(parent: int) -> set[int]:
    """Return the process ids of the decoding workers that ``parent`` has started and that still run."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    found = set()
    for line in listing.stdout.splitlines():
        pid, ppid, stat, args = line.split(None, 3)
        if int(ppid) == parent and not stat.startswith("Z") and "audio.pool" in args:
            found.add(int(pid))
    return found


def runs(pid: int) -> bool:
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(stat.strip()) and not stat.strip().startswith("Z")


def wait_until(condition) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def levels(found: list[Decoded]) -> list[float]:
    return [round(float(one.audio.samples[0, 0]), 6) for one in found]


class TestOne:
    def test_a_sound_file(self, tmp_path):
        path = song(tmp_path / "a.wav")
        found = decode_one(path, RULE)
        stat = path.stat()
        file = found.hashed
        assert (file.path, file.size, file.mtime_ns) == (str(path), stat.st_size, stat.st_mtime_ns)
        assert file.key == content_hash(path)
        assert found.audio.samples.shape == (1, 4000)
        assert found.problem == ""

    def test_damage_is_a_value_and_has_a_hash(self, tmp_path):
        path = song(tmp_path / "a.wav")
        path.write_bytes(path.read_bytes()[:-4000])
        found = decode_one(path, RULE)
        assert found.audio is None
        assert found.hashed.key == content_hash(path)
        assert "chunk holds" in found.problem
        assert found.seconds_recovered == pytest.approx(0.375)

    def test_a_missing_file_and_a_folder(self, tmp_path):
        assert decode_one(tmp_path / "gone.wav", RULE) == Decoded(
            tmp_path / "gone.wav", None, None, "the file is missing"
        )
        assert decode_one(tmp_path, RULE).problem == "it is not a file"

    @pytest.mark.parametrize(("module", "name"), [(index, "content_hash"), (reader, "load")])
    @pytest.mark.parametrize(
        ("error", "problem"),
        [
            (PermissionError(errno.EACCES, "Permission denied"), "it cannot be read: Permission denied"),
            (OSError(errno.EIO, "Input/output error"), "it cannot be read: Input/output error"),
            (MemoryError(), "it does not fit into memory when decoded"),
        ],
    )
    def test_what_the_system_refuses_is_damage(self, tmp_path, monkeypatch, module, name, error, problem):
        def refuse(*_):
            raise error

        monkeypatch.setattr(module, name, refuse)
        found = decode_one(song(tmp_path / "a.wav"), RULE)
        assert (found.audio, found.problem) == (None, problem)

    def test_a_loop_of_links_is_damage(self, tmp_path):
        (tmp_path / "a.wav").symlink_to(tmp_path / "a.wav")
        assert decode_one(tmp_path / "a.wav", RULE).problem

    def test_a_file_that_changes_meanwhile_is_not_taken(self, tmp_path, monkeypatch):
        path = song(tmp_path / "a.wav")

        def hash_then_grow(path):
            key = content_hash(path)
            song(path, 0.2, seconds=0.75)
            return key

        monkeypatch.setattr(index, "content_hash", hash_then_grow)
        found = decode_one(path, RULE)
        assert (found.audio, found.hashed, found.problem) == (None, None, "it changed while it was read")


class TestAll:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_in_order_with_damage_in_place(self, songs, tmp_path, workers):
        songs[3].write_bytes(b"")
        songs[7].unlink()
        found = list(decode_all(songs, RULE, workers))
        assert [one.path for one in found] == songs
        problems = {i: one.problem for i, one in enumerate(found) if one.audio is None}
        assert problems == {3: "the file is empty (0 bytes)", 7: "the file is missing"}
        assert levels([one for one in found if one.audio]) == [i / 100 for i in range(20) if i not in problems]

    def test_workers_change_nothing(self, songs):
        here, there = list(decode_all(songs, RULE, 0)), list(decode_all(songs, RULE, 2))
        for one, other in zip(here, there, strict=True):
            assert one.audio.samples.tobytes() == other.audio.samples.tobytes()
            assert (one.path, one.hashed, one.audio.seconds) == (other.path, other.hashed, other.audio.seconds)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_nothing_to_do(self, workers):
        assert list(decode_all([], RULE, workers)) == []

    @pytest.mark.parametrize("workers", [1, 3])
    def test_no_more_tracks_are_held_than_promised(self, songs, monkeypatch, workers):
        held = {"now": 0, "most": 0}

        class Held(Future):
            def result(self, timeout=None):
                held["now"] -= 1
                return super().result(timeout)

        class AtOnce:
            def __init__(self, workers, rule, *_, **__):
                self.rule = rule

            def submit(self, path):
                held["now"] += 1
                held["most"] = max(held["most"], held["now"])
                future = Held()
                future.set_result(decode_one(path, self.rule))
                return future

            def __enter__(self):
                return self

            def __exit__(self, *_):
                held["shut"] = True

        monkeypatch.setattr(workers_module, "DecodingPool", AtOnce)
        assert levels(list(decode_all(songs, RULE, workers))) == [i / 100 for i in range(20)]
        assert held == {"now": 0, "most": workers * (AHEAD + 1), "shut": True}


class TestCrashes:
    @pytest.mark.parametrize("place", [0, 5, 19])
    def test_only_the_file_that_crashes_is_reported(self, songs, place):
        songs[place] = Deadly(songs[place])
        found = list(decode_all(songs, RULE, 2))
        assert [one.path for one in found] == songs
        assert [one.problem for one in found] == ["it crashes the decoder" if i == place else "" for i in range(20)]
        assert levels([one for one in found if one.audio]) == [i / 100 for i in range(20) if i != place]

    def test_a_worker_that_dies_between_results(self, songs):
        songs[2] = Slow(songs[2])
        stream = decode_all(songs, RULE, 2)
        found = [next(stream)]
        found += stream
        assert [one.path for one in found] == songs
        assert [i for i, one in enumerate(found) if one.problem] == [2]

    def test_two_crashes_side_by_side(self, songs):
        songs = [songs[0], Deadly(songs[1]), Deadly(songs[2]), songs[3]]
        found = list(decode_all(songs, RULE, 1))
        assert [one.problem for one in found] == ["", "it crashes the decoder", "it crashes the decoder", ""]

    def test_a_worker_killed_from_outside_costs_no_file(self, songs):
        stream = decode_all(songs, RULE, 2)
        found = [next(stream)]
        for worker in workers_of(os.getpid()):
            os.kill(worker, signal.SIGKILL)
        found += stream
        assert levels(found) == [i / 100 for i in range(20)]

    def test_a_worker_killed_in_the_middle_of_its_answer(self, tmp_path):
        songs = [song(tmp_path / f"{i}.wav", i / 100, seconds=200) for i in range(4)]  # many times what a pipe holds
        stream = decode_all(songs, RULE, 2)
        found = [next(stream)]
        for worker in workers_of(os.getpid()):
            os.kill(worker, signal.SIGSTOP)
            os.kill(worker, signal.SIGKILL)
        found += stream
        assert levels(found) == [i / 100 for i in range(4)]

    def test_a_worker_that_never_starts(self, songs, monkeypatch):
        monkeypatch.setattr(workers_module, "BOOT", "raise SystemExit(1)")
        with pytest.raises(UserError, match=r"status 1 before it began.*finished is kept.*--workers 0"):
            list(decode_all(songs, RULE, 2))

    def test_workers_that_are_killed_at_their_start_are_replaced(self, songs, tmp_path, monkeypatch):
        boot = (
            f"import os, tempfile\nif len(os.listdir({str(tmp_path)!r})) < 20 + 4:\n"
            f"    tempfile.mkstemp(dir={str(tmp_path)!r})\n    os.kill(os.getpid(), 9)\n"
        )
        monkeypatch.setattr(workers_module, "PAUSES", (0.0, 0.01, 0.01, 0.01, 0.01))
        monkeypatch.setattr(workers_module, "BOOT", boot + workers_module.BOOT)
        found = list(decode_all(songs, RULE, 1))
        assert len(list(tmp_path.iterdir())) == 20 + 4  # the songs, and a mark of each of the four that were killed
        assert levels(found) == [i / 100 for i in range(20)]

    def test_a_system_that_starts_no_process_for_a_moment(self, songs, monkeypatch):
        start, refused = workers_module._start, []

        def sometimes() -> subprocess.Popen:
            if len(refused) < 4:
                refused.append(None)
                raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
            return start()

        monkeypatch.setattr(workers_module, "_start", sometimes)
        monkeypatch.setattr(workers_module, "PAUSES", (0.0, 0.01, 0.01, 0.01, 0.01))
        assert levels(list(decode_all(songs, RULE, 1))) == [i / 100 for i in range(20)]
        refused.clear()
        refused.append(None)
        monkeypatch.setattr(workers_module, "PAUSES", (0.0, 0.01))
        with pytest.raises(UserError, match=r"Resource temporarily unavailable.*finished is kept.*--workers 0"):
            list(decode_all(songs, RULE, 1))

    def test_a_fault_of_the_program_is_raised(self, songs):
        with pytest.raises(AttributeError):
            list(decode_all(songs, None, 2))


class Hanging(Deadly):
    """A path over which a worker never comes to an end."""

    command = "__import__('time').sleep(1000)"


class TestTimeLimit:
    def test_a_file_that_takes_too_long_is_damaged_and_the_others_are_not(self, songs):
        songs[5] = Hanging(songs[5])
        started = time.monotonic()
        found = list(decode_all(songs, RULE, 2, limit=5.0))
        assert time.monotonic() - started < PATIENCE
        late = "it was not decoded within 5 s, the time limit"
        assert [one.problem for one in found] == [late if i == 5 else "" for i in range(20)]
        assert levels([one for one in found if one.audio]) == [i / 100 for i in range(20) if i != 5]

    def test_large_files_have_longer(self, songs, monkeypatch):
        monkeypatch.setattr(workers_module, "BYTES_A_SECOND", 1)
        assert not any(one.problem for one in decode_all(songs[:4], RULE, 1, limit=0.0))

    def test_waiting_for_the_encoder_does_not_count(self, songs):
        stream = decode_all(songs, RULE, 1, limit=2.0)
        found = [next(stream)]
        time.sleep(4)
        found += stream
        assert not any(one.problem for one in found)


class TestEnd:
    def test_no_worker_is_left_at_the_end(self, songs):
        assert len(list(decode_all(songs, RULE, 2))) == 20
        assert wait_until(lambda: not workers_of(os.getpid()))

    def test_no_worker_is_left_when_the_stream_is_closed(self, songs):
        stream = decode_all(songs, RULE, 2)
        next(stream)
        assert workers_of(os.getpid())
        stream.close()
        assert wait_until(lambda: not workers_of(os.getpid()))

    def test_no_worker_is_left_after_ctrl_c(self, songs):
        stream = decode_all(songs, RULE, 2)
        next(stream)
        assert workers_of(os.getpid())
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt)
        assert wait_until(lambda: not workers_of(os.getpid()))

    def test_workers_leave_ctrl_c_to_the_parent(self, songs):
        stream = decode_all(songs, RULE, 2)
        found = [next(stream)]
        for worker in workers_of(os.getpid()):
            os.kill(worker, signal.SIGINT)
        before = workers_of(os.getpid())
        found += stream
        assert before
        assert levels(found) == [i / 100 for i in range(20)]

    def test_workers_end_with_a_parent_that_is_killed(self, songs):
        code = (
            "import sys\nfrom pathlib import Path\nfrom benchmark.audio.decode import AudioRule\n"
            "from benchmark.audio.pool import decode_all\n"
            "stream = decode_all([Path(name) for name in sys.argv[1:]], AudioRule(8000), 2)\n"
            "next(stream)\nprint('decoding', flush=True)\nsys.stdin.read()\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, songs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert parent.stdout.readline() == b"decoding\n"
        workers = workers_of(parent.pid)
        assert workers
        parent.kill()
        parent.communicate()
        assert wait_until(lambda: not any(map(runs, workers)))

    def test_workers_that_hang_end_with_a_parent_that_is_killed(self, tmp_path):
        """What hangs is no reader of its pipe: a thread of its own sees that the parent is gone."""
        code = (
            "import sys\nfrom pathlib import Path\nfrom benchmark.audio.decode import AudioRule\n"
            "from benchmark.audio.pool import decode_all\n"
            "class Hanging(type(Path())):\n    def __reduce__(self):\n"
            "        return eval, (\"type('P', (type(__import__('pathlib').Path()),), \"\n"
            "            \"{'is_file': lambda self: [open(sys.argv[1], 'w'), __import__('time').sleep(600)]})('x')\"\n"
            "            .replace('sys.argv[1]', repr(sys.argv[1])),)\n"
            "next(decode_all([Hanging('x')], AudioRule(8000), 1))\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "began")])
        assert wait_until((tmp_path / "began").exists)
        workers = workers_of(parent.pid)
        assert workers
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not any(map(runs, workers)))

    def test_a_script_needs_no_main_guard_and_hears_no_chatter(self, songs, tmp_path):
        data = np.random.default_rng(0).bytes(20_000)
        broken = tmp_path / "broken.mp3"
        soundfile.write(broken, np.random.default_rng(0).uniform(-0.5, 0.5, 80_000), 8000)
        sound = broken.read_bytes()
        broken.write_bytes(sound[:2000] + data + sound[2000:])
        script = tmp_path / "script.py"
        script.write_text(
            "import sys\nfrom pathlib import Path\nfrom benchmark.audio.decode import AudioRule\n"
            "from benchmark.audio.pool import decode_all\n"
            "found = list(decode_all([Path(name) for name in sys.argv[1:]], AudioRule(8000), 2))\n"
            "print(len(found), sum(one.audio is None for one in found))\n"
        )
        command = [sys.executable, script, *map(str, songs), str(broken)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("21 1\n", "")
