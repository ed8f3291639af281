"""Folders of short recordings, and stores of given log-mels."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.data.store import Store, open_store

RATE = 16_000


def record(path: Path, seconds: float, seed: int = 0) -> Path:
    """Write noise that swells, so that no two crops are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-1, 1, round(seconds * RATE))
    samples *= np.linspace(0.05, 0.9, len(samples))
    soundfile.write(path, samples.astype(np.float32), RATE, subtype="PCM_16")
    return path


@pytest.fixture
def song() -> Callable[..., Path]:
    """Return :func:`record`."""
    return record


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Return a folder of six recordings, 3.0 to 5.0 s, in two folders."""
    for i in range(6):
        record(tmp_path / "audio" / f"album{i % 2}" / f"{i}.wav", 3.0 + 0.4 * i, seed=i)
    return tmp_path / "audio"


def count_frames(frames: int, track: int) -> np.ndarray:
    """Return a log-mel [frames, 96] that says where it is from: band 0 the track, 1 and 2 the frame, 3 on the band."""
    features = np.tile(np.arange(96, dtype=np.float16), (frames, 1))
    features[:, 0] = track
    features[:, 1], features[:, 2] = np.divmod(np.arange(frames), 1000)
    return features


def count_samples(frames: int, track: int) -> np.ndarray:
    """Return a waveform [frames, 160]: sample 0 says the track, 1 and 2 the frame, the others their place."""
    samples = np.tile(np.arange(160, dtype=np.float16), (frames, 1))
    samples[:, 0] = track
    samples[:, 1], samples[:, 2] = np.divmod(np.arange(frames), 1000)
    return samples


@pytest.fixture
def counted() -> Callable[[int, int], np.ndarray]:
    """Return :func:`count_frames`."""
    return count_frames


@pytest.fixture
def counted_samples() -> Callable[[int, int], np.ndarray]:
    """Return :func:`count_samples`."""
    return count_samples


StoreMaker = Callable[..., Store]


@pytest.fixture
def make_store(tmp_path: Path) -> StoreMaker:
    """Write and open a store of :func:`count_frames` log-mels, and of :func:`count_samples` waveforms."""

    def make(
        lengths: Sequence[int],
        labels: Mapping[str, Sequence[str] | None] | None = None,
        name: str = "given",
        cut_seconds: float | None = None,
        *,
        waveforms: bool = False,
        captions: Mapping[str, Sequence[str]] | None = None,
    ) -> Store:
        def samples(track_id: str) -> np.ndarray:
            track = int(track_id[1:])
            return count_samples(lengths[track], track)

        tracks = ((f"t{i}", count_frames(length, i)) for i, length in enumerate(lengths))
        write_store(
            tmp_path / name,
            tracks,
            labels,
            cut_seconds=cut_seconds,
            waveforms=samples if waveforms else None,
            captions=captions,
        )
        return open_store(tmp_path / name)

    return make


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_two_processes(code: str, output: Path) -> Any:
    """Run a script in two processes, as torchrun would start them; return what the first saved to ``sys.argv[1]``."""
    import torch

    script, port, children = output.with_suffix(".py"), _free_port(), []
    script.write_text(code, encoding="utf-8")
    for rank in range(2):
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
            "TORCHELASTIC_RUN_ID": "test",
        }  # fmt: skip
        command = [sys.executable, str(script), str(output)]
        children.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for child in children:
        _, problems = child.communicate(timeout=240)
        assert child.returncode == 0, problems[-3000:]
    return torch.load(output, weights_only=True)


@pytest.fixture
def two_processes() -> Callable[[str, Path], Any]:
    """Return :func:`run_two_processes`."""
    return run_two_processes


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Any]:
    """Run the same script in this process alone."""

    def run(code: str, output: Path) -> Any:
        import torch

        script = output.with_suffix(".py")
        script.write_text(code, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", [str(script), str(output)])
        runpy.run_path(str(script))
        return torch.load(output, weights_only=True)

    return run
