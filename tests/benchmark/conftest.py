"""A small task of generated tones, an encoder that reads them, and a home with the demo collection."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmark.encoders.base import Encoder
from benchmark.jobs import protocols
from benchmark.jobs.predict import Prediction, open_predictor
from probes.export.card import ProbeCard
from probes.protocol import Protocol

RATE = 8000
CLASSES = ("high", "low", "middle")
PITCHES = {"low": 220.0, "middle": 660.0, "high": 1760.0}

#: The splits of ten artists of three items each: no two splits are equally large.
TEN_ARTISTS = ("train", "train", "train", "valid", "test", "train", "train", "valid", "valid", "test")
#: Places of an artist's items that are of another class than their number says. So the most frequent class is "middle"
#: in train, "low" in valid and "high" in test, and nothing that is counted on one split fits another.
OTHER_CLASS = {(0, 1): "middle", (7, 0): "low", (4, 2): "high"}


def split_and_class(i: int) -> tuple[str, str]:
    """Return the split and the class of the i-th item."""
    artist, place = divmod(i, 3)
    return TEN_ARTISTS[artist % 10], OTHER_CLASS.get((artist % 10, place), CLASSES[place])


def sounds_like(i: int, label: str) -> str:
    """Return the class that the i-th item sounds like: every eleventh sounds like another, and no score is perfect."""
    return CLASSES[(CLASSES.index(label) + 1) % 3] if i % 11 == 4 else label


class Bands(Encoder):
    """Energies of 16 equal bands of the spectrum: enough to tell the tones apart."""

    name = "bands"
    version = "1"
    sample_rate = RATE
    window_seconds = 1.0
    hop_seconds = 0.5
    minimum_seconds = 0.1
    dim = 16
    arrays = "numpy"

    def embed(self, waveforms: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(waveforms[:, 0], n=RATE)) ** 2
        bands = power[:, : 16 * 250].reshape(len(waveforms), 16, 250).sum(2)
        return np.log10(1e-6 + bands).astype(np.float32)


def quickened(protocol: Protocol) -> Protocol:
    """Return the protocol with short trainings in place of its own; nothing is changed where nothing is searched."""
    if protocol.exact:
        return protocol
    if protocol.grid is not None:
        return replace(protocol, steps=(8, 8))
    short = replace(protocol, learning_rate=(5e-3, 1e-2), steps=(100, 200), first=())
    return replace(short, first=(short.middle(),))


@pytest.fixture(autouse=True)
def quick_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every search in this process try short trainings: these tests are about the run, not about the probe."""
    protocol_for = protocols.protocol_for

    def quick(*names: Any, **chosen: Any) -> Protocol:
        return quickened(protocol_for(*names, **chosen))

    monkeypatch.setattr(protocols, "protocol_for", quick)


@pytest.fixture
def bands() -> Bands:
    return Bands()


TaskMaker = Callable[..., Path]


@pytest.fixture
def make_task(tmp_path: Path) -> TaskMaker:
    """Write a folder of tones with a manifest and a card, and return the card's path."""

    def make(
        name: str = "tones", per_class: int = 20, *, group: bool = False, permuted: bool = False, seed: int = 0
    ) -> Path:
        rng = np.random.default_rng(seed)
        folder = tmp_path / name
        (folder / "audio").mkdir(parents=True)
        rows = []
        for i in range(per_class * 3):
            split, label = split_and_class(i)
            track, seconds = f"t{i:03d}", rng.uniform(0.6, 2.4)
            phase = (
                2
                * np.pi
                * PITCHES[sounds_like(i, label)]
                * rng.uniform(0.95, 1.05)
                * np.arange(int(seconds * RATE))
                / RATE
            )
            samples = 0.3 * np.sin(phase) + 0.05 * rng.normal(size=len(phase))
            soundfile.write(folder / "audio" / f"{track}.flac", samples, RATE)
            rows.append([track, f"audio/{track}.flac", split, label, f"artist{i // 3}"])
        if permuted:
            order = rng.permutation(len(rows))
            labels = [rows[j][3] for j in order]
            for row, label in zip(rows, labels, strict=True):
                row[3] = label
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["id", "path", "split", "tone", "artist"], *rows])
        columns = 'id = "id", audio = "path", split = "split", target = "tone"' + (
            ', group = "artist"' if group else ""
        )
        card = folder / "card.toml"
        card.write_text(
            f'id = "{name}"\ntitle = "Tones"\nkind = "multiclass"\nmetrics = ["accuracy"]\n'
            f'manifest = "manifest.csv"\ncolumns = {{ {columns} }}\n[probe]\nhidden = [16]\nbatch_size = 32\n',
            encoding="utf-8",
        )
        return card

    return make


def predict(probe: Path, files: Sequence[Path], **chosen: Any) -> tuple[ProbeCard, list[Prediction]]:
    """Return the card of an exported probe and what it says of each of ``files``, in order."""
    predictor = open_predictor(probe, **chosen)
    return predictor.card, list(predictor.each(files))


class Layered(Bands):
    """Two layers, of which the first says nothing and the second what :class:`Bands` says."""

    name = "layered"
    layers = ("noise", "spectrum")

    def embed(self, waveforms: np.ndarray) -> np.ndarray:
        noise = (1e4 * waveforms[:, 0, 100 : 100 + self.dim]) % 1
        return np.stack([noise, super().embed(waveforms)], axis=1).astype(np.float32)


@pytest.fixture
def layered() -> Layered:
    return Layered()


VectorMaker = Callable[..., tuple[str, Path]]


@pytest.fixture(scope="session")
def write_vectors() -> VectorMaker:
    """Write embeddings of three classes into a new folder, and a task without audio; return what names the two."""

    def write(
        folder: Path, items: int = 60, *, dim: int = 8, apart: float = 3.0, group: bool = False, groups: str = ""
    ) -> tuple[str, Path]:
        rng = np.random.default_rng(0)
        folder.mkdir()
        ids = [f"t{i:04d}" for i in range(items)]
        splits, classes = zip(*map(split_and_class, range(items)), strict=True)
        near = [CLASSES.index(sounds_like(i, label)) for i, label in enumerate(classes)]
        vectors = rng.normal(size=(items, dim)) + apart * np.eye(3, dim)[near]
        np.savez(folder / "given.npz", ids=np.array(ids), embeddings=vectors.astype(np.float32))
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            lines = [[one, f"{one}.wav", splits[i], classes[i], f"artist{i // 3}"] for i, one in enumerate(ids)]
            csv.writer(file).writerows([["id", "path", "split", "tone", "artist"], *lines])
        columns = 'id = "id", audio = "path", split = "split", target = "tone"'
        columns += ', group = "artist"' if group else ""
        card = folder / "card.toml"
        card.write_text(
            f'id = "{folder.name}"\ntitle = "Vectors"\nkind = "multiclass"\nmetrics = ["accuracy"]\n{groups}'
            f'manifest = "manifest.csv"\ncolumns = {{ {columns} }}\n[probe]\nhidden = [16]\nbatch_size = 32\n',
            encoding="utf-8",
        )
        return f"emb:{folder / 'given.npz'}", card

    return write


@pytest.fixture
def make_vectors(tmp_path: Path, write_vectors: VectorMaker) -> VectorMaker:
    """Do so in the folder of the test."""

    def make(name: str = "vectors", *arguments: Any, **chosen: Any) -> tuple[str, Path]:
        return write_vectors(tmp_path / name, *arguments, **chosen)

    return make


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home in which the demo collection has been rendered, once for all processes that run these tests."""
    from filelock import FileLock

    from tasks.collections.demo import collection as demo

    together = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder of its own below one for all
        together = together.parent
    home = together / "demo-home"
    with FileLock(together / "demo-home.lock"):
        demo.prepare(home)
    return home
