"""MusiCNN as an encoder: its front end, its windows, its layers, and what it refuses. Weights are random."""

import numpy as np
import pytest
import torch

from benchmark.embeddings.space import space_of
from benchmark.encoders.check.check import check
from benchmark.encoders.published.musicnn.convert import save
from benchmark.encoders.published.musicnn.encoder import MusicnnEncoder, open_musicnn
from benchmark.encoders.published.musicnn.frontend import FRAMES, WINDOW, LogMelFrames, slaney_filters
from benchmark.encoders.published.musicnn.network import LAYERS, PUBLISHED, Musicnn
from benchmark.encoders.spec import parse
from benchmark.errors import UserError


def random_weights(path, seed: int = 0, checksum: str = "0") -> None:
    network, generator = Musicnn(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.05, generator=generator)
    save(network, path, checksum * 64)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    for i, name in enumerate(("musicnn-msd", "musicnn-mtt")):
        random_weights(home / "encoders" / name / "musicnn.safetensors", i, str(i))
    return home


def noise(seconds: float, batch: int = 1, level: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return level * (2 * torch.rand(batch, 1, round(16000 * seconds), generator=generator) - 1)


class TestFrontEnd:
    @pytest.mark.parametrize(("samples", "frames"), [(WINDOW, 187), (48000, 187), (16000, 62), (8000, 31), (300, 1)])
    def test_frames_of_an_input(self, samples, frames):
        assert LogMelFrames()(torch.zeros(2, samples)).shape == (2, frames, 96)
        assert FRAMES == 187

    def test_equals_librosa(self):
        librosa = pytest.importorskip("librosa")
        filters = librosa.filters.mel(sr=16000, n_fft=512, n_mels=96).T
        np.testing.assert_allclose(slaney_filters(16000, 512, 96), filters, atol=1e-8)
        for level in (1e-4, 0.1, 1.0):
            waveform = noise(3.0, level=level)[0]
            power = librosa.feature.melspectrogram(
                y=waveform[0].numpy(), sr=16000, n_fft=512, hop_length=256, n_mels=96, power=2.0, pad_mode="reflect"
            )
            frames = LogMelFrames()(waveform)[0].numpy()
            np.testing.assert_allclose(frames, np.log10(1 + 10000 * power).T[:187], atol=1e-5)

    def test_filters_have_the_area_of_slaney(self):
        filters = slaney_filters(16000, 512, 96)
        assert filters.shape == (257, 96)
        assert filters.dtype == np.float32
        # A band is linear up to 1 kHz, so all of those are equally wide and high.
        assert filters[:, 2:20].sum(0) * 31.25 == pytest.approx(np.ones(18), rel=0.2)

    def test_loud_music_is_finite(self):
        loud = torch.sign(torch.sin(0.3 * torch.arange(48000.0)))[None]
        frames = LogMelFrames()(loud)
        assert frames.isfinite().all()
        assert frames.max() > np.log10(10000 * 6.55)  # beyond which the published float16 overflows

    def test_is_float32_whatever_the_default(self):
        assert LogMelFrames()(torch.zeros(1, 1000)).dtype == torch.float32


class TestContract:
    @pytest.mark.parametrize("seconds", [0.5, 1.0, 2.992, 3.0, 4.0])
    def test_any_window_gives_finite_rows(self, home, seconds):
        found = open_musicnn(parse("musicnn-msd"), home).embed(noise(seconds, 3))
        assert found.shape == (3, 200)
        assert found.dtype == torch.float32
        assert found.isfinite().all()

    def test_whatever_it_hears_is_finite(self, home):
        hostile = torch.zeros(5, 1, WINDOW)
        hostile[1] = 1
        hostile[2, 0, 1000] = 1
        hostile[3] = torch.sign(noise(2.992))
        hostile[4] = 1e-30
        for layer in LAYERS:
            found = open_musicnn(parse(f"musicnn-msd?layer={layer}"), home).embed(hostile)
            assert found.shape == (5, PUBLISHED.width(layer))
            assert found.isfinite().all()

    def test_it_keeps_every_rule_of_the_check(self, home):
        found = check(open_musicnn(parse("musicnn-msd"), home), batch_size=1)
        assert [failure.rule for failure in found.failures] == []

    def test_a_batch_equals_one_by_one(self, home):
        encoder, waveforms = open_musicnn(parse("musicnn-msd"), home), noise(2.992, 3)
        alone = torch.cat([encoder.embed(waveform[None]) for waveform in waveforms])
        torch.testing.assert_close(encoder.embed(waveforms), alone, rtol=1e-4, atol=1e-5)

    def test_its_space_is_the_published_grid(self, home):
        encoder = open_musicnn(parse("musicnn-msd"), home)
        rule = space_of(encoder, None, None).windows
        assert (rule.window, rule.hop, rule.minimum) == (187 * 256, 187 * 256, 8000)
        assert space_of(encoder, 1.0, 1.0).windows.window == 16000

    def test_a_window_after_the_first_differs_in_its_first_frame_alone(self):
        track = noise(9.0)[0]
        whole = LogMelFrames()(track)
        second = LogMelFrames()(track[:, WINDOW : 2 * WINDOW])
        torch.testing.assert_close(second[:, 1:], whole[:, 188:374], rtol=0, atol=1e-5)
        assert (second[:, 0] - whole[:, 187]).abs().max() > 1e-2

    def test_the_fingerprint_is_of_weights_and_layer_and_survives_running(self, home, tmp_path):
        texts = ("musicnn-msd", "musicnn-mtt", "musicnn-msd?layer=pool", "musicnn-msd?layer=max_pool")
        encoders = [open_musicnn(parse(text), home) for text in texts]
        assert [encoder.name for encoder in encoders] == list(texts)
        prints = [encoder.fingerprint() for encoder in encoders]
        assert len(set(prints)) == len(texts)
        encoders[0].embed(noise(3.0))
        assert encoders[0].fingerprint() == prints[0]
        moved = tmp_path / "elsewhere.safetensors"
        random_weights(moved)
        assert MusicnnEncoder(moved).fingerprint() == prints[0]


class TestOpening:
    def test_the_default_layer_has_no_suffix(self, home):
        encoder = open_musicnn(parse("musicnn-msd?layer=penultimate"), home)
        assert (encoder.name, encoder.dim) == ("musicnn-msd", 200)
        assert encoder.fingerprint() == open_musicnn(parse("musicnn-msd"), home).fingerprint()

    def test_without_weights_the_message_is_the_command(self, tmp_path):
        with pytest.raises(UserError, match=r"Fetch them with: bench encoders fetch musicnn-mtt$"):
            open_musicnn(parse("musicnn-mtt"), tmp_path)

    def test_options_that_there_are_not(self, home):
        with pytest.raises(UserError, match="layer"):
            open_musicnn(parse("musicnn-msd?pool=mean"), home)
        with pytest.raises(UserError, match=r"penultimate.*taggram"):
            open_musicnn(parse("musicnn-msd?layer=last"), home)
        with pytest.raises(UserError, match=r"no layer 'x'.*penultimate"):
            MusicnnEncoder(home / "encoders" / "musicnn-msd" / "musicnn.safetensors", layer="x")

    def test_weights_of_another_kind(self, tmp_path):
        (tmp_path / "x.safetensors").write_bytes(b"nothing")
        with pytest.raises(UserError, match="not a whole safetensors file"):
            MusicnnEncoder(tmp_path / "x.safetensors")
