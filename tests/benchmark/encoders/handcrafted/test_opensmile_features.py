"""openSMILE as an encoder: its sets, silence, and what is said where it is not installed."""

import importlib.util

import numpy as np
import pytest

from benchmark.encoders.handcrafted import opensmile_features
from benchmark.encoders.handcrafted.opensmile_features import FEATURE_SETS, OpenSmile
from benchmark.errors import UserError

installed = pytest.mark.skipif(importlib.util.find_spec("opensmile") is None, reason="opensmile is not installed")


def noise(seconds: float, batch: int = 1) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (0.3 * rng.uniform(-1, 1, (batch, 1, round(16000 * seconds)))).astype(np.float32)


@installed
@pytest.mark.parametrize("feature_set", FEATURE_SETS)
class TestInstalled:
    def test_contract(self, feature_set):
        encoder, batch = OpenSmile(feature_set=feature_set), noise(1.0, 2)
        before = encoder.fingerprint()
        together = encoder.embed(batch)
        assert together.shape == (2, FEATURE_SETS[feature_set]) == (2, encoder.dim)
        assert together.dtype == np.float32
        np.testing.assert_array_equal(together, np.concatenate([encoder.embed(row[None]) for row in batch]))
        assert np.abs(together[0] - together[1]).max() > 0
        assert encoder.fingerprint() == before

    @pytest.mark.parametrize("seconds", [0.1, 3.0])
    def test_silence_clicks_and_constants_are_finite(self, feature_set, seconds):
        samples = round(16000 * seconds)
        hostile = np.zeros((4, 1, samples), np.float32)
        hostile[1], hostile[2, 0, samples // 2] = 1, 1
        hostile[3] = np.random.default_rng(0).choice([-1, 1], (1, samples))
        assert np.isfinite(OpenSmile(feature_set).embed(hostile)).all()

    def test_under_its_minimum_it_is_nan_and_not_a_number_made_up(self, feature_set):
        """Which is why the minimum is 0.1 s: the harness refuses what is not finite, naming the track."""
        assert OpenSmile.minimum_seconds == 0.1
        with pytest.warns(UserWarning, match="too short"):
            assert np.isnan(OpenSmile(feature_set).embed(noise(0.05))).all()


@installed
def test_the_sets_are_two_encoders():
    default, other = OpenSmile(), OpenSmile(feature_set="ComParE_2016")
    assert (default.name, other.name) == ("opensmile", "opensmile?feature_set=ComParE_2016")
    assert default.fingerprint() != other.fingerprint()


def test_an_unknown_set_names_those_that_there_are():
    with pytest.raises(UserError, match=r"'eGeMAPS'.*eGeMAPSv02, ComParE_2016"):
        OpenSmile(feature_set="eGeMAPS")


def test_without_the_package_the_message_is_the_command(monkeypatch):
    monkeypatch.setattr(opensmile_features.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\n  .* -P -m pip install .*\[opensmile\]'?$"):
        OpenSmile()
