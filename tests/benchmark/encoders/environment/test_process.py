"""Processes of other environments that end, hang, answer garbage, or never begin; and their end with their parent."""

import copy
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.encoders.environment import running
from benchmark.encoders.fingerprint import set_to_eval
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.time_limit import HungError
from benchmark.errors import UserError
from tests.benchmark.encoders.environment.conftest import BATCH, ONCE, gone, is_alive, pid_of, rows_of


class TestProcessesThatEnd:
    @pytest.mark.parametrize(
        ("act", "ended"),
        [
            ("os.kill(os.getpid(), 9)", r"was ended by signal 9 \(SIGKILL\)"),
            ("os._exit(3)", "ended with exit code 3"),
            ("os.abort()", r"was ended by signal 6 \(SIGABRT\)"),
            ("import ctypes; ctypes.string_at(0)", r"was ended by signal 11 \(SIGSEGV\)"),
        ],
    )
    def test_one_that_ends_is_started_once_more_and_named(self, opened, tmp_path, capsys, act, ended):
        encoder = opened(f"?folder={tmp_path}", embed=ONCE.format(act=act))
        encoder.fingerprint()
        assert np.array_equal(rows_of(encoder), rows_of(opened()))
        assert encoder._process.starts == 2
        err = " ".join(capsys.readouterr().err.split())
        assert "in the environment 'small' " in err
        assert "while it embedded; it is started once more" in err
        assert "about to fall" in err
        assert re.search(ended, err)

    def test_one_that_ends_again_is_an_error_with_its_last_lines(self, opened):
        encoder = opened(embed="print('loading the sky'); os.kill(os.getpid(), 9)")
        with pytest.raises(UserError) as caught:
            rows_of(encoder)
        assert "in the environment 'small' was ended by signal 9 (SIGKILL) while it embedded" in caught.value.what
        assert caught.value.rows[-1].strip() == "loading the sky"
        assert encoder._process.starts == 2

    def test_the_last_lines_of_a_crash_show_the_line_of_python(self, opened):
        encoder = opened(embed="import ctypes; ctypes.string_at(0)")
        with pytest.raises(UserError) as caught:
            rows_of(encoder)
        assert any("Segmentation fault" in row for row in caught.value.rows)
        assert any("mine.py" in row and "in embed" in row for row in caught.value.rows)

    def test_a_later_process_that_is_another_encoder_is_refused(self, opened, tmp_path):
        encoder = opened(
            f"?folder={tmp_path}", init="self.weights = np.random.rand(4)", embed=ONCE.format(act="os._exit(1)")
        )
        encoder.fingerprint()
        with pytest.raises(UserError, match="has another fingerprint in a new process of the environment 'small'"):
            rows_of(encoder)

    def test_a_plug_in_that_was_edited_meanwhile_is_refused(self, opened, plug_in, tmp_path):
        encoder = opened(f"?folder={tmp_path}", embed=ONCE.format(act="os._exit(1)"))
        encoder.fingerprint()
        plug_in(declared="dim = 5")
        with pytest.raises(UserError, match=r"changed while the program ran.*Run the same command again"):
            rows_of(encoder)

    def test_a_fit_that_is_lost_is_not_made_up_for(self, opened, tmp_path):
        more = "fitted = True\n\ndef fit(self, waveforms):\n    self.weights = self.weights * len(list(waveforms))\n"
        encoder = copy.deepcopy(opened(f"?folder={tmp_path}", more=more, embed=ONCE.format(act="os._exit(1)")))
        encoder.fit(iter(BATCH))
        with pytest.raises(UserError, match="ended with exit code 1 while it embedded"):
            rows_of(encoder)
        with pytest.raises(UserError, match=r"what it was fitted to with it.*it is fitted again"):
            rows_of(encoder)

    def test_a_fit_that_ends_is_an_error(self, opened):
        more = "fitted = True\n\ndef fit(self, waveforms):\n    next(waveforms)\n    os._exit(4)\n"
        with pytest.raises(UserError, match="ended with exit code 4 while it was fitted"):
            opened(more=more).fit(iter(BATCH))

    def test_one_whose_child_holds_its_pipe_is_seen_to_end(self, opened):
        encoder = opened(embed="if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\nos._exit(5)")
        started = time.monotonic()
        with pytest.raises(UserError, match="ended with exit code 5"):
            rows_of(encoder)
        assert time.monotonic() - started < 30

    def test_device_and_mode_hold_for_the_next_process(self, opened, torch_environment, tmp_path):
        encoder = opened(
            f"?folder={tmp_path}", environment=torch_environment, module="import torch",
            init="self.net = torch.nn.Dropout(0.5)", embed=ONCE.format(act="os._exit(1)"),
        )  # fmt: skip
        encoder.to("cpu")
        set_to_eval(encoder)
        rows_of(encoder)
        assert encoder._process.starts == 2
        assert encoder.module_modes() == [("Dropout", False)]


GARBAGE = """
if len(waveforms) == 3:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"{text}")
        except OSError:
            pass
"""


class TestGarbage:
    @pytest.mark.parametrize("text", ["hello, I am a library\\n" * 3, "BeNc" + "\\x07" * 40, "\\x00" * 24])
    def test_what_else_writes_into_the_pipe_is_never_taken_for_numbers(self, opened, text):
        with pytest.raises(UserError, match=r"in the environment 'small' (sent|answered) .* while it embedded"):
            rows_of(opened(embed=GARBAGE.replace("{text}", text)))

    def test_bytes_within_an_answer_are_noticed(self, opened, monkeypatch):
        """A thread of a library that writes while an array is on its way."""
        whole = running.frames.opened

        def damaged(text, array, checksum):
            if array is not None and len(array):
                array = array.copy()
                array[5] ^= 1
            return whole(text, array, checksum)

        encoder = opened()
        monkeypatch.setattr(running.frames, "opened", damaged)
        with pytest.raises(UserError, match="bytes that are not its own"):
            rows_of(encoder)

    def test_an_answer_to_another_question_is_refused(self, opened, monkeypatch):
        lengths = running.frames.lengths

        def late(head):
            number, of_text, of_array, checksum = lengths(head)
            return number - (of_array > 0), of_text, of_array, checksum

        encoder = opened()
        monkeypatch.setattr(running.frames, "lengths", late)
        with pytest.raises(UserError, match=r"answered the question \d+ in place of \d+ while it embedded"):
            rows_of(encoder)


class TestHanging:
    def test_a_call_that_hangs_is_ended_with_its_process(self, opened, monkeypatch):
        monkeypatch.setenv("BENCH_ENCODER_SECONDS", "1.5")
        encoder = opened(embed="if len(waveforms) == 2: time.sleep(600)")
        encoding = BatchEncoding(encoder, 4, 8, "cpu")
        tracks = [TrackWindows(f"t{i}", Path(f"t{i}.wav"), [BATCH[i]]) for i in range(2)]
        pid = pid_of(encoder)
        with pytest.raises(HungError, match=r"the encoder 'mine' did not answer within 2 s on the tracks 't0', 't1'"):
            encoding.embed(tracks)
        assert gone(pid)
        assert np.array_equal(rows_of(encoder), rows_of(opened()))

    def test_an_opening_that_hangs_is_ended(self, opened, monkeypatch):
        monkeypatch.setattr("benchmark.encoders.time_limit.OPENING", 1.0)
        with pytest.raises(
            HungError, match=r"opening the encoder 'env:.*' continued for 1 s without reading or writing"
        ):
            opened(init="time.sleep(600)")

    def test_an_interpreter_that_never_says_a_word(self, tmp_path, plug_in, monkeypatch):
        monkeypatch.setattr(running, "BEGINNING", 0.5)
        mute = tmp_path / "mute"
        mute.write_text("#!/bin/sh\necho thinking >&2\nsleep 600\n")
        mute.chmod(0o755)
        with pytest.raises(UserError, match="the interpreter 'mute' does not begin: it said nothing within") as caught:
            resolve_one(f"env:{mute}::{plug_in()}")
        assert [row.strip() for row in caught.value.rows] == ["thinking"]


class TestInterpretersThatWillNotDo:
    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("exit 0", "does not begin: it ended with exit code 0"),
            ("echo no python here; exit 7", "does not begin: it ended with exit code 7; it says"),
            ("cat /dev/zero >&4 2>/dev/null; head -c 100 /dev/zero", "does not begin: it ended with exit code"),
        ],
    )
    def test_another_program(self, tmp_path, plug_in, script, message):
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        with pytest.raises(UserError, match=message):
            resolve_one(f"env:{program}::{plug_in()}")

    def test_a_file_that_is_no_program(self, tmp_path, plug_in):
        program = tmp_path / "program"
        program.write_bytes(b"\x00\x01")
        program.chmod(0o755)
        with pytest.raises(UserError, match="the interpreter 'program' cannot be started"):
            resolve_one(f"env:{program}::{plug_in()}")

    def test_a_python_that_is_too_old(self, tmp_path, plug_in):
        """The check runs before anything is compiled: an older interpreter is told by a version that says so."""
        old = tmp_path / "old"
        old.write_text(
            f'#!/bin/sh\nshift 4\nexec "{sys.executable}" -I -c "import sys; sys.version_info = (3, 8, 1); '
            'sys.version = \'3.8.1 (x)\'; exec(sys.argv[1])" "$@"\n'
        )
        old.chmod(0o755)
        with pytest.raises(UserError, match="the interpreter 'old' does not begin") as caught:
            resolve_one(f"env:{old}::{plug_in()}")
        assert caught.value.rows[-1].strip() == "It is Python 3.8.1, and 3.9 or later is needed"

    def test_an_environment_without_numpy(self, tmp_path, plug_in, make_environment):
        folder = make_environment(tmp_path / "bare")
        with pytest.raises(UserError, match="the environment 'bare' has no module 'numpy'") as caught:
            resolve_one(f"env:{folder}::{plug_in()}")
        assert f"{folder}/bin/python -m pip install numpy" in caught.value.do

    def test_a_package_that_the_plug_in_lacks_there(self, opened):
        with pytest.raises(UserError, match="the environment 'small' has no module 'omar_rq'") as caught:
            opened(module="import omar_rq.nets")
        assert caught.value.do.endswith("/bin/python -m pip install omar_rq")
        with pytest.raises(UserError, match="the environment 'small' has no module 'late'"):
            rows_of(opened(embed="import late"))

    def test_a_part_of_this_program_that_is_not_there(self, opened):
        with pytest.raises(
            UserError, match="of this benchmark an environment without it has Encoder and UserError alone"
        ):
            opened(module="from benchmark.encoders.handcrafted.logmel import LogMel")

    def test_a_plug_in_that_fails_to_load(self, opened):
        with pytest.raises(UserError, match=r"fails to load: ZeroDivisionError.*in the environment 'small'"):
            opened(module="1 / 0")
        with pytest.raises(UserError, match="cannot be made: ValueError: no weights"):
            opened(init="raise ValueError('no weights')")
        with pytest.raises(UserError, match="in the environment 'small' ended with exit code 9 while it opened"):
            opened(module="os._exit(9)")

    @pytest.mark.parametrize("spec", ["hf:a/b", "logmel", "onnx:x.onnx"])
    def test_encoders_of_this_program_need_it_there(self, numpy_environment, spec):
        with pytest.raises(UserError, match="is opened by this program itself, which is not installed there"):
            resolve_one(f"env:{numpy_environment}::{spec}")

    @pytest.mark.parametrize("spec", ["emb:x.npz", "env:b::c.py"])
    def test_kinds_without_a_meaning_there(self, numpy_environment, spec):
        with pytest.raises(UserError, match=r"needs no interpreter.*name it alone"):
            resolve_one(f"env:{numpy_environment}::{spec}")

    def test_a_file_that_is_not_there(self, numpy_environment):
        with pytest.raises(
            UserError, match=r"no encoder file at .*nowhere.py.*bench encoders new nowhere.py --env NAME"
        ):
            resolve_one(f"env:{numpy_environment}::nowhere.py")


PARENT = """
import sys, time
from benchmark.encoders.registry import resolve_one
import numpy as np
encoder = resolve_one(sys.argv[1])
print(encoder._process._running._process.pid, flush=True)
encoder.embed(np.zeros((1, 1, 2000), np.float32))
print("embedded", flush=True)
time.sleep(600)
"""


def started(environment, file):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, f"env:{environment}::{file}"], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return parent, int(parent.stdout.readline())


class TestParentsThatEnd:
    HANGS = "ctypes.PyDLL(None).sleep(600)"  # which holds the lock of the interpreter, so that no thread of it runs

    @pytest.mark.parametrize("embed", ["", "time.sleep(600)", HANGS, "os.system('sleep 600')"])
    def test_no_process_outlives_a_parent_that_is_killed(self, numpy_environment, plug_in, embed):
        parent, child = started(numpy_environment, plug_in(module="import ctypes", embed=embed))
        time.sleep(0.5)
        assert is_alive(child)
        parent.kill()
        parent.wait()
        assert gone(child)

    def test_ctrl_c_ends_both(self, numpy_environment, plug_in):
        parent, child = started(numpy_environment, plug_in(embed="time.sleep(600)"))
        time.sleep(0.5)
        os.kill(parent.pid, signal.SIGINT)
        assert parent.wait(20) != 0
        assert gone(child)

    def test_ctrl_c_of_a_terminal_does_not_reach_the_other_process(self, opened):
        encoder = opened()
        assert os.getsid(pid_of(encoder)) != os.getsid(0)
