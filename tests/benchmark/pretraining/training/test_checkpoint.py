"""Checkpoints: whole or not at all, their names, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import UserError
from benchmark.pretraining.training import checkpoint


def state(step: int, value: float = 0.0) -> dict[str, Any]:
    return {"step": step, "model": {"weight": torch.full((3,), value)}}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(5, 2.5))
    found = checkpoint.load(path)
    assert found["step"] == 5
    assert torch.equal(found["model"]["weight"], torch.full((3,), 2.5))


def test_last_best_and_kept(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1, 1.0), best=True, keep=True)
    checkpoint.save(tmp_path, state(2, 2.0), keep=True)
    checkpoint.save(tmp_path, state(3, 3.0))
    steps = {which: checkpoint.load(checkpoint.path_of(tmp_path, which))["step"] for which in ("last", "best", "2")}
    assert steps == {"last": 3, "best": 1, "2": 2}
    assert checkpoint.steps_kept(tmp_path) == [1, 2]
    assert checkpoint.load(checkpoint.path_of(tmp_path, "3"))["step"] == 3  # the last one, by its step
    assert {path.suffix for path in (tmp_path / checkpoint.FOLDER).iterdir()} == {".pt"}


@pytest.mark.parametrize("which", ["7", "first", ""])
def test_a_checkpoint_that_is_not_there_names_those_that_are(tmp_path: Path, which: str) -> None:
    checkpoint.save(tmp_path, state(1), keep=True)
    with pytest.raises(UserError, match="name one that it has: last, 1"):
        checkpoint.path_of(tmp_path, which)


def test_a_full_disk_keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, state(1))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(UserError, match=r"checkpoint of step 2 cannot be written .*No space left"):
            checkpoint.save(tmp_path, state(2))
    assert checkpoint.load(checkpoint.path_of(tmp_path, "last"))["step"] == 1
    assert [path.name for path in (tmp_path / checkpoint.FOLDER).iterdir()] == ["last.pt"]


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    checkpoint.save(tmp_path, state(4), best=True, keep=True)
    assert [checkpoint.load(checkpoint.path_of(tmp_path, which))["step"] for which in ("last", "best", "4")] == [
        4,
        4,
        4,
    ]


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: bytes | None) -> None:
    path = checkpoint.save(tmp_path, state(1))
    path.write_bytes(path.read_bytes()[:200] if damage is None else damage)
    with pytest.raises(UserError, match="is damaged"):
        checkpoint.load(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, ("raise SystemExit",))

    torch.save({"format": checkpoint.FORMAT, "trap": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match="is damaged"):
        checkpoint.load(tmp_path / "trap.pt")


def test_another_version_and_no_file(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "new.pt")
    with pytest.raises(UserError, match="format 99"):
        checkpoint.load(tmp_path / "new.pt")
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint.load(tmp_path / "none.pt")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1))
    (tmp_path / checkpoint.FOLDER / ".abc.tmp").write_bytes(b"half")
    checkpoint.clean(tmp_path)
    assert [path.name for path in (tmp_path / checkpoint.FOLDER).iterdir()] == ["last.pt"]


def test_a_disk_without_room_is_refused_before_a_run(tmp_path: Path) -> None:
    checkpoint.refuse_full(tmp_path / "new" / "run", 1000)
    with pytest.raises(UserError, match="make room"):
        checkpoint.refuse_full(tmp_path / "new" / "run", 2**60)


def test_one_flipped_bit_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    """torch writes checksums into the archive and reads over them."""
    path = checkpoint.save(tmp_path, {"step": 3, "model": {"weight": torch.arange(1000.0)}})
    sound = path.read_bytes()
    start = sound.index(np.arange(1000, dtype=np.float32).tobytes())
    for byte in (start, start + 1777, start + 3999):
        flipped = bytearray(sound)
        flipped[byte] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(UserError, match=r"is damaged \(.* fails its checksum\)|is damaged \(Bad CRC"):
            checkpoint.load(path)
    path.write_bytes(sound)
    assert checkpoint.load(path)["step"] == 3
