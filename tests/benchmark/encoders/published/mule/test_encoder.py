"""The published model as an encoder: whole pipeline against the golden numbers, weights fetched, refused, converted."""

import hashlib
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
import torch

import benchmark
from benchmark.audio.decode import AudioRule, load
from benchmark.embeddings.space import space_of
from benchmark.encoders.published import weights as published
from benchmark.encoders.published.mule.convert import save
from benchmark.encoders.published.mule.encoder import Mule
from benchmark.encoders.published.mule.network import ULARGE, SlowFastNFNet
from benchmark.encoders.registry import resolve, resolve_one
from benchmark.errors import UserError
from tasks.errors import TaskError
from tasks.sources.card import Source


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of the full size, all small and random: for what does not depend on their values."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    network = SlowFastNFNet(ULARGE)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    save(network, path, {"source_name": "random", "source_sha256": "0" * 64})
    return path


@pytest.fixture(scope="module")
def random_mule(weights):
    encoder = Mule(weights)
    encoder.to("cpu")
    return encoder


@pytest.fixture(scope="module")
def golden(reference_data, tmp_path_factory):
    """The reference checkpoint (weights drawn from a seed), opened by path; and the folder of golden numbers."""
    folder, out = reference_data / "golden" / "mule", tmp_path_factory.mktemp("mule")
    subprocess.run(
        [sys.executable, str(folder / "make_reference_checkpoint.py"), str(out / "model.keras")],
        check=True,
        capture_output=True,
    )
    return resolve_one(str(out / "model.keras"), out), folder


FILES = {"b": "b_3.0s_44k_mono", "c": "c_11.3s_44k_stereo", "d": "d_4.0s_16k_mono", "e": "e_85s_44k_mono"}


class TestGolden:
    @pytest.mark.parametrize("key", FILES)
    def test_a_track_embeds_as_the_reference_does(self, golden, key):
        encoder, folder = golden
        audio = load(folder / f"{FILES[key]}.wav", AudioRule(16000, 1, "mule"))
        slices = encoder.embed(torch.from_numpy(audio.samples[None])).numpy()[0]
        reference = np.load(folder / "pipeline.npz")[f"{key}_emb"]
        reference = reference.T if reference.ndim == 2 else reference[None]
        assert slices.shape == reference.shape
        ours, theirs = slices.mean(0, dtype=np.float64), reference.mean(0, dtype=np.float64)
        assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)

    def test_bf16_points_the_same_way(self, golden):
        encoder, folder = golden
        audio = load(folder / f"{FILES['c']}.wav", AudioRule(16000, 1, "mule"))
        waveform = torch.from_numpy(audio.samples[None])
        exact, fast = (e.embed(waveform).mean(1) for e in (encoder, encoder.with_precision("bf16")))
        assert torch.nn.functional.cosine_similarity(exact, fast).item() > 0.999


class TestContract:
    @pytest.mark.parametrize("seconds", [0.2, 1.5, 2.0, 2.99, 3.0, 7.0])
    def test_any_length_gives_finite_slices(self, random_mule, seconds):
        waveform = torch.randn(1, 1, round(16000 * seconds), generator=torch.Generator().manual_seed(0)) * 0.1
        found = random_mule.embed(waveform)
        assert found.shape == (1, max(1, round(seconds * 100) // 200), 1728)
        assert torch.isfinite(found).all()

    def test_silence_and_clipping_are_finite(self, random_mule):
        for waveform in (torch.zeros(1, 1, 48000), torch.sign(torch.randn(1, 1, 48000))):
            assert torch.isfinite(random_mule.embed(waveform)).all()

    def test_a_batch_equals_one_by_one(self, random_mule):
        waveforms = 0.1 * torch.randn(3, 1, 64000, generator=torch.Generator().manual_seed(1))
        together = random_mule.embed(waveforms)
        alone = torch.cat([random_mule.embed(waveform[None]) for waveform in waveforms])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    def test_a_window_of_a_task_is_one_slice(self, random_mule):
        for seconds in (1.0, 4.0):
            windowed = random_mule.for_window(seconds)
            found = windowed.embed(0.1 * torch.randn(2, 1, round(16000 * seconds)))
            assert found.shape == (2, 1, 1728)
            assert windowed.fingerprint() != random_mule.fingerprint()
            space = space_of(windowed, seconds, seconds)
            assert space.windows.window == 16000 * seconds

    def test_the_fingerprint_is_of_the_weights_and_settings_not_of_the_place_or_the_device(self, weights, tmp_path):
        first, loaded = Mule(weights), Mule(weights)
        loaded.to("cpu")
        assert loaded.fingerprint() == first.fingerprint()
        moved = tmp_path / "moved.safetensors"
        moved.write_bytes(weights.read_bytes())
        assert Mule(moved).fingerprint() == first.fingerprint()
        assert first.with_precision("bf16").fingerprint() != first.fingerprint()
        other = tmp_path / "other.safetensors"
        save(SlowFastNFNet(ULARGE), other, {"source_sha256": "1" * 64})
        assert Mule(other).fingerprint() != first.fingerprint()

    def test_a_stereo_file_of_equal_channels_is_twice_the_mono_one(self, tmp_path):
        samples = 0.2 * np.sin(np.arange(44100) * 0.05)
        soundfile.write(tmp_path / "mono.wav", samples, 44100)
        soundfile.write(tmp_path / "stereo.wav", np.stack([samples, samples], 1), 44100)
        rule = AudioRule(16000, 1, "mule")
        mono, stereo = (load(tmp_path / f"{name}.wav", rule).samples for name in ("mono", "stereo"))
        np.testing.assert_allclose(stereo, 2 * mono, atol=1e-6)

    def test_runs_through_the_harness(self, weights, make_task, tmp_path):
        record = benchmark.run(
            Mule(weights, "mule"), make_task(per_class=5), home=tmp_path / "home", results=tmp_path / "results",
            trials=1, seeds=1, workers=0,
        )  # fmt: skip
        assert record.encoder.dim == 1728
        assert record.encoder.window_seconds is None

    def test_precision_is_refused_where_there_is_no_choice(self):
        with pytest.raises(UserError, match="fp32 only"):
            resolve("logmel", precision="bf16")
        assert resolve("logmel", precision="fp32")[0].name == "logmel"


class TestNames:
    def test_without_weights_the_message_is_the_command(self, tmp_path):
        with pytest.raises(UserError, match=r"Fetch them with: bench encoders fetch musicset-ularge$"):
            resolve_one("musicset-ularge", tmp_path)

    @pytest.mark.parametrize("name", [*published.UNPUBLISHED, *published.ELSEWHERE])
    def test_a_model_without_weights_says_so_and_shows_its_scores(self, name, tmp_path):
        with pytest.raises(UserError, match=r"gtzan accuracy 0\.\d{3}"):
            resolve_one(name, tmp_path)

    def test_a_file_that_is_no_checkpoint_is_refused(self, tmp_path):
        (tmp_path / "x.keras").write_text("<html>Please log in</html>")
        with pytest.raises(UserError, match=r"x\.keras is not a checkpoint of this network"):
            resolve_one(str(tmp_path / "x.keras"), tmp_path)
        with pytest.raises(UserError, match="no encoder file"):
            resolve_one(str(tmp_path / "nowhere.keras"), tmp_path)


@pytest.mark.parametrize(("free", "slices"), [(2**28, 8), (2**33, 64), (2**40, 1024)])
def test_a_gpu_is_given_what_half_of_its_free_memory_holds(free, slices, monkeypatch):
    from benchmark.encoders.published.mule.encoder import slices_at_once

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**40))
    assert slices_at_once("cuda:0") == slices
    assert slices_at_once("cpu") == 8


def test_its_card_names_the_choices_and_without_weights_the_command(tmp_path, capsys):
    from benchmark.reports.encoders import format_encoder

    print(format_encoder("musicset-ularge", tmp_path))
    out = capsys.readouterr().out
    assert "repeated from its start to 3 s" in " ".join(out.split())
    assert "CC BY-NC 4.0" in out
    assert out.endswith("Fetch them: bench encoders fetch musicset-ularge\n")


class TestFetch:
    DATA = b"weights" * 10_000

    @pytest.fixture
    def server(self, tmp_path):
        folder = tmp_path / "served"
        folder.mkdir()
        (folder / "model.keras").write_bytes(self.DATA)
        (folder / "page.keras").write_text("<!DOCTYPE html><html>quota exceeded</html>")

        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()

    @pytest.fixture
    def converted(self, monkeypatch):
        """Stand in for the conversion, which has its own tests, and note what it was given."""
        from benchmark.encoders.published.mule import convert

        seen = []

        def note(source, destination):
            seen.append(source.read_bytes())
            destination.write_bytes(b"converted")

        monkeypatch.setattr(convert, "convert", note)
        return seen

    def offer(self, monkeypatch, url, sha256=None):
        sha256 = sha256 or hashlib.sha256(self.DATA).hexdigest()
        source = Source(file="model.keras", what="annotations", urls=(url,), sha256=sha256, size=len(self.DATA))
        weights = published.Weights(source, "musicset-ularge.safetensors", "for non-commercial use")
        monkeypatch.setattr(published, "WEIGHTS", {"musicset-ularge": weights})

    def test_downloads_checks_converts_and_does_it_once(self, server, converted, monkeypatch, tmp_path, capsys):
        from benchmark.cli import encoders as commands

        self.offer(monkeypatch, f"{server}/model.keras")
        for _ in range(2):
            commands.fetch(None, "musicset-ularge", remove_original=False, home=tmp_path)
        captured = capsys.readouterr()
        assert converted == [self.DATA]
        assert captured.err.count("for non-commercial use") == 1
        folder = tmp_path / "encoders" / "musicset-ularge"
        assert str(folder / "musicset-ularge.safetensors") in captured.out
        assert (folder / "model.keras").is_file()
        commands.fetch(None, "musicset-ularge", remove_original=True, home=tmp_path)
        assert [path.name for path in folder.iterdir() if path.suffix in (".keras", ".safetensors")] == [
            "musicset-ularge.safetensors"
        ]

    def test_a_wrong_file_is_refused_and_never_converted(self, server, converted, monkeypatch, tmp_path):
        for url, sha256 in (
            (f"{server}/model.keras", "0" * 64),
            (f"{server}/page.keras", None),
            (f"{server}/no", None),
        ):
            self.offer(monkeypatch, url, sha256)
            with pytest.raises(TaskError, match=r"model\.keras"):
                published.fetch_weights("musicset-ularge", tmp_path, remove_original=False)
        assert converted == []

    def test_what_cannot_be_fetched_says_what_can(self, tmp_path):
        with pytest.raises(UserError, match=r"nothing to fetch for 'logmel'.*musicset-ularge"):
            published.fetch_weights("logmel", tmp_path, remove_original=False)
        with pytest.raises(UserError, match="never published"):
            published.fetch_weights("musicset-sup", tmp_path, remove_original=False)
