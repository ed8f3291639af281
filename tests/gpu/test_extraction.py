"""Extraction and whole runs on the device: decoding ahead of it, the CPU's embeddings, records, predictions."""

from __future__ import annotations

import csv
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import benchmark
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.extract import Extraction, extract
from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Track
from benchmark.encoders.base import Encoder
from benchmark.errors import UserError

pytestmark = pytest.mark.gpu


class Convolutions(Encoder):
    """A small network; the layers are the means of what its two convolutions give."""

    name, sample_rate, dim, layers = "convolutions", 16_000, 32, ("first", "second")
    window_seconds, hop_seconds, minimum_seconds = 1.0, 0.5, 0.25
    not_in_fingerprint = (*Encoder.not_in_fingerprint, "busy", "threads")

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv1d(1, 32, 64, 8), torch.nn.Conv1d(32, 32, 9, 4)
        self.busy, self.threads = 0.0, set[str]()

    def embed(self, waveforms):
        started = time.perf_counter()
        self.threads.add(threading.current_thread().name)
        one = torch.relu(self.first(waveforms))
        answer = torch.stack([one.mean(2), torch.relu(self.second(one)).mean(2)], dim=1)
        if waveforms.device.type == "cuda":
            torch.cuda.synchronize()
        self.busy += time.perf_counter() - started
        return answer


def embedded(paths: list[Path], home: Path, device: str, workers: int, batch_size: int = 4) -> tuple:
    encoder = Convolutions()
    store, index = EmbeddingStore(home, space_of(encoder, None, None)), AudioIndex(home)
    tracks = [Track(path.stem, "songs", path) for path in paths]
    done: Extraction = extract(
        encoder, tracks, store, index, workers=workers, batch_size=batch_size, device=device
    )  # fmt: skip
    return store.read([index.key(path) for path in paths]), done, encoder


@pytest.mark.parametrize("workers", [0, 2])
def test_decoding_ahead_gives_the_embeddings_of_the_cpu(songs, tmp_path, device, workers, apart):
    here, done, encoder = embedded(songs, tmp_path / "here", device, workers)
    there, _, _ = embedded(songs, tmp_path / "there", "cpu", 0)
    assert done.embedded == len(songs)
    assert encoder.threads == {threading.main_thread().name}  # what is prepared ahead never touches the device
    assert apart(here, there) < 1e-3
    assert len(np.unique(here, axis=0)) == len(songs)


def test_the_same_command_gives_the_same_bytes(songs, tmp_path, device, apart):
    first, second = (embedded(songs, tmp_path / name, device, 2)[0] for name in ("one", "two"))
    assert apart(first, second) < 1e-6


def test_a_failing_encoder_names_its_track(songs, tmp_path, device):
    class Failing(Convolutions):
        name = "failing"

        def embed(self, waveforms):
            if waveforms.shape[2] < 16_000 or float(waveforms.abs().max()) > 0.9:
                raise RuntimeError("CUDA out of memory")
            return super().embed(waveforms)

    soundfile.write(songs[5], np.full(32_000, 0.95), 16_000)
    encoder, home = Failing(), tmp_path / "home"
    store, index = EmbeddingStore(home, space_of(encoder, None, None)), AudioIndex(home)
    tracks = [Track(path.stem, "songs", path) for path in songs]
    with pytest.raises(UserError, match=r"'5'.*CUDA out of memory"):
        extract(encoder, tracks, store, index, workers=0, batch_size=4, device=device)


def test_rate(tmp_path, device, small, rates):
    folder = tmp_path / "audio"
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise, seconds = rng.uniform(-0.4, 0.4, (44_100 * 30, 2)).astype(np.float32), 3 if small else 30
    paths = [folder / f"{i}.flac" for i in range(4 if small else 160)]
    for i, path in enumerate(paths):
        soundfile.write(path, np.roll(noise, i, axis=0)[: seconds * 44_100], 44_100)
    _, done, encoder = embedded(paths, tmp_path / "home", device, 2 if small else 12, 32)
    pace, busy = done.audio_seconds / done.seconds, encoder.busy / done.seconds
    words = f"{pace:,.0f} times real time; encoder busy {busy:.0%}"
    rates.note("extraction of stereo FLAC with a small encoder", done.seconds, words=words)
    assert done.embedded == len(paths)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Write tones of three pitches with a card."""
    folder = tmp_path / "tones"
    (folder / "audio").mkdir(parents=True)
    rows, rng = [["id", "path", "split", "tone"]], np.random.default_rng(0)
    for i in range(45):
        label = ("low", "middle", "high")[i % 3]
        pitch = {"low": 220, "middle": 660, "high": 1760}[label] * rng.uniform(0.95, 1.05)
        samples = 0.3 * np.sin(2 * np.pi * pitch * np.arange(24_000) / 16_000) + 0.02 * rng.normal(size=24_000)
        soundfile.write(folder / "audio" / f"{i}.wav", samples, 16_000)
        rows.append([f"t{i}", f"audio/{i}.wav", ("train", "train", "train", "valid", "test")[(i // 3) % 5], label])
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    (folder / "card.toml").write_text(
        'id = "tones"\ntitle = "Tones"\nkind = "multiclass"\nmetrics = ["accuracy"]\nmanifest = "manifest.csv"\n'
        'columns = { id = "id", audio = "path", split = "split", target = "tone" }\n[probe]\nhidden = [16]\n'
        "batch_size = 32\n",
        encoding="utf-8",
    )
    return folder / "card.toml"


@pytest.mark.parametrize(("layer", "precision"), [("mix", "fp32"), ("auto", "bf16"), ("second", "fp32")])
def test_a_run_from_audio_to_record(card, tmp_path, device, layer, precision):
    record = benchmark.run(
        Convolutions(), card, trials=2, seeds=2, protocol="quick", device=device, workers=2, home=tmp_path / "home",
        results=tmp_path / "results", layer=layer, probe_precision=precision, export=tmp_path / "probes",
    )  # fmt: skip
    assert record.scores.test["accuracy"].value > 0.5
    assert record.hardware.device.partition(":")[0] == device.partition(":")[0]
    assert bool(record.hardware.accelerator) == device.startswith("cuda")
