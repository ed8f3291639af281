"""``env:``: the contract of an encoder in another interpreter, and every way in which that one can fail."""

import copy
import gc
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.encoders.check.check import check
from benchmark.encoders.check.sounds import sounds
from benchmark.encoders.environment import process
from benchmark.encoders.fingerprint import set_to_eval
from benchmark.encoders.outputs import OutputError, call_encoder
from benchmark.encoders.parameters import parameter_count
from benchmark.encoders.registry import resolve, resolve_one
from benchmark.encoders.remote import device_for
from benchmark.errors import UserError
from tests.benchmark.conftest import predict
from tests.benchmark.encoders.environment.conftest import BATCH, gone, pid_of, rows_of


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


def test_a_run_its_record_and_a_prediction(numpy_environment, plug_in, make_task, tmp_path, monkeypatch):
    """From the name of the encoder to a prediction; nothing that is written holds a folder of this machine."""
    text, card = f"env:{numpy_environment}::{plug_in()}", str(make_task())
    places = {"home": tmp_path / "home", "results": tmp_path / "results"}
    chosen = {"trials": 1, "seeds": 1, "workers": 0}
    found = benchmark.run(text, card, **chosen, **places, export=tmp_path / "probes")
    environment = found.encoder.environment
    assert (environment.name, list(environment.main)) == ("small", ["numpy"])
    assert found.provenance.encoder == "env:small::mine.py"
    again = benchmark.run(plug_in(), card, **chosen, home=places["home"], results=tmp_path / "here")
    assert again.encoder.environment is None
    assert again.scores.test == found.scores.test
    assert again.run_key != found.run_key
    (probe,) = (tmp_path / "probes").glob("*/*")
    for file in places["results"].rglob("*.json"):  # a probe names its encoder as it is opened again
        assert str(numpy_environment.parent) not in file.read_text()
    audio = sorted((tmp_path / "tones" / "audio").glob("*.flac"))[:3]
    _, said = predict(probe, audio, encoder=text, home=places["home"], workers=0)
    assert [one.problem for one in said] == [""] * 3
    with pytest.raises(
        UserError, match=r"would run the program .*small and in it the Python file .*mine\.py. Nothing was run"
    ):
        predict(probe, audio, home=places["home"])
