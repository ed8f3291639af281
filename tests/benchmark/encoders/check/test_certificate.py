"""Certificates: written once, compared later, and what is told of a change."""

import json

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.encoders.base import Encoder
from benchmark.encoders.check import certificate as module
from benchmark.encoders.check.certificate import certified, compared, folded, read_certificate, standard_sound
from benchmark.encoders.check.check import check
from benchmark.errors import UserError

PLUGIN = """
import numpy as np
from benchmark import Encoder


class Levels(Encoder):
    name, version, sample_rate, dim, arrays = "levels", "1", 2000, 2, "numpy"
    window_seconds, minimum_seconds = 1.0, 0.1

    def embed(self, waveforms):
        return FACTOR * np.stack([np.abs(waveforms).mean((1, 2)), waveforms.std((1, 2))], axis=1)
"""


class Levels(Encoder):
    name, version, sample_rate, dim, arrays = "levels", "1", 2000, 2, "numpy"
    window_seconds, minimum_seconds, factor = 1.0, 0.1, np.array([1.0, 1.0])

    def embed(self, waveforms):
        return self.factor * np.stack([np.abs(waveforms).mean((1, 2)), waveforms.std((1, 2))], axis=1)


def of(encoder):
    return certified(encoder, "cpu", check(encoder, batch_size=1))


def changed(**attributes):
    encoder = Levels()
    for name, value in attributes.items():
        setattr(encoder, name, value)
    return encoder


class TestCompared:
    def test_the_same_encoder_is_the_same(self):
        finding = compared(of(Levels()), of(Levels()))
        assert finding.passed
        assert finding.numbers == ("the standard sound's embedding differs by 0 (relative), at most 0.0001 allowed")

    def test_other_weights_are_noticed_and_named(self):
        finding = compared(of(Levels()), of(changed(factor=np.array([1.0, 1.001]))))
        assert not finding.passed
        assert "differs by 0.00" in finding.numbers
        assert "since then: fingerprint " in finding.numbers

    def test_rounding_is_no_change(self):
        assert compared(of(Levels()), of(changed(factor=np.array([1.0, 1.0 + 1e-6])))).passed

    def test_another_version_of_a_library_is_named(self, monkeypatch):
        before = of(Levels())
        monkeypatch.setattr(
            module.metadata, "version", lambda name: "9.9" if name == "numpy" else before.versions[name]
        )
        monkeypatch.setattr(module, "PACKAGES", tuple(name for name in before.versions if name != "python"))
        finding = compared(before, of(Levels()))
        assert finding.passed
        assert f"since then: numpy {before.versions['numpy']} became 9.9" in finding.numbers

    def test_another_input_or_width_is_no_match(self):
        longer = compared(of(Levels()), of(changed(window_seconds=2.0)))
        assert not longer.passed
        assert "2 numbers of 1 s at 2000 Hz was certified, 2 numbers of 2 s at 2000 Hz is here" in longer.numbers


def test_the_sound_is_the_same_in_16_bits():
    sound = standard_sound(100, 2000, 2)
    assert sound.shape == (2, 100)
    np.testing.assert_array_equal(np.rint(sound * 2**15), sound * 2**15)


def test_wide_embeddings_are_folded_and_stay_as_far_apart():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 30_000))
    assert folded(first[:100]).tolist() == first[:100].tolist()
    assert folded(first).shape == (module.NUMBERS,)
    whole = np.linalg.norm(first - second) / np.linalg.norm(first)
    near = np.linalg.norm(folded(first) - folded(second)) / np.linalg.norm(folded(first))
    assert near == pytest.approx(whole, rel=0.1)
    changed = first.copy()
    changed[29_999] += 1
    assert not np.array_equal(folded(changed), folded(first))


class TestCommand:
    @pytest.fixture
    def bench(self, capfd, monkeypatch, tmp_path):
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
        file = tmp_path / "levels.py"

        def run(factor, *arguments):
            file.write_text(PLUGIN.replace("FACTOR", factor))
            with pytest.raises(SystemExit) as caught:
                main(["encoders", "check", str(file), "--certificate", *map(str, arguments)])
            out, err = capfd.readouterr()
            return caught.value.code, out, err

        return run

    def test_it_is_written_once_and_compared_later(self, bench, tmp_path):
        path = tmp_path / "levels.json"
        code, out, _ = bench("1", path)
        assert (code, f"Certificate written: {path}" in out) == (0, True)
        before = path.read_bytes()
        assert len(before) < 5000
        assert set(json.loads(before)["rules"]) >= {"deterministic", "batch", "other lengths", "opened twice"}
        code, out, _ = bench("1", path)
        assert (code, "pass  certificate" in out) == (0, True)
        code, out, _ = bench("np.array([1.0, 1.01])", path)
        assert (code, "FAIL  certificate" in out) == (2, True)
        assert path.read_bytes() == before

    def test_none_is_written_of_an_encoder_that_breaks_a_rule(self, bench, tmp_path):
        path = tmp_path / "levels.json"
        code, out, _ = bench("np.nan", path)
        assert (code, "No certificate was written" in out, path.exists()) == (2, True, False)

    def test_an_encoder_that_breaks_later_is_held_to_it_all_the_same(self, bench, tmp_path):
        path = tmp_path / "levels.json"
        bench("1", path)
        code, out, _ = bench("np.nan", path)
        assert (code, "FAIL  certificate" in out) == (2, True)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "is no certificate"),
            ("{}", "is no certificate"),
            (None, "is the certificate of 'other', not of 'levels'"),
        ],
    )
    def test_a_file_that_is_none_or_of_another(self, bench, tmp_path, content, message):
        path = tmp_path / "levels.json"
        if content is None:
            bench("1", path)
            content = json.dumps(json.loads(path.read_text()) | {"encoder": "other"})
        path.write_text(content)
        code, _, err = bench("1", path)
        assert (code, message in err) == (2, True)
        assert path.read_text() == content

    def test_a_place_that_cannot_be_written(self, bench, tmp_path):
        code, _, err = bench("1", tmp_path / "no" / "levels.json")
        assert (code, "cannot be written" in err) == (2, True)


def test_embeddings_that_are_given_have_none(capfd, tmp_path):
    np.savez(tmp_path / "a.npz", ids=np.array(["a", "b"]), embeddings=np.eye(2) + 1)
    with pytest.raises(SystemExit) as caught:
        main(["encoders", "check", f"emb:{tmp_path / 'a.npz'}", "--certificate", str(tmp_path / "c.json")])
    assert caught.value.code == 2
    assert "have no certificate" in capfd.readouterr().err


def test_a_certificate_is_read_for_its_encoder(tmp_path):
    path = tmp_path / "a.json"
    module.write_certificate(path, of(Levels()))
    assert read_certificate(path, "levels") == of(Levels())
    with pytest.raises(UserError, match="not of 'other'"):
        read_certificate(path, "other")
