"""``opensmile``: functionals of openSMILE's feature sets, the hand-crafted features of paralinguistics.

The package is optional; its licence (audEERING) is for research and other non-commercial use.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, ClassVar

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.spectra import Floats
from benchmark.errors import UserError
from benchmark.system.extras import install_command

#: Feature sets, and the functionals in each.
FEATURE_SETS = {"eGeMAPSv02": 88, "ComParE_2016": 6373}
DEFAULT_SET = "eGeMAPSv02"


class OpenSmile(Encoder):
    """openSMILE functionals of a window: 88 (eGeMAPSv02), or 6373 (ComParE_2016); non-commercial licence of audEERING.

    16 kHz. The sets are made for speech: pitch, formants, jitter, loudness, spectral shape, and their statistics.
    """

    name = "opensmile"
    version = "1"
    sample_rate = 16000
    minimum_seconds = 0.1
    dim = FEATURE_SETS[DEFAULT_SET]
    arrays = "numpy"
    notes = (
        "Functionals are over windows of 3 s every 2 s, averaged over the track, as for the other encoders made by "
        "hand; the sets were published for whole utterances.",
        "openSMILE gives NaN under 60 ms, so audio under 0.1 s is repeated up to it. Silence, clicks, constant and "
        "full-scale input give finite numbers (undefined ones, as the pitch of silence, are openSMILE's own zeros).",
        "Numbers reach from 1e-6 to 1e11: the probe standardises them.",
    )
    not_in_fingerprint: ClassVar[tuple[str, ...]] = (*Encoder.not_in_fingerprint, "_smile")

    def __init__(self, feature_set: str = DEFAULT_SET) -> None:
        """Take a feature set of :data:`FEATURE_SETS`.

        Raises:
            UserError: There is no such set, or the package opensmile is not installed.
        """
        if feature_set not in FEATURE_SETS:
            raise UserError(f"opensmile has no feature_set {feature_set!r}", f"take one of {', '.join(FEATURE_SETS)}")
        if importlib.util.find_spec("opensmile") is None:
            raise UserError(
                "the encoder 'opensmile' needs the package opensmile (for non-commercial use)",
                f"Install it:\n  {install_command('opensmile')}",
            )
        from importlib.metadata import version

        self.feature_set = feature_set
        self.package = version("opensmile")
        self.dim = FEATURE_SETS[feature_set]
        if feature_set != DEFAULT_SET:
            self.name = f"opensmile?feature_set={feature_set}"
        self._smile: Any = None

    def embed(self, waveforms: Floats) -> Floats:
        """Embed waveforms, float32 [B, 1, N] at 16 kHz, as float32 [B, dim]."""
        if self._smile is None:
            self._smile = _extractor(self.feature_set)
        features = [
            self._smile.process_signal(waveform, self.sample_rate).to_numpy(np.float32)[0]
            for waveform in waveforms[:, 0]
        ]
        return np.stack(features)


def _extractor(feature_set: str) -> Any:
    opensmile = importlib.import_module("opensmile")
    return opensmile.Smile(feature_set=opensmile.FeatureSet[feature_set], feature_level="func")
