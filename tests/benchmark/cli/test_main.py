"""The command line as a person meets it: in a process of its own, in a temporary home."""

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import typer

from benchmark.cli.main import app, main
from tests.pseudo_terminal import seen

BENCH = [sys.executable, "-m", "benchmark.cli.main"]


def bench(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*BENCH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=240)


@pytest.fixture
def quick_card(make_task):
    """A card whose tracks are many enough to be interrupted."""
    return make_task(per_class=40)


class TestStartUp:
    @pytest.mark.parametrize("arguments", [["--help"], ["tasks"], ["tasks", "demo_key"], ["run", "--help"]])
    def test_what_only_tells_imports_nothing_heavy(self, arguments):
        code = (
            "import sys\nfrom benchmark.cli.main import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
            "    assert end.code == 0, end.code\n"
            "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'optuna', 'pyarrow', 'soundfile'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def test_a_kept_record_needs_no_torch(self, quick_card, tmp_path):
        where = ["--home", str(tmp_path / "home"), "--results", str(tmp_path / "results")]
        run = ["run", "-e", "logmel", "-t", str(quick_card), *where, "--trials", "1", "--seeds", "1"]
        assert bench(*run).returncode == 0
        code = (
            "import sys\nfrom benchmark.cli.main import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
            "    assert end.code == 0, end.code\nassert not {'torch', 'optuna'} & set(sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, *run], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "kept" in done.stdout


def test_every_command_is_in_its_place():
    def names(command):
        return {name: names(each) for name, each in getattr(command, "commands", {}).items()}

    found = names(typer.main.get_command(app))
    assert list(found) == [
        "run", "embed", "compare", "labels", "reproduce", "predict", "doctor", "leaderboard", "table",
        "plot", "report", "tasks", "cache", "data", "pretrain", "encoders", "results",
    ]  # fmt: skip
    assert sorted(found["cache"]) == ["list", "ls", "prune", "verify"]  # list is another name of ls
    assert list(found["data"]) == ["list", "fetch", "verify", "split", "where", "audit"]


class TestRun:
    def test_from_rendering_to_a_leaderboard(self, tmp_path):
        home, results = tmp_path / "home", tmp_path / "results"
        done = bench(
            "run", "--encoder", "logmel,chroma", "--task", "demo_k*,demo_emotion", "--trials", 2, "--seeds", 2,
            "--home", home, "--results", results,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for task in ("demo_key", "demo_emotion"):
            for encoder in ("logmel", "chroma"):
                record = json.loads((results / "runs" / task / f"{encoder}.json").read_text())
                assert record["data"]["counts"] == {"train": 360, "valid": 120, "test": 120}
                for score in record["scores"]["test"].values():
                    assert set(score) >= {"value", "low", "high", "std"}
        assert len(re.findall(r"^demo_key +chroma +weighted_accuracy", done.stdout, re.M)) == 1
        assert "Embedded 600 tracks (40.0 min) with logmel" in done.stderr
        assert done.stderr.count("with logmel in") == 1  # one collection, two tasks, embedded once
        assert "\x1b" not in done.stdout + done.stderr

        board = bench("leaderboard", "--results", results, "-o", tmp_path / "leaderboard.md")
        assert board.returncode == 0
        text = (tmp_path / "leaderboard.md").read_text()
        assert "◆ chroma" in text
        assert "weighted_accuracy (key)" in text
        assert " #1<br>" in text
        assert "demo_key weighted_accuracy" in (tmp_path / "leaderboard-full.md").read_text()
        check = ["leaderboard", "--check", "--results", results, "-o", tmp_path / "leaderboard.md"]
        assert bench(*check).returncode == 0
        (tmp_path / "leaderboard.md").write_text(text.replace("chroma", "karma"))
        drifted = bench(*check)
        assert drifted.returncode == 1
        assert "run 'bench leaderboard --results" in drifted.stderr

    def test_dry_run_tells_and_does_nothing(self, quick_card, tmp_path):
        where = ["--home", tmp_path / "home", "--results", tmp_path / "results"]
        done = bench("run", "-e", "logmel,mfcc", "-t", quick_card, *where, "--dry-run")
        assert done.returncode == 0, done.stderr
        assert re.search(r"^tones +logmel +120 +120 ", done.stdout, re.M)
        assert not (tmp_path / "results").exists()
        assert not list((tmp_path / "home").glob("embeddings/*/*.parquet"))

    def test_what_was_stopped_or_is_enlarged_says_where_it_continues(self, quick_card, tmp_path):
        where = ["--home", tmp_path / "home", "--results", tmp_path / "results"]
        words = ["-e", "logmel", "-t", quick_card, *where]
        first = bench("embed", *words[:-2], "--limit", 40)
        assert (first.returncode, "continues at" in first.stderr) == (0, False), first.stderr
        done = bench("run", *words, "--trials", 2, "--seeds", 1)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^Embedding with logmel continues at \d+ of 120 tracks\.$", done.stderr, re.M)
        assert "continues at trial" not in done.stderr
        more = bench("run", *words, "--trials", 3, "--seeds", 1)
        assert re.search(r"continues at trial 2 of 3\.$", more.stderr, re.M), more.stderr
        assert "Embedding with" not in more.stderr

    def test_quiet_tells_the_results_alone(self, quick_card, tmp_path):
        words = ["-e", "logmel", "-t", quick_card, "--home", tmp_path / "home", "--results", tmp_path / "results"]
        done = bench("-q", "run", *words, "--trials", 1, "--seeds", 1)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"^tones +logmel +accuracy +0\.\d", done.stdout, re.M)
        wrong = bench("--quiet", "run", "-e", "logmel", "-t", "no_such_task")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "no_such_task" in wrong.stderr  # an error is told all the same

    @pytest.mark.parametrize(("word", "told"), [("-v", True), ("--verbose", True), (None, False)])
    def test_verbose_tells_more_often(self, quick_card, tmp_path, monkeypatch, capsys, word, told):
        monkeypatch.setattr("benchmark.system.progress.EVERY", {"normal": 1e9, "verbose": 0.0})
        with pytest.raises(SystemExit) as end:
            main([*([word] if word else []), "embed", "-e", "logmel", "-t", str(quick_card), "--home", str(tmp_path),
                  "--workers", "0", "--batch-size", "8"])  # fmt: skip
        assert not end.value.code
        between = re.findall(r"^\S.*: \d+ of 120 tracks \(\d+%\) after ", capsys.readouterr().err, re.M)
        assert bool(between) is told

    def test_quiet_and_verbose_contradict_each_other(self):
        done = bench("-q", "-v", "tasks")
        assert done.returncode == 2
        assert "--verbose and --quiet contradict each other: leave one out" in done.stderr

    @pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["tasks"]])
    def test_no_color_means_no_bold_in_a_terminal(self, words):
        plain = seen([*BENCH, *words], 100, {"NO_COLOR": "1", "TERM": "xterm-256color"})
        assert "\x1b[" not in plain
        if "--help" in words:  # where there is something to be bold
            assert "\x1b[1m" in seen([*BENCH, *words], 100, {"NO_COLOR": "", "TERM": "xterm-256color"})

    def test_home_comes_from_the_environment(self, quick_card, tmp_path):
        done = bench("embed", "-e", "logmel", "-t", quick_card, BENCH_HOME=str(tmp_path / "elsewhere"))
        assert done.returncode == 0, done.stderr
        assert str(tmp_path / "elsewhere" / "embeddings") in done.stdout
        assert "120 embeddings, 120 of them new" in done.stdout

    def test_cache_commands(self, quick_card, tmp_path):
        home = ["--home", tmp_path / "home"]
        assert bench("embed", "-e", "logmel", "-t", quick_card, *home).returncode == 0
        assert re.search(r"^logmel +\S+ +120 ", bench("cache", "ls", *home).stdout, re.M)
        assert "1 shard(s) read, 0 torn" in bench("cache", "verify", *home).stdout
        kept = bench("cache", "prune", "-e", "logmel", *home)
        assert "Would delete" in kept.stdout
        assert list((tmp_path / "home").glob("embeddings/*/*.parquet"))
        assert bench("cache", "prune", "-e", "logmel", "--yes", *home).returncode == 0
        assert not list((tmp_path / "home").glob("embeddings/*/*.parquet"))


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["run", "-e", "logmell", "-t", "demo"], "did you mean 'logmel'"),
            (["run", "-e", "logmel", "-t", "demo_kee"], "did you mean 'demo_key'"),
            (["run", "-e", "logmel", "-t", "nowhere/card.toml"], "no task card at"),
            (["run", "-e", "logmel"], "Missing option"),
            (["run", "-e", "logmel", "-t", "demo", "--trials", "many"], "Invalid value"),
            (["run", "-e", "logmel", "-t", "demo", "--overwrite", "perhaps"], "Invalid value"),
            (["run", "-e", "no_such_module:Class", "-t", "demo"], "cannot import the encoder"),
            (["tasks", "gs_kez"], "no task, alias or group fits"),
            (["encoders", "nothing"], "no encoder is called"),
            (["cache", "prune", "-e", "nothing"], "no cached embeddings of 'nothing'"),
            (["runn"], "No such command"),
            (["leaderboard", "--results", "no/such/folder"], "no results folder"),
            (["encoders", "mfcc", "extra"], "one argument too many"),
        ],
    )
    def test_are_one_message_and_exit_code_2(self, arguments, message, tmp_path):
        done = bench(*arguments, BENCH_HOME=str(tmp_path))
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_a_broken_record_names_the_file(self, tmp_path):
        broken = tmp_path / "runs" / "demo_key" / "logmel.json"
        broken.parent.mkdir(parents=True)
        broken.write_text("{")
        done = bench("leaderboard", "--results", tmp_path, "-o", tmp_path / "l.md")
        assert done.returncode == 2
        assert str(broken) in done.stderr

    def test_a_storage_that_fails_in_the_middle_keeps_what_is_done(self, make_vectors, tmp_path, capsys):
        encoder, card = make_vectors()
        database = tmp_path / "search.db"

        def run(trials: int) -> int:
            with pytest.raises(SystemExit) as ended:
                main(
                    ["run", "-e", encoder, "-t", str(card), "--storage", f"sqlite:///{database}", "--seeds", "1",
                     "--trials", str(trials), "--home", str(tmp_path / "home"), "--results", str(tmp_path / "results")]
                )  # fmt: skip
            return ended.value.code

        def change(statement: str) -> list[tuple[object, ...]]:
            with closing(sqlite3.connect(database)) as other:
                return list(other.execute(statement))

        assert run(1) == 0
        full = "(SELECT COUNT(*) FROM trials) > 1 BEGIN SELECT RAISE(FAIL, 'full'); END"
        change(f"CREATE TRIGGER full BEFORE INSERT ON trials WHEN {full}")
        capsys.readouterr()
        assert run(3) == 2
        out, errors = capsys.readouterr()
        assert out == ""
        assert "bench: Probing given on vectors: the storage 'sqlite:///" in errors
        assert "full). Finished trials are kept" in errors
        assert "run the same command again" in errors
        assert "Traceback" not in errors
        change("DROP TRIGGER full")
        assert run(3) == 0
        finished = change("SELECT number FROM trials WHERE state IN ('COMPLETE', 'PRUNED') ORDER BY number")
        assert finished == [(0,), (1,), (2,)]
        record = json.loads((tmp_path / "results" / "runs" / "vectors" / "given.json").read_text())
        assert len(record["search"]["trials"]) == 3


SLOW_ENCODER = """
import time
import numpy as np
from benchmark import Encoder


class Slow(Encoder):
    name, version, sample_rate, dim, arrays = "slow", "1", 8000, 3, "numpy"
    minimum_seconds = 0.1
    not_in_fingerprint = ("pause", "began")

    def __init__(self):
        import os
        self.pause = float(os.environ.get("PAUSE", "0"))
        self.began = os.environ.get("BEGAN")

    def embed(self, waveforms):
        if self.began:
            open(self.began, "a").close()
        time.sleep(self.pause)
        x = waveforms[:, 0]
        return np.stack([x.std(1), np.abs(x).mean(1), np.abs(np.diff(x)).mean(1)], 1)
"""


class TestInterruption:
    @pytest.fixture
    def command(self, quick_card, tmp_path):
        plugin = tmp_path / "slow.py"
        plugin.write_text(SLOW_ENCODER)

        def build(home: Path) -> list[str]:
            return [
                *BENCH, "embed", "-e", str(plugin), "-t", str(quick_card), "--home", str(home),
                "--batch-size", "2", "--workers", "1",
            ]  # fmt: skip

        return build

    @staticmethod
    def embeddings(home: Path) -> dict[str, bytes]:
        import pyarrow.parquet as pq

        rows = {}
        for path in sorted(home.glob("embeddings/*/*.parquet")):
            for row in pq.read_table(path).to_pylist():
                rows.setdefault(row["key"], bytes(memoryview(__import__("numpy").float32(row["embedding"]))))
        return rows

    def start(self, command: list[str], began: Path) -> subprocess.Popen[str]:
        """Start a slow run and return it in the midst of its tracks."""
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PAUSE": "0.1", "BEGAN": str(began)},
            # A suite that nohup started hands an ignored SIGHUP on, and one in the background an ignored SIGINT.
            preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGHUP, signal.SIGINT)],
        )  # fmt: skip
        while not began.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1.5)
        return process

    def test_ctrl_c_keeps_what_is_done_says_so_and_the_same_command_goes_on(self, command, tmp_path):
        process = self.start(command(tmp_path / "home"), tmp_path / "began")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        done = int(re.search(r"(\d+) of 120 tracks are kept", errors).group(1))
        assert 0 < done < 120
        assert "the same command continues from there" in errors
        assert "Traceback" not in errors
        again = subprocess.run(command(tmp_path / "home"), capture_output=True, text=True, timeout=120)
        assert f"120 embeddings, {120 - done} of them new" in again.stdout
        assert subprocess.run(command(tmp_path / "whole"), capture_output=True, timeout=120).returncode == 0
        assert self.embeddings(tmp_path / "home") == self.embeddings(tmp_path / "whole")

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_other_signals_say_what_is_kept_too(self, command, tmp_path, name):
        process = self.start(command(tmp_path / "home"), tmp_path / "began")
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + getattr(signal, name)
        done = int(re.search(r"(\d+) of 120 tracks are kept", errors).group(1))
        assert 0 < done < 120
        assert f"ended by {name}. What was finished is kept: the same command continues from there" in errors
        assert "Traceback" not in errors
        again = subprocess.run(command(tmp_path / "home"), capture_output=True, text=True, timeout=120)
        assert f"120 embeddings, {120 - done} of them new" in again.stdout

    @pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
    def test_a_signal_within_code_made_from_a_text_ends_by_status_too(self, tmp_path, name, status):
        """Python ends what ``-m`` runs by SIGINT, whatever its status, where exec was the last to see the interrupt."""
        program = (
            "import os, signal\nfrom benchmark.cli import main\n"
            "class Command:\n"
            "    def main(self, **given):\n"
            "        try:\n"
            f"            exec('os.kill(os.getpid(), signal.{name})\\nwhile True: pass', globals())\n"
            "        except KeyboardInterrupt:\n"
            "            return main.INTERRUPTED\n"
            "main.typer.main.get_command = lambda app: Command()\n"
            "main.main([])\n"
        )
        (tmp_path / "interrupted.py").write_text(program)
        ended = subprocess.run(
            [sys.executable, "-m", "interrupted"], capture_output=True, text=True, timeout=60, cwd=tmp_path,
            preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGHUP, signal.SIGINT)],
        )  # fmt: skip
        assert (ended.returncode, ended.stderr.count("the same command continues from there")) == (status, 1)

    def test_an_ignored_signal_stays_ignored(self, command, tmp_path):
        """What nohup starts outlives its terminal."""
        process = subprocess.Popen(
            command(tmp_path / "home"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        )  # fmt: skip
        time.sleep(2)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert "120 embeddings, 120 of them new" in out

    def test_kill_9_and_resume_give_the_same_bytes(self, command, tmp_path):
        process = self.start(command(tmp_path / "home"), tmp_path / "began")
        process.kill()
        process.communicate()
        again = subprocess.run(command(tmp_path / "home"), capture_output=True, text=True, timeout=120)
        assert again.returncode == 0, again.stderr
        assert subprocess.run(command(tmp_path / "whole"), capture_output=True, timeout=120).returncode == 0
        broken, whole = self.embeddings(tmp_path / "home"), self.embeddings(tmp_path / "whole")
        assert len(whole) == 120
        assert broken == whole

    def test_two_processes_on_one_store_share_the_work(self, command, tmp_path):
        both = [self.start(command(tmp_path / "home"), tmp_path / "began") for _ in range(2)]
        outputs = [process.communicate(timeout=120) for process in both]
        assert [process.returncode for process in both] == [0, 0], outputs
        new = sorted(int(re.search(r"(\d+) of them new", out).group(1)) for out, _ in outputs)
        assert new == [0, 120]
        assert len(self.embeddings(tmp_path / "home")) == 120


class TestLastResort:
    """What no writer has put into words still is no traceback."""

    def ended(self, monkeypatch, capsys, error: BaseException) -> tuple[object, str]:
        def failing(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("benchmark.reports.cache.format_spaces", failing)
        with pytest.raises(SystemExit) as stopped:
            main(["cache", "ls"])
        return stopped.value.code, capsys.readouterr().err

    @pytest.mark.parametrize(
        "number",
        [
            errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO, errno.ENAMETOOLONG,
            errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EMFILE,
        ],
    )  # fmt: skip
    def test_an_error_of_the_disk(self, monkeypatch, capsys, number):
        code, told = self.ended(monkeypatch, capsys, OSError(number, os.strerror(number), "/somewhere/file"))
        assert code == 2
        assert told.startswith(f"bench: {os.strerror(number)} (/somewhere/file). What was finished is kept")

    @pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
    def test_no_memory(self, monkeypatch, capsys, error):
        code, told = self.ended(monkeypatch, capsys, error)
        assert (code, told.startswith("bench: memory ran out. What was finished is kept")) == (2, True)

    def test_a_link_to_itself(self, monkeypatch, capsys):
        code, told = self.ended(monkeypatch, capsys, RuntimeError("Symlink loop from '/a'"))
        assert (code, told.startswith("bench: Symlink loop from '/a': a link leads to itself.")) == (2, True)

    def test_an_input_nested_too_deep(self, monkeypatch, capsys):
        code, told = self.ended(monkeypatch, capsys, RecursionError("maximum recursion depth exceeded"))
        assert (code, told.startswith("bench: an input is nested too deep to be read.")) == (2, True)
        assert "Traceback" not in told

    @pytest.mark.parametrize(
        "error",
        [
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
        ],
    )
    def test_text_that_is_no_unicode(self, monkeypatch, capsys, error):
        code, told = self.ended(monkeypatch, capsys, error)
        assert (code, told.startswith("bench: a text cannot be read or written (")) == (2, True)
        assert "Traceback" not in told

    def test_a_reader_that_has_gone(self, monkeypatch, capsys):
        assert self.ended(monkeypatch, capsys, BrokenPipeError(errno.EPIPE, "Broken pipe")) == (1, "")

    def test_a_fault_of_ours_keeps_its_traceback(self, monkeypatch):
        def failing(*_: object, **__: object) -> None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/gone")

        monkeypatch.setattr("benchmark.reports.cache.format_spaces", failing)
        with pytest.raises(FileNotFoundError):
            main(["cache", "ls"])

    def test_main_leaves_the_handlers_of_signals_as_they_were(self, monkeypatch, capsys):
        before = signal.getsignal(signal.SIGTERM)
        self.ended(monkeypatch, capsys, MemoryError())
        assert signal.getsignal(signal.SIGTERM) == before
