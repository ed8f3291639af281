"""Hostile files: cards, manifests, records, probes, arrays, models, archives, audio. Refused, inert, and soon.

Each case writes its files into a copy of a small world and names a command. The command must end in a sentence (or do
its work, where the case says that the file is harmless), in under a minute of processor time and a gigabyte beyond the
libraries; it may run nothing of the files and write nothing beside the world.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.campaigns.kills import after
from tests.campaigns.trial import Ended, Word, bench, run
from tests.campaigns.world import World

Case = Callable[[Path], list[str] | None]
DEEP = 100_000
RUN = ("-e", "logmel", "--home", "home", "--results", "results", "--protocol", "quick", "--trials", "1", "--seeds", "1")
WITNESS = "witness"
CODE = f"import pathlib; pathlib.Path('{WITNESS}').touch()"

CASES: dict[str, tuple[str, Case]] = {}


def case(name: str, before: str = "run") -> Callable[[Case], Case]:
    """Register a case that begins in the world after the command ``before``."""

    def add(function: Case) -> Case:
        CASES[name] = before, function
        return function

    return add


def hostile(world: World, scratch: Path, every: int) -> Iterator[tuple[str, str, str]]:
    """Yield (kind of file, outcome, what was said) of each ``every``-th case."""
    from tests.campaigns import swapped

    cases = swapped.cases() | CASES
    for number, (name, (before, prepare)) in enumerate(list(cases.items())[::every]):
        if before not in world.expected:
            continue
        outer = scratch / f"hostile-{number}"
        place = Path(shutil.copytree(world.folder / f"after-{before}", outer / "world", symlinks=True))
        command = prepare(place)
        ended = run(command if command[0] == sys.executable else bench(*command), place)
        word, told = _verdict(name, ended, place, outer)
        if word == "ok" and before in swapped.REMADE and "remade" in name:
            word, told = after(world, before, place, ended, name)
        yield name.partition(":")[0], word, told
        shutil.rmtree(outer, ignore_errors=True)


def _verdict(name: str, ended: Ended, place: Path, outer: Path) -> tuple[Word, str]:
    told = f"{name}: {ended.last}"
    if any(outer.rglob(WITNESS)) or [path for path in outer.iterdir() if path != place]:
        return "EXECUTED", told
    if any(sign in ended.out + ended.err for sign in ("\x1b]", "\x1b[31m", "\u202e")):
        return "SILENT", f"{name}: control characters reach the terminal"
    harmless = "harmless" in name or "remade" in name
    if ended.word == "ok" and not harmless:
        return "SILENT", f"{name}: accepted without a word"
    return ended.word, told


def _card(place: Path, old: str, new: str) -> list[str]:
    card = place / "tones" / "card.toml"
    text = card.read_text(encoding="utf-8")
    assert old in text
    card.write_text(text.replace(old, new), encoding="utf-8")
    return ["run", "-t", "tones/card.toml", *RUN, "--overwrite", "always"]


def _register_cards() -> None:
    changes = {
        "deep TOML": ('title = "Tones"', f"title = {'[' * DEEP}{']' * DEEP}"),
        "an integer of 10,000 digits": ('title = "Tones"', f'title = "Tones"\nversion = {"9" * 10_000}'),
        "a manifest that is /dev/zero": ('"manifest.csv"', '"/dev/zero"'),
        "a manifest in a home that is not": ('"manifest.csv"', '"~nobody/manifest.csv"'),
        "a hop of 0.1 ms": ('title = "Tones"', 'title = "Tones"\nwindow_seconds = 1.0\nhop_seconds = 0.0001'),
        "a window that is infinite": ('title = "Tones"', 'title = "Tones"\nwindow_seconds = inf'),
        "a collection that is none": ('title = "Tones"', 'title = "Tones"\ncollection = "synthesis"'),
        "an id that leads elsewhere": ('id = "tones"', 'id = "../../tones"'),
        "an id with an escape sequence": ('id = "tones"', 'id = "to\\u001b[31mnes"'),
        "a metric that is code": ('["accuracy"]', "[\"__import__('os')\"]"),
        "a column that is not there": ('target = "tone"', 'target = "nothing"'),
        "hidden layers of a petabyte": ("hidden = [16]", "hidden = [1000000000000]"),
        "a null character in a title, harmless": ('"Tones"', '"Tones\\u0000"'),
    }
    for name, (old, new) in changes.items():
        CASES[f"card: {name}"] = "run", lambda place, old=old, new=new: _card(place, old, new)


def _register_manifests() -> None:
    contents = {
        "a null character": b"id,path,split,tone\n\0,audio/00.flac,train,low\n",
        "not UTF-8": b"id,path,split,tone\nt0,audio/00.flac,train,\xff\xfe\n",
        "a field of a megabyte": b"id,path,split,tone\nt0,audio/00.flac,train," + b"x" * 2**20 + b"\n",
        "no line end and no rows": b"id",
        "two columns of one name": b"id,path,split,tone,tone\nt0,audio/00.flac,train,low,high\n",
        "one id twice": b"id,path,split,tone\n" + b"t0,audio/00.flac,train,low\n" * 2,
        "a path to /etc/passwd": b"id,path,split,tone\n" + b"".join(
            f"t{i},/etc/passwd,{split},{'low' if i % 2 else 'high'}\n".encode()
            for i, split in enumerate(["train", "train", "valid", "valid", "test", "test"])
        ),
        "a split that is none": b"id,path,split,tone\nt0,audio/00.flac,holdout,low\n",
        "an open quote": b'id,path,split,tone\nt0,"audio/00.flac,train,low\n',
    }  # fmt: skip
    for name, content in contents.items():

        def write(place: Path, content: bytes = content) -> list[str]:
            (place / "tones" / "manifest.csv").write_bytes(content)
            return ["run", "-t", "tones/card.toml", *RUN, "--overwrite", "always"]

        CASES[f"manifest: {name}"] = "run", write


def _record(place: Path) -> Path:
    (path,) = (place / "results" / "runs" / "tones").glob("logmel*.json")
    return path


def _register_records() -> None:
    def edited(**changes: object) -> Callable[[bytes], bytes]:
        return lambda data: json.dumps({**json.loads(data), **changes}).encode()

    contents: dict[str, Callable[[bytes], bytes]] = {
        "deep JSON": lambda data: b"[" * DEEP + b"]" * DEEP,
        "deep JSON inside": lambda data: data.replace(b'"title": "Tones"', b'"title": ' + b"[" * DEEP + b"]" * DEEP),
        "an integer of 10,000 digits": lambda data: data.replace(
            b'"version": 1,', b'"version": ' + b"9" * 10_000 + b","
        ),
        "NaN": lambda data: data.replace(b'"value": ', b'"value": NaN, "x": ', 1),
        "a number beyond floats": lambda data: data.replace(b'"value": ', b'"value": 1e999, "x": ', 1),
        "predictions elsewhere": edited(predictions="../../../x.parquet"),
        "predictions at an absolute path": edited(predictions="/etc/passwd"),
        "an unknown version": edited(schema_version=99),
        "an unknown key": edited(evil=True),
        "cut off": lambda data: data[: len(data) // 2],
        "empty": lambda data: b"",
        "not UTF-8": lambda data: data.replace(b"Tones", b"\xff\xfe"),
    }
    for name, change in contents.items():
        for command in ("leaderboard", "reproduce", "labels"):

            def write(place: Path, change: Callable[[bytes], bytes] = change, command: str = command) -> list[str]:
                path = _record(place)
                changed = change(path.read_bytes())
                assert changed != path.read_bytes(), "the record has changed its form"
                path.write_bytes(changed)
                return {
                    "leaderboard": ["leaderboard", "--results", "results", "-o", "board.md"],
                    "reproduce": ["reproduce", str(path), "--home", "home"],
                    "labels": ["labels", "tones/card.toml", "logmel", "--results", "results"],
                }[command]

            CASES[f"record: {name}, {command}"] = "run", write


@case("record: a fifo, leaderboard")
def _fifo_record(place: Path) -> list[str]:
    os.mkfifo(_record(place).with_name("mfcc.json"))
    return ["leaderboard", "--results", "results", "-o", "board.md"]


def _register_code() -> None:
    """Files and modules that data name: never run unless the user names them."""
    for kind, name in (
        ("file", "evil.py"),
        ("class", "evil.py:Evil"),
        ("module", "evil:Evil"),
        ("hf", "hf:evil?remote_code=1"),
    ):

        def probe(place: Path, name: str = name) -> list[str]:
            (place / "evil.py").write_text(CODE + "\n", encoding="utf-8")
            (card,) = (place / "probes").rglob("probe.json")
            content = json.loads(card.read_bytes())
            content["encoder"]["text"] = name
            card.write_text(json.dumps(content), encoding="utf-8")
            return ["predict", "--probe", str(card.parent), "tones/audio/00.flac", "--home", "home"]

        def signed(place: Path, name: str = name) -> list[str]:
            command = probe(place, name)
            run(bench("results", "verify", "--sign", command[2]), place)
            return command

        def record(place: Path, name: str = name) -> list[str]:
            (place / "evil.py").write_text(CODE + "\n", encoding="utf-8")
            path = _record(place)
            content = json.loads(path.read_bytes())
            content["encoder"]["id"] = name
            path.write_text(json.dumps(content), encoding="utf-8")
            return ["reproduce", str(path), "--home", "home"]

        CASES[f"probe: names a {kind}"] = "export", probe
        CASES[f"probe: names a {kind}, signed"] = "export", signed
        CASES[f"record: names a {kind}"] = "run", record


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (CODE,)


def _register_models() -> None:
    def array(name: str, write: Callable[[Path], object]) -> None:
        def prepare(place: Path) -> list[str]:
            write(place / "given.npz")
            return ["run", "-e", "emb:given.npz", "-t", "tones/card.toml", *RUN[2:]]

        CASES[f"arrays: {name}"] = "run", prepare

    def bomb(path: Path) -> None:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
            file.open("embeddings.npy", "w", force_zip64=True) as out,
        ):
            np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 600)})
            for _ in range(600):
                out.write(bytes(4 * 10**6))

    def header(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file, file.open("embeddings.npy", "w") as out:
            np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**20)})

    array("a bomb", bomb)
    array("a header that claims an exabyte", header)
    array("a pickle in it", lambda path: np.savez(path, ids=np.array([_Evil()], object), embeddings=np.zeros((1, 2))))
    array("a pickle alone", lambda path: path.write_bytes(pickle.dumps(_Evil())))
    array("no zip", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)))

    def model(name: str, text: str, write: Callable[[Path], object]) -> None:
        def prepare(place: Path) -> list[str]:
            write(place)
            return ["run", "-e", text, "-t", "tones/card.toml", *RUN[2:]]

        CASES[f"model: {name}"] = "run", prepare

    def checkpoint(place: Path) -> None:
        import torch

        torch.save({"a": _Evil()}, place / "model.pt")

    def scripted(place: Path) -> None:
        (place / "make.py").write_text(
            "import torch\n@torch.jit.script\ndef leak(x: torch.Tensor) -> torch.Tensor:\n"
            f"    return torch.from_file({WITNESS!r}, True, 4) + x.mean()\n"
            "class M(torch.nn.Module):\n    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
            "        return leak(x)\ntorch.jit.script(M()).save('model.pt')\n",
            encoding="utf-8",
        )
        run([sys.executable, "make.py"], place)

    model("a pickle as TorchScript", "torchscript:model.pt?sample_rate=16000&window=1", checkpoint)
    model("TorchScript that writes a file", "torchscript:model.pt?sample_rate=16000&window=1", scripted)
    model(
        "noise as ONNX",
        "onnx:model.onnx?sample_rate=16000&window=1",
        lambda p: (p / "model.onnx").write_bytes(bytes(5000)),
    )
    model("noise as Keras", "model.keras", lambda p: (p / "model.keras").write_bytes(bytes(5000)))


def _register_audio() -> None:
    def wave(
        rate: int, channels: int = 1, bits: int = 16, data: bytes = bytes(100_000), size: int | None = None
    ) -> bytes:
        block = channels * bits // 8
        form = struct.pack("<HHIIHH", 1, channels, rate, (rate * block) % 2**32, block % 2**16, bits)
        claimed = len(data) if size is None else size
        return (
            b"RIFF"
            + struct.pack("<I", min(36 + claimed, 2**32 - 1))
            + b"WAVEfmt "
            + struct.pack("<I", 16)
            + form
            + b"data"
            + struct.pack("<I", claimed)
            + data
        )

    contents = {
        "1 Hz": wave(1), "7 Hz": wave(7), "3 GHz": wave(3_000_000_000), "0 Hz": wave(0),
        "1,000 channels": wave(16_000, 1000), "0 channels": wave(16_000, 0),
        "a length of 4 GB": wave(16_000, size=4_000_000_000), "0 bits": wave(16_000, bits=0),
        "a link to /dev/zero": None, "a fifo": None, "a folder": None,
    }  # fmt: skip
    for name, content in contents.items():

        def write(place: Path, name: str = name, content: bytes | None = content) -> list[str]:
            path = place / "tones" / "audio" / "00.flac"
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            elif "zero" in name:
                path.symlink_to("/dev/zero")
            elif "fifo" in name:
                os.mkfifo(path)
            else:
                path.mkdir()
            return ["run", "-t", "tones/card.toml", *RUN, "--overwrite", "always"]

        CASES[f"audio: {name}"] = "run", write


def _register_archives() -> None:
    def tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w", pax: dict[str, str] | None = None) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.PAX_FORMAT, pax_headers=pax or {}) as file:  # type: ignore[call-overload]
            for info, data in members:
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
        found = tarfile.TarInfo(name)
        found.type, found.linkname = kind, link
        return found

    def zipped(*members: tuple[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members:
                file.writestr(name, data)
        return buffer.getvalue()

    contents: dict[str, Callable[[], bytes]] = {
        "tar, a name above": lambda: tar((info(f"../{WITNESS}"), b"x")),
        "tar, an absolute name": lambda: tar((info("/tmp/absolute"), b"x")),
        "tar, a link out": lambda: tar((info("a", tarfile.SYMTYPE, ".."), b""), (info(f"a/{WITNESS}"), b"x")),
        "tar, a hard link out": lambda: tar((info("a", tarfile.LNKTYPE, "../tones/card.toml"), b"")),
        "tar, a device": lambda: tar((info("a", tarfile.CHRTYPE), b"")),
        "tar, one name twice": lambda: tar((info("a"), b"x"), (info("a"), b"y")),
        "tar, a header of 40 MB": lambda: tar((info("a"), b"x"), mode="w:gz", pax={"comment": "x" * 40_000_000}),
        "tar, 200,000 empty members": lambda: tar(*((info(f"{i}"), b"") for i in range(200_001)), mode="w:gz"),
        "zip, a name above": lambda: zipped((f"../{WITNESS}", b"x")),
        "zip, a name with a drive": lambda: zipped(("C:\\evil", b"x")),
        "zip, a bomb": lambda: zipped(*((f"{i}", bytes(50_000_000)) for i in range(40))),
        "zip, cut off": lambda: zipped(("a", bytes(100_000)))[:-30],
        "noise": lambda: bytes(range(256)) * 100,
    }
    for name, content in contents.items():

        def write(place: Path, content: Callable[[], bytes] = content) -> list[str]:
            (place / "archive").write_bytes(content())
            (place / "unpack.py").write_text(
                "import sys\nfrom pathlib import Path\nfrom tasks.sources.archives import unpack\n"
                "from tasks.errors import TaskError\n"
                "try:\n    unpack(Path('archive'), Path('unpacked'))\nexcept TaskError as error:\n"
                "    print(f'bench: {error}', file=sys.stderr)\n    sys.exit(2)\n",
                encoding="utf-8",
            )
            return [sys.executable, "unpack.py"]

        CASES[f"archive: {name}"] = "embed", write


for _register in (
    _register_cards, _register_manifests, _register_records, _register_code, _register_models, _register_audio,
    _register_archives,
):  # fmt: skip
    _register()
