"""What the other side does with messages that this program never sends, and with what an encoder leaves behind."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from benchmark.encoders.environment import frames, process
from benchmark.encoders.environment import running as worker_process
from benchmark.encoders.outputs import call_encoder
from benchmark.errors import UserError
from tests.benchmark.encoders.environment.conftest import BATCH, gone, rows_of


@pytest.fixture
def worker():
    """A worker without a parent that speaks its language, and the ends of its pipes."""
    questions, to_worker = os.pipe()
    from_worker, answers = os.pipe()
    command = [
        sys.executable, "-I", "-c", worker_process.BOOT, str(worker_process.WORKER), str(questions), str(answers),
        "free",
    ]  # fmt: skip
    running = subprocess.Popen(command, pass_fds=(questions, answers), start_new_session=True)
    os.close(questions)
    os.close(answers)
    yield running, to_worker, from_worker
    running.kill()
    running.wait()
    for descriptor in (to_worker, from_worker):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_it_says_its_version_first_and_ends_with_its_pipe(worker):
    running, to_worker, from_worker = worker
    assert b'"python"' in os.read(from_worker, 1000)
    os.close(to_worker)
    assert gone(running.pid)


@pytest.mark.parametrize("sent", [b"x" * 200, frames.packed(1, {"do": "open"})[0][:-1] + b"!"])
def test_a_message_that_is_none_ends_it(worker, sent):
    running, to_worker, _ = worker
    os.write(to_worker, sent)
    assert running.wait(20) == -signal.SIGKILL


def test_a_question_that_it_does_not_know_is_an_error_and_it_lives(opened):
    encoder = opened()
    with pytest.raises(process.RaisedError, match="do_sing"):
        encoder._process.ask("sing")
    assert rows_of(encoder).shape == (3, 4)


def test_windows_of_a_fit_end_with_it(opened):
    """What keeps the windows for later gets none, and takes no question for one."""
    more = """
    fitted = True

    def fit(self, waveforms):
        global KEPT
        KEPT = waveforms
        next(KEPT)
    """
    encoder = opened(more=more, embed="rows += len(list(KEPT))")
    encoder.fit(iter(BATCH))
    assert np.array_equal(rows_of(encoder), rows_of(opened()))


def test_options_of_the_command_line_are_not_seen_by_libraries(opened):
    assert opened(module="assert sys.argv == ['encoder'], sys.argv").dim == 4


def test_numpy_has_one_thread_where_the_encoder_takes_arrays(opened, torch_environment):
    find = "import ctypes, glob\n[path] = glob.glob(os.path.dirname(np.__file__) + '.libs/*openblas*')\n"
    find += "get = ctypes.CDLL(path)\nget = getattr(get, 'scipy_openblas_get_num_threads64_', None)\n"
    threads = opened(module=find, embed="rows[:] = get() if get else 1")
    assert (call_encoder(threads, BATCH.copy(), "cpu").values == 1).all()


def test_a_user_error_of_the_plug_in_keeps_its_parts(opened):
    module = "from benchmark import UserError"
    with pytest.raises(UserError) as caught:
        rows_of(opened(module=module, embed="raise UserError('the moon is down', 'raise it', ['a', 'b'])"))
    assert (caught.value.what, caught.value.do) == ("the moon is down (in the environment 'small')", "raise it")
    assert caught.value.rows == ("a", "b")
