"""``env:``: the contract of an encoder in another interpreter, and every way in which that one can fail."""

import copy
import gc
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.encoders.check.check import check
from benchmark.encoders.check.sounds import sounds
from benchmark.encoders.environment import process
from benchmark.encoders.fingerprint import set_to_eval
from benchmark.encoders.outputs import OutputError, as_rows, call_encoder
from benchmark.encoders.parameters import parameter_count
from benchmark.encoders.registry import resolve, resolve_one
from benchmark.encoders.remote import device_for
from benchmark.encoders.time_limit import HungError
from benchmark.errors import UserError

BATCH = sounds(3, 2000, 2000, 1)


def pid_of(encoder):
    return encoder._process._running._process.pid


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid, seconds=10.0):
    until = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def rows_of(encoder, batch=BATCH):
    return as_rows(encoder, call_encoder(encoder, batch.copy(), "cpu"), len(batch))


class TestTheContract:
    def test_it_gives_what_the_same_plug_in_gives_here(self, numpy_environment, plug_in):
        file = plug_in()
        here, there = resolve_one(file), resolve_one(f"env:{numpy_environment}::{file}")
        assert np.array_equal(rows_of(here), rows_of(there))
        assert (there.name, there.version, there.dim, there.window_seconds) == ("mine", "1", 4, 1.0)
        assert (type(there).__name__, type(there).__doc__) == ("Mine", "Loudness of four quarters.")
        assert "Runs in the environment small: Python 3." in there.notes[-1]

    def test_it_keeps_every_rule_of_the_check(self, opened):
        assert check(opened(), batch_size=2).failures == ()

    def test_this_program_and_other_packages_are_not_there(self, opened):
        module = "import importlib.util\n" + "\n".join(
            f"assert importlib.util.find_spec({name!r}) is None" for name in ("torch", "tasks", "results", "pydantic")
        )
        assert rows_of(opened(module=module)).shape == (3, 4)

    def test_options_are_converted_there_and_stand_in_its_name(self, opened):
        encoder = opened("?scale=2.5")
        assert encoder.name == "mine?scale=2.5"
        assert np.allclose(rows_of(encoder), 2.5 * rows_of(opened()), rtol=1e-6)
        with pytest.raises(
            UserError, match=r"has no option 'scael' \(in the environment 'small'\): did you mean 'scale'\?"
        ):
            opened("?scael=2")
        with pytest.raises(UserError, match=r"the option 'scale' .* is 'much'.*: give a number"):
            opened("?scale=much")

    def test_the_only_class_or_one_by_name(self, numpy_environment, tmp_path, plug_in):
        file = Path(plug_in())
        file.write_text(file.read_text() + "\n\nclass Other(Mine):\n    name = 'other'\n")
        assert resolve_one(f"env:{numpy_environment}::{file}:Other").name == "other"
        with pytest.raises(UserError, match="has 2 Encoder classes"):
            resolve_one(f"env:{numpy_environment}::{file}")

    def test_a_module_of_the_current_folder(self, numpy_environment, plug_in, tmp_path, monkeypatch):
        plug_in(name="lying_here.py")
        monkeypatch.chdir(tmp_path)
        assert resolve_one(f"env:{numpy_environment}::lying_here:Mine").name == "mine"
        with pytest.raises(UserError, match=r"cannot import the encoder 'not_here:Mine'.*in the folder that holds it"):
            resolve_one(f"env:{numpy_environment}::not_here:Mine")

    def test_neighbours_are_found_but_not_in_place_of_what_is_installed(self, opened, tmp_path):
        (tmp_path / "beside.py").write_text("VALUE = 7\n")
        (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')\n")
        (tmp_path / "later.py").write_text("VALUE = 3\n")
        encoder = opened(
            module="import beside", declared="version = str(beside.VALUE)", embed="import later; rows *= later.VALUE"
        )
        assert encoder.version == "7"
        assert np.allclose(rows_of(encoder), 3 * rows_of(opened()))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_floats_of_any_kind_come_as_they_are(self, opened, dtype):
        output = call_encoder(opened(embed=f"return rows.astype('{dtype}')"), BATCH.copy(), "cpu")
        assert (output.dtype, output.values.dtype.name, output.graph) == (dtype, dtype, False)

    def test_layers_and_frames(self, opened):
        layers = opened(declared="layers = ('low', 'high')", embed="return np.stack([rows, 2 * rows], axis=1)")
        assert layers.layers == ("low", "high")
        assert np.array_equal(rows_of(layers)[:, 4:], 2 * rows_of(layers)[:, :4])
        frames = opened(embed="return np.repeat(rows[:, None], 7, axis=1)")
        assert call_encoder(frames, BATCH.copy(), "cpu").values.shape == (3, 7, 4)
        assert rows_of(frames).shape == (3, 4)

    def test_large_batches_and_answers_do_not_block_each_other(self, opened):
        encoder = opened(embed="return np.repeat(np.repeat(rows, 1, axis=1)[:, None], 400_000, axis=1)")
        batch = sounds(4, 2_000_000, 2000, 1)
        assert call_encoder(encoder, batch, "cpu").values.shape == (4, 400_000, 4)

    def test_the_waveforms_may_be_written_into(self, opened):
        batch = BATCH.copy()
        encoder = opened(embed="waveforms *= 0")
        assert np.isfinite(rows_of(encoder, batch)).all()
        assert np.array_equal(batch, BATCH)

    def test_many_lines_on_stdout_harm_nothing(self, opened, capfd):
        module = "print('chatter at import')"
        encoder = opened(module=module, embed="print('x' * 200_000); os.write(1, b'raw\\n'); os.system('echo shell')")
        assert np.array_equal(rows_of(encoder), rows_of(opened()))
        out, err = capfd.readouterr()
        assert out == ""
        assert "chatter at import" in err

    def test_windows_of_a_task_and_precision(self, opened):
        more = """
        def for_window(self, seconds):
            other = Mine()
            other.weights, other.window_seconds = self.weights * 2, seconds
            return other

        precision = "fp32"

        def with_precision(self, precision):
            if precision == "fp32":
                return self
            other = Mine()
            other.precision, other.name = precision, self.name
            return other
        """
        encoder = opened(more=more)
        assert encoder.with_precision("fp32") is encoder
        assert encoder.with_precision("bf16").precision == "bf16"
        window = encoder.for_window(0.5)
        assert window.window_seconds == 0.5
        assert np.allclose(rows_of(window), 2 * rows_of(encoder))
        assert window.fingerprint() != encoder.fingerprint()
        plain = opened()
        assert plain.for_window(0.5) is plain
        with pytest.raises(UserError, match=r"computes in fp32 only.*leave --precision out"):
            plain.with_precision("bf16")

    def test_a_fit_sees_every_window_and_a_copy_is_fitted_alone(self, opened):
        more = """
        fitted = True

        def fit(self, waveforms):
            self.weights = self.weights * sum(float(np.abs(w).max()) for w in waveforms)
        """
        encoder = opened(more=more)
        windows = [np.full((1, 2000), value, np.float32) for value in (0.25, 0.5)]
        fitted = copy.deepcopy(encoder)
        fitted.fit(iter(windows))
        assert np.allclose(rows_of(fitted), 0.75 * rows_of(encoder))
        assert fitted.fingerprint() != encoder.fingerprint()
        other = copy.deepcopy(encoder)
        assert other.fingerprint() == encoder.fingerprint()
        assert check(encoder, batch_size=1).failures == ()

    def test_a_fit_may_stop_early_and_what_ends_its_windows_is_raised(self, opened):
        more = "fitted = True\n\ndef fit(self, waveforms):\n    next(waveforms)\n"
        encoder = opened(more=more)
        encoder.fit(iter(BATCH))
        assert rows_of(encoder).shape == (3, 4)

        def broken():
            yield BATCH[0]
            raise UserError("the audio is gone", "bring it back")

        greedy = opened(more="fitted = True\n\ndef fit(self, waveforms):\n    list(waveforms)\n")
        with pytest.raises(UserError, match="the audio is gone"):
            greedy.fit(broken())

    def test_declared_to_be_fitted_without_a_fit(self, opened):
        with pytest.raises(UserError, match=r"Mine declares fitted = True and has no fit\(waveforms\) method"):
            opened(declared="fitted = True")

    @pytest.mark.parametrize(
        ("declared", "message"),
        [
            ("sample_rate = 16", "declares sample_rate = 16: this is no sample rate"),
            ("layers = ['a']", r"declares layers = \['a'\]: make it a tuple"),
            ("dim = None", "Mine does not declare dim"),
            ("channels = 3", "declares channels = 3"),
            ("window_seconds = 'long'", "declares window_seconds = 'long'"),
        ],
    )
    def test_declarations_are_held_to_the_same_rules(self, opened, declared, message):
        from benchmark.encoders.declarations import check_declarations

        with pytest.raises(UserError, match=message):
            check_declarations(opened(declared=declared))

    def test_numbers_of_numpy_are_declarations_too(self, opened):
        encoder = opened(declared="sample_rate = np.int64(2000); window_seconds = np.float64(1.0)")
        assert (encoder.sample_rate, encoder.window_seconds) == (2000, 1.0)

    def test_a_process_ends_with_its_encoder(self, opened):
        encoder = opened()
        pid = pid_of(encoder)
        del encoder
        gc.collect()
        assert gone(pid)


class TestTorch:
    TORCH = "import torch\nfrom torch import nn"
    INIT = "torch.manual_seed(0)\nself.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))"

    def encoder(self, opened, environment, embed, **parts):
        return opened(environment=environment, arrays="torch", module=self.TORCH, init=self.INIT, embed=embed, **parts)

    def test_modules_device_and_parameters(self, opened, torch_environment):
        encoder = self.encoder(opened, torch_environment, "return self.net(torch.from_numpy(rows))")
        assert parameter_count(encoder) == 20
        assert device_for(encoder, "auto") in ("cpu", "cuda")
        assert device_for(encoder, "cpu") == "cpu"
        assert dict(encoder.module_modes()) == {"Sequential": True, "Linear": True, "Dropout": True}
        encoder.to("cpu")
        set_to_eval(encoder)
        assert not any(training for _, training in encoder.module_modes())
        assert "torch 2." in str(encoder.software)
        assert check(encoder, batch_size=2).failures == ()

    def test_half_precision_and_a_graph(self, opened, torch_environment):
        half = self.encoder(opened, torch_environment, "return torch.from_numpy(rows).bfloat16()")
        output = call_encoder(half, BATCH.copy(), "cpu")
        assert (output.dtype, output.values.dtype.name) == ("bfloat16", "float32")
        graph = self.encoder(
            opened, torch_environment, "with torch.enable_grad():\n    return self.net(torch.from_numpy(rows))"
        )
        with pytest.raises(OutputError, match="carries a graph"):
            rows_of(graph)

    def test_it_gets_tensors(self, opened, torch_environment):
        more = """
        def embed(self, waveforms):
            assert isinstance(waveforms, torch.Tensor) and not torch.is_grad_enabled()
            return waveforms.reshape(len(waveforms), 4, -1).mean(2)
        """
        encoder = opened(environment=torch_environment, arrays="torch", module=self.TORCH, more=more)
        assert np.allclose(rows_of(encoder), BATCH.reshape(3, 4, -1).mean(2), atol=1e-6)

    def test_a_changed_default_is_refused(self, opened, torch_environment):
        with pytest.raises(UserError, match=r"changes the default dtype to torch\.float64"):
            self.encoder(opened, torch_environment, "", more="torch.set_default_dtype(torch.float64)")

    def test_a_device_that_its_torch_lacks(self, opened, torch_environment):
        encoder = self.encoder(opened, torch_environment, "")
        with pytest.raises(UserError, match=r"the device 'xpu' cannot be used with its torch 2\..*Try --device cpu"):
            device_for(encoder, "xpu")
        with pytest.raises(UserError, match="there is no device 'gpu': did you mean --device cuda"):
            device_for(encoder, "gpu")


class TestFingerprint:
    def test_it_has_options_code_interpreter_and_packages(self, numpy_environment, opened, plug_in, tmp_path):
        first = opened().fingerprint()
        assert opened().fingerprint() == first
        assert opened("?scale=2.0").fingerprint() != first
        assert opened(module="# a comment").fingerprint() != first
        assert first != resolve_one(plug_in()).fingerprint()

    def test_another_package_gives_another(self, tmp_path, plug_in, make_environment):
        folder = make_environment(tmp_path / "old", "numpy")
        encoder = resolve_one(f"env:{folder}::{plug_in()}")
        before, software = encoder.fingerprint(), encoder.software
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "Some_Thing-1.2.dist-info").mkdir()
        (site / "Some_Thing-1.2.dist-info" / "METADATA").write_text("Name: Some_Thing\nVersion: 1.2\n")
        encoder = resolve_one(f"env:{folder}::{plug_in()}")
        assert encoder.fingerprint() != before
        assert encoder.software.packages == software.packages + 1
        text = "\n".join(sorted([f"numpy=={np.__version__}", "some-thing==1.2"]))
        assert encoder.software.digest == hashlib.sha256(text.encode()).hexdigest()
        assert encoder.software.main == {"numpy": np.__version__}

    def test_an_attribute_that_cannot_be_hashed_is_refused_there(self, opened):
        with pytest.raises(UserError, match=r"cannot tell when Mine.thing changes.*in the environment 'small'"):
            opened(init="self.thing = object()").fingerprint()

    def test_a_path_of_the_machine_is_not_in_it(self, numpy_environment, tmp_path, opened):
        link = tmp_path / "elsewhere"
        link.symlink_to(numpy_environment)
        assert opened(environment=link).fingerprint() == opened().fingerprint()


class TestWrongAnswers:
    @pytest.mark.parametrize(
        ("embed", "message"),
        [
            ("return rows[:-1]", r"returned shape \[2, 4\] where \[3, 4\] was declared"),
            ("return rows[:, :3]", r"returned shape \[3, 3\] where"),
            ("return rows.astype(int)", "returned int64, not floats"),
            ("return None", "returned object, not floats"),
            ("return ['a']", "returned <U1, not floats"),
            ("return rows.astype(complex)", "returned complex128, not floats"),
            ("return np.zeros((0, 4), np.float32)", r"returned shape \[0, 4\]"),
            ("return np.float32(3)", r"returned shape \[\]"),
        ],
    )
    def test_another_count_width_or_type_is_refused(self, opened, embed, message):
        with pytest.raises(OutputError, match=message):
            rows_of(opened(embed=embed))

    def test_what_is_not_finite_is_refused_by_the_track(self, opened):
        encoding = BatchEncoding(opened(embed="rows[1] = np.nan"), 4, 8, "cpu")
        tracks = [TrackWindows(f"t{i}", Path(f"t{i}.wav"), [BATCH[i]]) for i in range(3)]
        with pytest.raises(UserError, match=r"gave an embedding that is not finite for the track 't1' \(t1.wav\)"):
            encoding.embed(tracks)

    def test_what_embed_raises_is_told_with_track_environment_and_line(self, opened):
        encoding = BatchEncoding(opened(embed="raise ValueError('bad song')"), 4, 8, "cpu")
        with pytest.raises(UserError) as caught:
            encoding.embed([TrackWindows("t0", Path("t0.wav"), [BATCH[0]])])
        assert (
            "on the track 't0' (t0.wav) raised ValueError: bad song (in the environment 'small', mine.py, line"
            in str(caught.value)
        )
        assert "raise ValueError('bad song')" in caught.value.__cause__.__notes__[0]

    def test_an_encoder_that_exits_is_an_error_and_the_process_lives(self, opened):
        encoder = opened(embed="sys.exit('enough')")
        for _ in range(2):
            with pytest.raises(process.RaisedError, match="enough"):
                rows_of(encoder)
        assert encoder._process.starts == 1


ONCE = """
mark = os.path.join(self.folder, "once")
if not os.path.exists(mark):
    open(mark, "w").close()
    sys.stderr.write("about to fall\\n")
    {act}
"""


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
        import re

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
        whole = process.frames.opened

        def damaged(text, array, checksum):
            if array is not None and len(array):
                array = array.copy()
                array[5] ^= 1
            return whole(text, array, checksum)

        encoder = opened()
        monkeypatch.setattr(process.frames, "opened", damaged)
        with pytest.raises(UserError, match="bytes that are not its own"):
            rows_of(encoder)

    def test_an_answer_to_another_question_is_refused(self, opened, monkeypatch):
        lengths = process.frames.lengths

        def late(head):
            number, of_text, of_array, checksum = lengths(head)
            return number - (of_array > 0), of_text, of_array, checksum

        encoder = opened()
        monkeypatch.setattr(process.frames, "lengths", late)
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
        monkeypatch.setattr(process, "BEGINNING", 0.5)
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


def test_an_encoder_of_this_program_where_it_is_installed():
    encoder = resolve_one(f"env:{sys.executable}::logmel")
    here = resolve_one("logmel")
    batch = sounds(2, 3 * here.sample_rate, here.sample_rate, here.channels)
    assert np.allclose(rows_of(encoder, batch), rows_of(here, batch), rtol=1e-5)
    assert encoder.name == "logmel"
    assert encoder.fingerprint() != here.fingerprint()


def test_two_environments_of_one_name_are_two_encoders(numpy_environment, torch_environment, plug_in):
    file = plug_in()
    with pytest.raises(UserError, match="two different encoders have the name 'mine'"):
        resolve([f"env:{numpy_environment}::{file}", f"env:{torch_environment}::{file}"])


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


def test_the_shared_modules_are_of_python_3_9():
    """Files that other interpreters run: their syntax, and unions of types where Python evaluates them."""
    import ast

    from benchmark.encoders.environment import contract

    root = Path(process.__file__).parents[3]
    files = [root.joinpath(*name.split(".")).with_suffix(".py") for name in contract.SHARED]
    files += [Path(process.__file__).with_name(name) for name in ("contract.py", "frames.py", "worker.py")]
    for file in files:
        tree = ast.parse(file.read_text(), feature_version=(3, 9))
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body), file
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                assert not isinstance(node.args[1], ast.BinOp), (file, node.lineno)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip":
                assert not node.keywords, (file, node.lineno)
            assert type(node).__name__ != "Match", (file, node.lineno)
