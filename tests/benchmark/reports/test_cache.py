"""The cache commands: what they list is there, what is torn is named, and nothing is deleted unasked."""

import hashlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmark.audio.decode import AudioRule
from benchmark.audio.deformations import Deformation
from benchmark.audio.windows import WindowRule
from benchmark.cli import data as commands
from benchmark.embeddings.space import Space
from benchmark.embeddings.store import EmbeddingRow, EmbeddingStore, shards
from benchmark.errors import UserError
from benchmark.reports import cache
from benchmark.system.scratch import scratch_folder

SPACE = Space(
    encoder="alpha",
    version="1",
    fingerprint="f" * 64,
    pipeline="1",
    audio=AudioRule(16000),
    windows=WindowRule(48000, 32000, 48000, "repeat"),
    pooling="mean",
    dim=4,
    layers=None,
)
DAY = 86_400


def fill(home: Path, *numbers: int, **changes) -> EmbeddingStore:
    store = EmbeddingStore(home, replace(SPACE, **changes))
    store.append(
        [EmbeddingRow(f"{i:064x}", str(i), "songs", 1.0, 1, False, values(i, store.space.width)) for i in numbers]
    )
    return store


def values(i: int, width: int) -> np.ndarray:
    return np.random.default_rng(i).normal(size=width).astype(np.float32)


def age(store: EmbeddingStore, days: float) -> None:
    then = time.time() - days * DAY
    for path in store.folder.iterdir():
        os.utime(path, (then, then))


def everything(home: Path) -> set[Path]:
    return set((home / "embeddings").rglob("*"))


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def three(home) -> list[EmbeddingStore]:
    stores = [
        fill(home, 1, 2, 3),
        fill(home, 1, 2, fingerprint="e" * 64, version="2"),
        fill(home, 5, encoder="beta", layers=("a", "b"), fingerprint="d" * 64),
    ]
    stores[0].append([EmbeddingRow("9" * 64, "9", "songs", 1.0, 1, False, np.ones(4, np.float32))])
    return stores


class TestLs:
    def test_an_empty_home(self, home, capsys):
        commands.cache_ls(home=home)
        assert capsys.readouterr().out.endswith(f"0 space(s), 0 bytes in {home / 'embeddings'}\n")
        assert not home.exists()

    def test_every_space_is_a_line(self, home, three, capsys):
        commands.cache_ls(home=home)
        out = capsys.readouterr().out
        lines = {line.split()[-1]: line.split() for line in out.splitlines() if line[:5] in ("alpha", "beta ")}
        assert {folder: line[:4] for folder, line in lines.items()} == {
            three[0].folder.name: ["alpha", "1", "4", "4"],
            three[1].folder.name: ["alpha", "2", "2", "4"],
            three[2].folder.name: ["beta", "1", "1", "8"],
        }
        assert "3 space(s)" in out

    def test_a_deformed_space_and_a_fitted_one_are_shown_as_such(self, home, three, capsys):
        found = {
            fill(home, 1, deformation=Deformation("shift", 50.0, 1)).folder.name: "alpha under shift=50ms",
            fill(home, 1, fitted_on="c" * 64).folder.name: "alpha fitted on cccccccccccc",
        }
        strange = fill(home, 1, deformation=Deformation("gain", -6.0, 1))
        text = json.loads((strange.folder / "space.json").read_text().replace('"gain"', '"reversed"'))
        state = {name: each for name, each in text.items() if name not in ("key", "encoder")}
        text["key"] = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
        (strange.folder / "space.json").write_text(json.dumps(text))
        name = f"alpha-{text['key'][:16]}"  # as a version that knows this deformation calls it
        strange.folder.rename(strange.folder.with_name(name))
        found[name] = "alpha under a deformation"
        commands.cache_ls(home=home)
        lines = {line.split()[-1]: line for line in capsys.readouterr().out.splitlines() if line.startswith("alpha")}
        assert all(lines[folder].startswith(f"{text}  ") for folder, text in found.items())
        assert lines[three[0].folder.name].startswith("alpha  ")

    def test_sizes_and_times(self, home, three):
        age(three[1], 10)
        found = {space.folder: space for space in cache.cached_spaces(home)}
        space = found[three[1].folder]
        assert space.size == sum(path.stat().st_size for path in three[1].folder.iterdir())
        assert time.time() - space.changed == pytest.approx(10 * DAY, abs=1000)

    @pytest.mark.parametrize("text", [None, b"", b"{", b"[]", b"\xff"])
    def test_a_space_without_its_description_is_still_listed(self, home, three, capsys, text):
        description = three[2].folder / "space.json"
        description.unlink() if text is None else description.write_bytes(text)
        commands.cache_ls(home=home)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if three[2].folder.name in line]
        assert line.split()[:4] == ["?", "?", "1", "0"]

    def test_a_torn_shard_does_not_hide_the_others(self, home, three, capsys):
        shards(three[0].folder)[0].write_bytes(b"torn")
        commands.cache_ls(home=home)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if three[0].folder.name in line]
        assert line.split()[2] == "1"

    def test_the_home_may_come_from_the_environment(self, home, three, monkeypatch, capsys):
        monkeypatch.setenv("BENCH_HOME", str(home))
        commands.cache_ls(home=None)
        assert "3 space(s)" in capsys.readouterr().out


class TestVerify:
    def test_sound_shards(self, home, three, capsys):
        before = everything(home)
        commands.cache_verify(home=home)
        assert capsys.readouterr().out == "4 shard(s) read, 0 torn\n"
        assert everything(home) == before

    def damage(self, store: EmbeddingStore, how: str) -> Path:
        path = shards(store.folder)[0]
        data = bytearray(path.read_bytes())
        if how == "cut":
            del data[-20:]
        elif how == "flipped":
            data[data.index(values(1, 4).tobytes()) + 2] ^= 1
        elif how == "empty":
            data.clear()
        path.write_bytes(data)
        return path

    @pytest.mark.parametrize("how", ["cut", "flipped", "empty"])
    def test_a_torn_shard_is_named_and_set_aside_with_exit_code_1(self, home, three, capsys, how):
        path = self.damage(three[0], how)
        with pytest.raises(typer.Exit) as stopped:
            commands.cache_verify(home=home)
        assert stopped.value.exit_code == 1
        told = capsys.readouterr()
        assert f"{path}: cannot be read: " in told.out
        assert told.out.endswith(f"set aside as {path.name}.torn\n4 shard(s) read, 1 torn\n")
        assert "bench cache prune --yes" in told.err
        assert not path.exists()
        commands.cache_verify(home=home)
        assert set(EmbeddingStore(home, three[0].space).places()) == {"9" * 64}

    def test_a_shard_of_another_width(self, home, three, capsys):
        wide = shards(three[2].folder)[0]
        wide.rename(three[0].folder / wide.name)
        with pytest.raises(typer.Exit):
            commands.cache_verify(home=home)
        assert "not 4 floats" in capsys.readouterr().out

    def test_values_that_are_not_finite_and_keys_held_twice(self, home, three, capsys, monkeypatch):
        row = EmbeddingRow("7" * 64, "7", "songs", 1.0, 1, False, np.ones(4, np.float32))
        with monkeypatch.context() as patch:
            patch.setattr(np, "isfinite", lambda values: np.ones_like(values, bool))
            three[0].append([replace(row, embedding=np.full(4, np.nan, np.float32))])
        three[1].append([row, row])
        with pytest.raises(typer.Exit):
            commands.cache_verify(home=home)
        out = capsys.readouterr().out
        assert "holds values that are not finite" in out
        assert "holds a key twice" in out
        assert "6 shard(s) read, 2 torn" in out

    def test_a_lost_description_does_not_condemn_the_shards(self, home, three, capsys):
        (three[0].folder / "space.json").unlink()
        before = everything(home)
        commands.cache_verify(home=home)
        assert capsys.readouterr().out == "4 shard(s) read, 0 torn\n"
        assert everything(home) == before


def prune(home: Path, encoder=None, older_than=None, everything=False, yes=False) -> None:
    commands.cache_prune(encoder=encoder, older_than=older_than, everything=everything, yes=yes, home=home)


class TestPrune:
    @pytest.fixture
    def leftovers(self, three) -> dict[str, Path]:
        """Return a torn shard, and temporary files of a process that is long gone and of one that writes now."""
        torn = shards(three[0].folder)[0]
        paths = {"torn": torn.rename(torn.with_name(torn.name + ".torn"))}
        for name, days in (("old", 1), ("new", 0)):
            paths[name] = three[0].folder / f".{name}.parquet.0a1b2c3d.tmp"
            paths[name].write_bytes(b"half a shard")
            os.utime(paths[name], (time.time() - days * DAY,) * 2)
        return paths

    @pytest.mark.parametrize("what", [{}, {"encoder": "alpha"}, {"older_than": 0.0}, {"everything": True}], ids=str)
    def test_without_yes_nothing_is_deleted(self, home, three, leftovers, capsys, what):
        age(three[2], 3)
        before = everything(home)
        prune(home, **what)
        out = capsys.readouterr().out
        assert everything(home) == before
        assert "Would delete" in out
        assert "Deleted" not in out
        assert out.endswith("; repeat with --yes to do it\n")

    def test_only_leftovers_by_default(self, home, three, leftovers, capsys):
        before = everything(home)
        prune(home, yes=True)
        assert before - everything(home) == {leftovers["torn"], leftovers["old"]}
        out = capsys.readouterr().out
        assert out.count("Deleted") == 3
        assert leftovers["torn"].name in out

    def test_by_encoder(self, home, three):
        prune(home, encoder="alpha", yes=True)
        assert [store.folder.exists() for store in three] == [False, False, True]

    def test_an_encoder_that_is_not_there(self, home, three):
        with pytest.raises(UserError, match="no cached embeddings of 'gamma': see 'bench cache ls'"):
            prune(home, encoder="gamma", yes=True)
        assert all(store.folder.exists() for store in three)

    def test_by_age(self, home, three):
        for store, days in zip(three, (5, 20, 30), strict=True):
            age(store, days)
        three[1].append([EmbeddingRow("8" * 64, "8", "songs", 1.0, 1, False, np.ones(4, np.float32))])  # used since
        prune(home, older_than=10, yes=True)
        assert [store.folder.exists() for store in three] == [True, True, False]

    def test_by_both(self, home, three):
        for store, days in zip(three, (5, 20, 30), strict=True):
            age(store, days)
        prune(home, encoder="alpha", older_than=10, yes=True)
        assert [store.folder.exists() for store in three] == [True, False, True]

    def test_all(self, home, three, leftovers, capsys):
        prune(home, everything=True, yes=True)
        assert everything(home) == set()
        assert capsys.readouterr().out.count(" kB\n") == 4  # three spaces and the sum

    @pytest.mark.parametrize("what", [{"encoder": "alpha"}, {"older_than": 1.0}])
    def test_all_and_a_choice_contradict_each_other(self, home, three, what):
        with pytest.raises(UserError, match="--all leaves nothing to choose"):
            prune(home, everything=True, yes=True, **what)
        assert all(store.folder.exists() for store in three)

    def test_what_killed_runs_laid_out_goes_after_a_day(self, home, capsys):
        for name, days in (("scratch-old", 2), ("scratch-new", 0), ("scratch-used", 2)):
            (home / name / "gain").mkdir(parents=True)
            (home / name / "gain" / "test-all.npy").write_bytes(bytes(2_000_000))
            for path in (home / name / "gain" / "test-all.npy", home / name / "gain", home / name):
                os.utime(path, (time.time() - days * DAY,) * 2)
        (home / "scratch-used" / "gain" / "test-all.npy").touch()
        prune(home)
        out = capsys.readouterr().out
        assert "Would delete scratch-old: left by a run that was killed, 2.0 MB" in out
        assert "Kept scratch-new: a run may be at work there; it goes after a day" in out
        assert (home / "scratch-old").exists()
        prune(home, yes=True)
        assert sorted(path.name for path in home.iterdir()) == ["scratch-new", "scratch-used"]

    def test_what_a_killed_run_of_this_machine_laid_out_goes_at_once_and_a_living_ones_never(self, home, capsys):
        home.mkdir(exist_ok=True)
        with scratch_folder(home) as dead:
            (dead / "train-all.npy").write_bytes(bytes(1_000_000))
            shutil.copytree(dead, home / "scratch-dead")  # whose lock nobody holds
        with scratch_folder(home) as alive:
            for path in (*alive.iterdir(), alive):
                os.utime(path, (time.time() - 9 * DAY,) * 2)
            prune(home, yes=True)
            out = capsys.readouterr().out
            assert "Deleted scratch-dead: left by a run that was killed, 1.0 MB" in out
            assert f"Kept {alive.name}: a run is at work there" in out
            assert list(home.iterdir()) == [alive]

    def test_nothing_to_do(self, home, capsys):
        prune(home)
        assert capsys.readouterr().out == "Would delete 0 bytes\n"

    def test_only_embeddings_are_ever_touched(self, home, three):
        other = home / "audio-index" / "a.parquet"
        other.parent.mkdir()
        other.write_bytes(b"index")
        prune(home, everything=True, yes=True)
        assert other.exists()


class TestPruneIsEnded:
    """A prune that is killed in the middle: the next one finds what is left, whatever it was."""

    def stopped(self, monkeypatch, after: int) -> None:
        """Let the deletion of a folder end behind so many files, the description first."""

        def rmtree(folder: Path) -> None:
            files = sorted(folder.rglob("*"), key=lambda path: path.name != "space.json")
            for file in files[:after]:
                file.unlink()
            raise KeyboardInterrupt

        monkeypatch.setattr(cache.shutil, "rmtree", rmtree)

    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_the_same_command_deletes_the_rest_and_leftovers_of_others(self, home, three, monkeypatch, capsys, after):
        torn = three[0].folder / "0.parquet.torn"
        torn.touch()
        with monkeypatch.context() as patch:
            self.stopped(patch, after)
            with pytest.raises(KeyboardInterrupt):
                prune(home, encoder="beta", yes=True)
        assert three[2].folder.name not in {space.folder.name for space in cache.cached_spaces(home)}
        assert EmbeddingStore(home, three[2].space).places() == {}
        capsys.readouterr()
        prune(home, encoder="beta", yes=True)
        assert "left by a prune that was ended" in capsys.readouterr().out
        assert {path.name for path in (home / "embeddings").iterdir()} == {three[0].folder.name, three[1].folder.name}
        assert not torn.exists()
        with pytest.raises(UserError, match="no cached embeddings of 'beta'"):
            prune(home, encoder="beta", yes=True)

    def test_leftovers_go_before_an_unknown_name_is_refused(self, home, three):
        torn = three[0].folder / "0.parquet.torn"
        torn.touch()
        with pytest.raises(UserError, match="no cached embeddings of 'gamma'"):
            prune(home, encoder="gamma", yes=True)
        assert not torn.exists()
        assert len(cache.cached_spaces(home)) == 3

    @pytest.mark.parametrize("text", [None, b"{", b"[]", b'{"encoder": 7}'])
    def test_a_space_without_description_is_shown_and_removed(self, home, three, capsys, text):
        description = three[2].folder / "space.json"
        description.unlink() if text is None else description.write_bytes(text)
        prune(home)
        assert f"Would delete {three[2].folder.name}: 1 embeddings without a description" in capsys.readouterr().out
        assert three[2].folder.exists()
        prune(home, yes=True)
        assert [space.folder for space in cache.cached_spaces(home)] == sorted(s.folder for s in three[:2])

    def test_a_folder_that_a_run_is_just_making_stays(self, home, three):
        fresh = home / "embeddings" / "fresh"
        fresh.mkdir()
        prune(home, yes=True)
        assert fresh.exists()
        os.utime(fresh, (time.time() - DAY,) * 2)
        prune(home, yes=True)
        assert not fresh.exists()

    def test_a_run_that_uses_a_space_describes_it_again(self, home, three):
        description = three[2].folder / "space.json"
        before = description.read_bytes()
        for damaged in (None, before[:-5]):
            description.unlink() if damaged is None else description.write_bytes(damaged)
            assert len(EmbeddingStore(home, three[2].space).places()) == 1
            assert description.read_bytes() == before

    def test_what_the_system_refuses_is_told(self, home, three, monkeypatch):
        def refused(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "replace", refused)
        with pytest.raises(UserError, match=r"cannot delete .*Permission denied. Nothing of it was deleted"):
            prune(home, encoder="beta", yes=True)
        monkeypatch.undo()
        monkeypatch.setattr(cache.shutil, "rmtree", refused)
        with pytest.raises(UserError, match=r"cannot delete .*Permission denied. Mend that"):
            prune(home, encoder="beta", yes=True)


def test_one_flipped_bit_of_a_description_is_never_shown(home, three):
    path = three[2].folder / "space.json"
    sound = path.read_bytes()

    def shown() -> tuple[str, str, int, str]:
        (found,) = [space for space in cache.cached_spaces(home) if space.folder == path.parent]
        return ("?", "?", 0, "") if not found.described else (found.encoder, found.version, found.width, found.state)

    expected = shown()
    assert expected[0] != "?"
    for byte in range(len(sound)):
        flipped = bytearray(sound)
        flipped[byte] ^= 1 << byte % 8
        path.write_bytes(flipped)
        assert shown() in (expected, ("?", "?", 0, "")), byte
