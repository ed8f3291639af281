"""What encoders print must not stand among the results, however they print it."""

import subprocess
import sys

import pytest

from benchmark.system.stdout import stdout_to_stderr

LOUD = """
import ctypes, logging, os, subprocess, sys
from benchmark.system.stdout import stdout_to_stderr

kept, c = sys.stdout, ctypes.CDLL(None)
logging.basicConfig(stream=sys.stdout, format="%(message)s")
print("result 1")
with stdout_to_stderr():
    print("from print")
    kept.write("from a kept stream\\n")
    logging.warning("from a handler")
    os.write(1, b"from the descriptor\\n")
    c.printf(b"from C\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    with stdout_to_stderr():
        print("from inside")
    os.write(1, b"after inside\\n")
print("result 2")
os.write(1, b"")
"""


def test_all_ways_of_printing_go_to_stderr_and_results_stay():
    done = subprocess.run([sys.executable, "-c", LOUD], capture_output=True, text=True, check=True)
    assert done.stdout == "result 1\nresult 2\n"
    for source in ("print", "a kept stream", "a handler", "the descriptor", "C", "a child", "inside"):
        assert f"from {source}\n" in done.stderr
    assert "after inside\n" in done.stderr


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_closed_streams_are_no_obstacle(closed, tmp_path):
    code = (
        "from benchmark.system.stdout import stdout_to_stderr\nimport os, pathlib, sys\n"
        "with stdout_to_stderr():\n    print('x') if sys.stderr else None\n"
        f"pathlib.Path({str(tmp_path / 'here')!r}).touch()\n"
    )
    subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], check=True)
    assert (tmp_path / "here").exists()


def test_an_error_inside_leaves_stdout_as_it_was(capfd):
    def fail():
        with stdout_to_stderr():
            print("said")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    print("result")
    out, err = capfd.readouterr()
    assert out == "result\n"
    assert "said" in err
