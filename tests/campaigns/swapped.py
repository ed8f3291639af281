"""Something else in the place of each file that commands read: nothing, noise, a device, a folder, a text without end.

Where the file is one that a command makes again (``remade``), what it makes must be what it would have made without
the harm; else the command must refuse.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.campaigns.world import COMMANDS

Case = Callable[[Path], list[str]]
Swap = Callable[[Path], None]

#: Worlds whose state tells whether all was made again.
REMADE = ("embed", "prepare", "pretrain", "search")


def _write(change: Callable[[bytes], bytes]) -> Swap:
    def swap(path: Path) -> None:
        content = path.read_bytes() if path.is_file() else b""
        path.write_bytes(change(content))

    return swap


def _instead(make: Callable[[Path], object]) -> Swap:
    def swap(path: Path) -> None:
        path.unlink(missing_ok=True)
        make(path)

    return swap


#: For every file.
ANY: dict[str, Swap] = {
    "empty": _write(lambda data: b""),
    "one byte": _write(lambda data: b"x"),
    "half": _write(lambda data: data[: len(data) // 2]),
    "zeros": _write(lambda data: bytes(max(len(data), 1000))),
    "noise": _write(lambda data: bytes((i * 197 + i // 256 * 31) % 256 for i in range(5000))),
    "a page of HTML": _write(lambda data: b"<!DOCTYPE html><html><body>404</body></html>\n" * 40),
    "a link to /dev/zero": _instead(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "a fifo": _instead(os.mkfifo),
    "a folder": _instead(lambda path: path.mkdir()),
}
#: For texts too.
TEXTS: dict[str, Swap] = {
    "deep": _write(lambda data: b"[" * 100_000 + b"]" * 100_000),
    "deep objects": _write(lambda data: b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a number of 10,000 digits": _write(lambda data: b'{"a": ' + b"9" * 10_000 + b"}"),
    "not UTF-8": _write(lambda data: b"\xff\xfe" + data),
    "9 MB of brackets": _write(lambda data: b"[]," * 3_000_000),
    "another kind of JSON": _write(lambda data: b"[1, 2, 3]"),
}

#: A kind of file: the world, the pattern of its files, whether it is a text, and the command that reads it.
FILES: dict[str, tuple[str, str, bool, Callable[[Path], tuple[object, ...]]]] = {
    "card": ("run", "tones/card.toml", True, lambda path: COMMANDS["run"][0]),
    "manifest": ("run", "tones/manifest.csv", False, lambda path: COMMANDS["run"][0]),
    "configuration": ("run", "home/config.toml", True, lambda path: ("data", "list", "--home", "home")),
    "record": ("run", "results/runs/tones/*.json", True, lambda path: ("labels", path)),
    "predictions": ("run", "results/runs/tones/*.parquet", False, lambda path: ("results", "verify")),
    "journal": ("run", "results/studies/*.journal", True, lambda path: ("results", "verify", path)),
    "probe": ("export", "probes/**/probe.json", True,
              lambda path: ("predict", "--probe", path.parent, "tones/audio/00.flac", "--home", "home")),
    "probe weights": ("export", "probes/**/probe.safetensors", False,
                      lambda path: ("predict", "--probe", path.parent, "tones/audio/00.flac", "--home", "home")),
    "probe graph": ("export", "probes/**/probe.onnx", False, lambda path: ("results", "verify", path.parent)),
    "space, remade": ("embed", "home/embeddings/*/space.json", True, lambda path: COMMANDS["embed"][0]),
    "shard, remade": ("embed", "home/embeddings/*/*.parquet", False, lambda path: COMMANDS["embed"][0]),
    "audio index, remade": ("embed", "home/audio-index/*.parquet", False, lambda path: COMMANDS["embed"][0]),
    "store card, remade": ("prepare", "store/store.json", True, lambda path: COMMANDS["prepare"][0]),
    "store shard, remade": ("prepare", "store/*.f16", False, lambda path: COMMANDS["prepare"][0]),
    "store index, remade": ("prepare", "store/shard-*.parquet", False, lambda path: COMMANDS["prepare"][0]),
    "store array, remade": ("prepare", "store/index.npy", False, lambda path: COMMANDS["prepare"][0]),
    "store to train on": ("pretrain", "store/store.json", True,
                          lambda path: (*COMMANDS["pretrain"][0], "steps=8")),
    "checkpoint": ("pretrain", "trained/checkpoints/last*", False,
                   lambda path: ("embed", "-e", "pretrained:trained@last", "-t", "tones/card.toml", "--home", "home")),
    "trained weights": ("pretrain", "trained/encoder.safetensors", False,
                        lambda path: ("embed", "-e", "pretrained:trained", "-t", "tones/card.toml", "--home", "home")),
    "recipe": ("prepare", "mine.toml", True,
               lambda path: ("pretrain", "train", path, "--data", "store", "--out", "other", "--device", "cpu")),
    "embeddings in npz": ("run", "given.npz", False, lambda path: _given(path)),
    "embeddings in npy": ("run", "given.npy", False, lambda path: _given(path)),
    "embeddings in Parquet": ("run", "given.parquet", False, lambda path: _given(path)),
    "ONNX model": ("run", "model.onnx", False,
                   lambda path: ("embed", "-e", f"onnx:{path}?sample_rate=16000&window=1", "-t", "tones/card.toml",
                                 "--home", "home")),
    "published labels": ("run", "published.csv", False,
                         lambda path: ("labels", "tones/card.toml", "logmel", "--published", path)),
    "recording": ("run", "tones/audio/00.flac", False,
                  lambda path: (*COMMANDS["run"][0], "--overwrite", "always")),
    "file of an encoder": ("run", "mine.py", True,
                           lambda path: ("encoders", "check", path)),
}  # fmt: skip

#: Files that are not in the worlds: the harm makes them.
MINE = (
    "home/config.toml", "mine.toml", "mine.py", "given.npz", "given.npy", "given.parquet", "model.onnx", "published.csv"
)  # fmt: skip
#: What such a file may be.
HARMLESS = {("configuration", "empty"), ("journal", "empty")}


def cases() -> dict[str, tuple[str, Case]]:
    """Return cases by name: the world in which each begins, and what prepares it and returns the command."""
    found: dict[str, tuple[str, Case]] = {}
    for kind, (world, pattern, text, command) in FILES.items():
        for what, swap in (ANY | (TEXTS if text else {})).items():
            if what == "half" and pattern in MINE:
                continue

            def prepare(
                place: Path, pattern: str = pattern, swap: Swap = swap, command: Callable[..., object] = command
            ) -> list[str]:
                there = sorted(place.glob(pattern), key=lambda path: path.stat().st_size) or [place / pattern]
                path = there[-1].relative_to(place)
                words = [str(word) for word in command(path)]  # type: ignore[attr-defined]
                swap(place / path)
                return words

            harmless = ", harmless" if (kind, what) in HARMLESS else ""
            found[f"{kind}: {what}{harmless}"] = world, prepare
    return found


def _given(path: Path) -> tuple[object, ...]:
    return "embed", "-e", f"emb:{path}", "-t", "tones/card.toml", "--home", "home"
