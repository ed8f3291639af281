"""A small world to do harm in: recordings, a task, a store, a run; the commands that make them; what they must come to.

Every path in a command is relative, so that a world is copied to be harmed.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile

from tests.campaigns.trial import bench, run

RATE, TRACKS = 16_000, 30
SEARCH = ("--protocol", "quick", "--seeds", "1", "--workers", "0", "--home", "home", "--results", "results")
RUN = ("run", "-e", "logmel", "-t", "tones/card.toml", *SEARCH)
SMALL = ("batch=4", "steps=4", "warmup_steps=1", "frames=32", "projector_width=16", "projector_layers=1",
         "checkpoint_every=1", "keep_every=2", "log_every=1")  # fmt: skip

#: A command by name, and those whose work it needs.
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "embed": (("embed", "-e", "logmel", "-t", "tones/card.toml", "--home", "home", "--workers", "1"), ()),
    "run": ((*RUN, "--trials", "2"), ()),
    "search": ((*RUN, "--trials", "6"), ("run",)),
    "export": ((*RUN, "--trials", "2", "--export", "probes", "--overwrite", "always"), ("run",)),
    "leaderboard": (("leaderboard", "--results", "results", "-o", "board.md"), ("run",)),
    "prune": (("cache", "prune", "--encoder", "logmel", "--yes", "--home", "home"), ("embed",)),
    "prepare": (("pretrain", "prepare", "tones/audio", "--out", "store", "--workers", "1"), ()),
    "pretrain": (
        ("pretrain", "train", "tiny-simclr", "--data", "store", "--out", "trained", "--device", "cpu", *SMALL),
        ("prepare",),
    ),
}


@dataclass(frozen=True)
class World:
    """Worlds by the name of the command that comes next, ready to be copied, and what each must come to."""

    folder: Path
    expected: dict[str, dict[str, str]]
    seconds: dict[str, float]

    def copy(self, name: str, to: Path) -> Path:
        """Copy the world in which the command ``name`` is to be run."""
        return Path(shutil.copytree(self.folder / f"before-{name}", to, symlinks=True))


def make(folder: Path, names: list[str] | None = None, say: Callable[[str], None] = print) -> World:
    """Make the worlds of some commands below ``folder``, and run each command once unharmed."""
    expected, seconds = {}, {}
    _write_tones(folder / "base")
    for name in names or list(COMMANDS):
        command, needs = COMMANDS[name]
        before = folder / f"before-{name}"
        shutil.copytree(folder / "base", before)
        for needed in needs:
            for each in (*COMMANDS[needed][1], needed):
                _must(COMMANDS[each][0], before)
        after = Path(shutil.copytree(before, folder / f"after-{name}"))
        seconds[name] = _must(command, after)
        expected[name] = state(name, after)
        say(f"{name}: {seconds[name]:.1f} s of processor time unharmed")
    return World(folder, expected, seconds)


def _must(command: tuple[str, ...], folder: Path) -> float:
    ended = run(bench(*command), folder)
    if ended.word != "ok":
        raise RuntimeError(f"{' '.join(command)} fails unharmed: {ended.word}, {ended.err[-2000:]}")
    return ended.cpu


def _write_tones(folder: Path) -> None:
    (folder / "tones" / "audio").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), [["id", "path", "split", "tone"]]
    for i in range(TRACKS):
        label = ("low", "middle", "high")[i % 3]
        pitch = {"low": 220, "middle": 660, "high": 1760}[label] * rng.uniform(0.9, 1.1)
        time = np.arange(int(RATE * rng.uniform(3.1, 4.0))) / RATE
        samples = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.1 * rng.normal(size=len(time))
        soundfile.write(folder / "tones" / "audio" / f"{i:02d}.flac", samples, RATE)
        rows.append([f"t{i}", f"audio/{i:02d}.flac", ("train", "train", "train", "valid", "test")[(i // 3) % 5], label])
    with (folder / "tones" / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    (folder / "tones" / "card.toml").write_text(
        'id = "tones"\ntitle = "Tones"\nkind = "multiclass"\nmetrics = ["accuracy"]\nmanifest = "manifest.csv"\n'
        'columns = { id = "id", audio = "path", split = "split", target = "tone" }\n[probe]\nhidden = [16]\n'
        "batch_size = 32\n",
        encoding="utf-8",
    )


def state(name: str, folder: Path) -> dict[str, str]:
    """Return what a command has made, part by part, in a form that harm must not change."""
    found: dict[str, str] = {}
    if name in ("embed", "run", "search", "export"):
        found["embeddings"] = _digest(_embeddings(folder / "home"))
    if name in ("run", "search", "export"):
        (place,) = (folder / "results" / "runs" / "tones").glob("logmel*.json")
        record = _json(place)
        search = {key: value for key, value in record["search"].items() if "second" not in key}
        found["record"] = _digest([record["scores"], _plain(search)])
    if name == "export":
        (card,) = (folder / "probes").rglob("probe.json")
        found["probe"] = _digest((card.parent / "probe.safetensors").read_bytes())
    if name == "leaderboard":
        found["page"] = _digest((folder / "board.md").read_bytes())
        found["page of all metrics"] = _digest((folder / "board-full.md").read_bytes())
    if name == "prune":
        found["left"] = _digest(
            sorted(str(path.relative_to(folder)) for path in (folder / "home/embeddings").iterdir())
        )
    if name == "prepare":
        found["store"] = _json(folder / "store" / "store.json")["fingerprint"]
    if name == "pretrain":
        found["weights"] = _json(folder / "trained" / "card.json")["weights_sha256"]
    return found


def _plain(value: Any) -> Any:
    """Return a part of a record without what a clock says."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if "second" not in key}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _embeddings(home: Path) -> list[tuple[str, str]]:
    rows: dict[str, str] = {}
    for shard in sorted(home.glob("embeddings/*/*.parquet")):
        for row in pq.read_table(shard).to_pylist():
            value = np.asarray(row["embedding"], np.float32).tobytes().hex()
            if rows.setdefault(row["key"], value) != value:
                rows[f"{row['key']} twice"] = value
    return sorted(rows.items())


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _digest(content: Any) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()[:16]
