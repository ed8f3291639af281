"""The store: crops are what was written, whoever reads them, and nothing else is ever taken for it."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data import caption_rows, description, shard_readers, shards, storage, store
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.data.hashes import NAME as SEEN
from benchmark.pretraining.data.store import open_store, refuse_another

LENGTHS = [300, 1500, 420, 700, 301]
LABELS = {"t0": ["b"], "t1": [], "t2": ["a", "c"], "t3": ["c"], "t4": ["a", "b", "c"]}


@pytest.fixture
def small_shards(monkeypatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1600 * shards.FRAME_BYTES)


@pytest.fixture
def given(small_shards, make_store):
    return make_store(LENGTHS, LABELS)


@pytest.fixture
def wide(small_shards, make_store):
    return make_store(LENGTHS, LABELS, "wide", waveforms=True, captions={"t0": ["calm", "slow"], "t2": ["flûte"]})


@pytest.fixture
def remote(given):
    system = fsspec.filesystem("memory")
    for path in Path(given.path).iterdir():
        system.pipe_file(f"/bucket/store/{path.name}", path.read_bytes())
    yield "memory://bucket/store"
    system.rm("/bucket", recursive=True)


@pytest.fixture
def remote_wide(wide):
    system = fsspec.filesystem("memory")
    for path in Path(wide.path).iterdir():
        system.pipe_file(f"/wide/store/{path.name}", path.read_bytes())
    yield "memory://wide/store"
    system.rm("/wide", recursive=True)


class TestContents:
    def test_it_says_what_it_holds(self, given):
        assert (given.tracks, given.frames_total, given.seconds_total) == (5, sum(LENGTHS), sum(LENGTHS) / 100)
        assert (given.bands, given.labels, given.left_out) == (96, ("a", "b", "c"), 0)
        assert given.frames(np.array([4, 1, 1])).tolist() == [301, 1500, 1500]
        assert given.frames(np.array([0])).dtype == np.int64
        assert given.shortest() == (0, 300)
        assert given.track_ids([3, 0, 4]) == ["t3", "t0", "t4"]

    def test_shards_are_bounded_and_a_longer_track_has_its_own(self, given, make_store, tmp_path):
        sizes = [path.stat().st_size // shards.FRAME_BYTES for path in sorted((tmp_path / "given").glob("*.f16"))]
        assert sizes == [300, 1500, 1421]
        make_store([100, 2000, 100], name="long")
        sizes = [path.stat().st_size // shards.FRAME_BYTES for path in sorted((tmp_path / "long").glob("*.f16"))]
        assert sizes == [100, 2000, 100]

    def test_labels_are_rows_of_zeros_and_ones(self, given, make_store):
        found = given.label_rows(np.array([2, 1, 4, 2]))
        assert found.dtype == np.float32
        assert found.tolist() == [[1, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0, 1]]
        with pytest.raises(ValueError, match="no labels"):
            make_store([300], name="without").label_rows(np.array([0]))

    def test_the_index_takes_16_bytes_a_track_and_is_mapped(self, given):
        assert given._index.dtype.itemsize == 16
        assert isinstance(given._index, np.memmap)

    def test_the_fingerprint_is_of_the_contents(self, given, make_store):
        assert make_store(LENGTHS, LABELS, name="again").fingerprint == given.fingerprint
        others = [
            make_store([*LENGTHS[:-1], 302], LABELS, name="longer"),
            make_store(LENGTHS, {**LABELS, "t1": ["a"]}, name="labelled"),
            make_store(LENGTHS, name="unlabelled"),
        ]
        assert len({given.fingerprint, *(other.fingerprint for other in others)}) == 4

    def test_another_store_is_refused_for_a_run(self, given):
        refuse_another(given, given.fingerprint, "the run")
        with pytest.raises(UserError, match="begun on a store with abc"):
            refuse_another(given, "abc", "the run")

    def test_a_second_store_in_its_place_is_refused(self, given):
        with pytest.raises(UserError, match="holds shards already"):
            write_store(Path(given.path), [])


class TestCrops:
    @pytest.fixture
    def check(self, counted):
        return lambda opened: self.equal(opened, counted)

    def equal(self, opened, counted) -> None:
        rng = np.random.default_rng(0)
        rows = rng.integers(0, 5, 64)
        starts = (rng.random(64) * (np.array(LENGTHS)[rows] - 299)).astype(np.int64)
        found = opened.crops(rows, starts, 300)
        assert (found.dtype, found.shape) == (np.float16, (64, 96, 300))
        for crop, row, start in zip(found, rows, starts, strict=True):
            np.testing.assert_array_equal(crop, counted(LENGTHS[row], row)[start : start + 300].T)

    def test_they_are_what_was_written(self, given, check):
        check(given)

    def test_they_are_the_same_from_object_storage(self, remote, tmp_path, given, check):
        opened = open_store(remote, home=tmp_path / "home")
        check(opened)
        assert opened.fingerprint == given.fingerprint
        assert opened.track_ids([3]) == ["t3"]
        np.testing.assert_array_equal(opened.label_rows(np.arange(5)), given.label_rows(np.arange(5)))

    def test_few_mappings_are_enough(self, monkeypatch, given, check):
        monkeypatch.setattr(shard_readers, "MAPPED", 1)
        check(open_store(given.path))

    def test_threads_may_read_at_once(self, given, check):
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(check, given) for _ in range(16)]:
                done.result()

    def test_out_is_written_and_returned(self, given):
        rows, starts = np.array([1, 3]), np.array([7, 0])
        out = np.zeros((2, 96, 100), np.float16)
        assert given.crops(rows, starts, 100, out) is out
        np.testing.assert_array_equal(out, given.crops(rows, starts, 100))
        with pytest.raises(ValueError, match="out is float32"):
            given.crops(rows, starts, 100, out.astype(np.float32))

    @pytest.mark.parametrize(("row", "start"), [(0, 1), (4, 2), (0, -1), (5, 0), (-1, 0)])
    def test_what_lies_outside_is_refused(self, given, row, start):
        with pytest.raises(ValueError, match=r"outside its track|of 5 tracks"):
            given.crops(np.array([1, row]), np.array([0, start]), 300)


class TestWaveformsAndCaptions:
    @pytest.fixture
    def check(self, counted, counted_samples):
        def checking(opened) -> None:
            rows = np.array([3, 1, 4, 1, 0, 2])
            starts = np.array([399, 0, 1, 1200, 0, 7])
            log_mels, samples = opened.crops(rows, starts, 300), opened.waveforms(rows, starts, 300)
            assert (samples.dtype, samples.shape) == (np.float32, (6, 48_000))
            assert samples.flags.c_contiguous
            for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
                np.testing.assert_array_equal(log_mels[i], counted(LENGTHS[row], row)[start : start + 300].T)
                expected = counted_samples(LENGTHS[row], row)[start : start + 300]
                np.testing.assert_array_equal(samples[i], expected.reshape(-1))
            assert opened.captions(np.array([2, 0, 1, 0])) == ("flûte", "calm", None, "calm")
            assert opened.captions(np.array([0, 0, 1]), np.array([0.2, 0.5, 0.9])) == ("calm", "slow", None)
            assert opened.distinct_captions() == ("calm", "flûte", "slow")

        return checking

    def test_one_index_serves_log_mels_and_waveforms(self, wide, check):
        assert (wide.has_waveforms, wide.has_captions) == (True, True)
        check(wide)

    def test_they_are_the_same_from_object_storage(self, remote_wide, tmp_path, check):
        check(open_store(remote_wide, home=tmp_path / "home"))
        check(open_store(remote_wide, home=tmp_path / "home", check="all"))

    def test_pieces_of_a_track_have_its_captions_and_their_own_samples(self, make_store, counted_samples):
        lengths = [300, 1500, 2600]
        cut = make_store(lengths, cut_seconds=4.0, waveforms=True, captions={"t1": ["calm"], "t2": ["loud", "fast"]})
        numbers = cut.track_numbers(np.arange(cut.tracks))
        assert numbers.tolist() == [0] + [1] * 4 + [2] * 6
        assert cut.captions(np.arange(cut.tracks)) == (None, *["calm"] * 4, *["loud"] * 6)
        for track, length in enumerate(lengths):
            rows = np.flatnonzero(numbers == track)
            heard = [
                cut.waveforms(np.array([row]), np.array([0]), int(cut.frames(rows)[i]))[0] for i, row in enumerate(rows)
            ]
            np.testing.assert_array_equal(np.concatenate(heard), counted_samples(length, track).reshape(-1))

    def test_a_store_without_them_says_so(self, given):
        with pytest.raises(ValueError, match="has no waveforms"):
            given.waveforms(np.array([0]), np.array([0]), 300)
        for asked in (lambda: given.captions(np.array([0])), given.distinct_captions):
            with pytest.raises(ValueError, match="has no captions"):
                asked()

    @pytest.mark.parametrize(("row", "start"), [(0, 1), (0, -1), (5, 0)])
    def test_what_lies_outside_is_refused(self, wide, row, start):
        with pytest.raises(ValueError, match=r"outside its track|of 5 tracks"):
            wide.waveforms(np.array([1, row]), np.array([0, start]), 300)

    @pytest.mark.parametrize("name", ["shard-00001.wave.f16", *caption_rows.CAPTION_ARRAYS])
    def test_a_file_that_is_cut_changed_or_gone(self, wide, tmp_path, name):
        path = tmp_path / "wide" / name
        content = path.read_bytes()
        path.write_bytes(content[:-2])
        with pytest.raises(UserError, match=f"{name} (has .* so the store is torn|is not what was written)"):
            open_store(wide.path)
        path.write_bytes(content[:-2] + b"\x77\x11")
        with pytest.raises(UserError, match=f"{name} is not what was written"):
            open_store(wide.path)
        path.unlink()
        with pytest.raises(UserError, match="cannot read the store"):
            open_store(wide.path)

    def test_a_torn_waveform_in_object_storage_is_refused(self, remote_wide, tmp_path):
        opened = open_store(remote_wide, home=tmp_path)
        system, path = fsspec.filesystem("memory"), "/wide/store/shard-00001.wave.f16"
        content = system.cat_file(path)
        system.pipe_file(path, content[:-2])
        with pytest.raises(UserError, match="has 479998 of 480000 bytes"):
            open_store(remote_wide, home=tmp_path)
        with pytest.raises(UserError, match="is it cut"):
            opened.waveforms(np.array([1]), np.array([1200]), 300)
        system.pipe_file(path, content[:-2] + b"\x01\x02")
        with pytest.raises(UserError, match="is not what was written"):
            open_store(remote_wide, home=tmp_path, check="all")

    @pytest.mark.parametrize(
        "change",
        [
            {"waveforms": ("0" * 64,)},
            {"waveforms": None, "captions": None},
            {"arrays": {}},
            {"labels": None},
        ],
    )
    def test_a_description_that_does_not_belong_to_the_files(self, wide, tmp_path, change):
        path = tmp_path / "wide" / "store.json"
        card = description.StoreCard.model_validate_json(path.read_text()).model_copy(update=change)
        path.write_bytes(card.model_copy(update={"fingerprint": card.expected_fingerprint()}).content())
        with pytest.raises(UserError, match=r"waveforms of another number|does not belong to its store.json"):
            open_store(wide.path)

    def test_a_version_that_knows_neither_says_that_the_format_is_another(self, wide, monkeypatch):
        """As the versions do that read formats 1 and 2, to which the new fields are unknown too."""
        monkeypatch.setattr(description, "FORMATS", (1, 2))
        with pytest.raises(UserError, match="has the format 3, and this version of the package reads 1 and 2"):
            open_store(wide.path)


class TestRefusals:
    def test_no_store_and_one_that_is_not_finished(self, given, tmp_path):
        with pytest.raises(UserError, match=r"there is no store at .*nowhere.*bench pretrain prepare"):
            open_store(tmp_path / "nowhere")
        (tmp_path / "given" / "store.json").unlink()
        with pytest.raises(UserError, match="is not finished"):
            open_store(given.path)

    @pytest.mark.parametrize("name", ["shard-00001.f16", "index.npy", "label_starts.npy", "label_indices.npy"])
    def test_a_file_that_is_cut_changed_or_gone(self, given, tmp_path, name):
        path = tmp_path / "given" / name
        content = path.read_bytes()
        path.write_bytes(content[:-2])
        with pytest.raises(UserError, match=f"{name} (has .* so the store is torn|is not what was written)"):
            open_store(given.path)
        path.write_bytes(content[:-2] + b"\x77\x11")
        with pytest.raises(UserError, match=f"{name} is not what was written"):
            open_store(given.path)
        path.unlink()
        with pytest.raises(UserError, match="cannot read the store"):
            open_store(given.path)
        path.write_bytes(content)
        assert open_store(given.path).fingerprint == given.fingerprint

    def test_contents_are_read_only_where_they_were_not_seen(self, given, tmp_path, monkeypatch):
        copy = shutil.copytree(given.path, tmp_path / "copy", copy_function=shutil.copyfile)
        (copy / SEEN).unlink()
        read = []
        hashed = store.FileHashes.has

        def counting(self, path, sha256, *, fresh=False):
            if fresh or not self.knows(path, sha256):
                read.append(path.name)
            return hashed(self, path, sha256, fresh=fresh)

        monkeypatch.setattr(store.FileHashes, "has", counting)
        open_store(copy)
        assert sorted(read) == sorted([*shards.ARRAYS, *(f"shard-0000{i}.f16" for i in range(3))])
        read.clear()
        open_store(copy)
        assert read == []
        open_store(copy, check="all")
        assert read == [f"shard-0000{i}.f16" for i in range(3)]

    def test_a_description_that_was_edited(self, given, tmp_path):
        path = tmp_path / "given" / "store.json"
        card = json.loads(path.read_text())
        for change, message in [
            ({"labels": ["a", "b", "d"]}, "was changed: its fingerprint"),
            ({"format": 99}, "has the format 99, and this version of the package reads 1"),
            ({"more": 1}, "is torn .more:"),
            ({"tracks": "many"}, "is torn .tracks:"),
        ]:
            path.write_text(json.dumps({**card, **change}))
            with pytest.raises(UserError, match=message):
                open_store(given.path)
        path.write_text(json.dumps({"format": 4, "another": "layout"}))
        with pytest.raises(UserError, match="has the format 4, and this version of the package reads 1, 2 and 3"):
            open_store(given.path)
        path.write_text("{")
        with pytest.raises(UserError, match="is torn"):
            open_store(given.path)

    @pytest.mark.parametrize("name", ["../../shard-00000", "/shard-00000", "shard-00000/../x", "x"])
    def test_files_elsewhere_are_not_read(self, given, tmp_path, name):
        path = tmp_path / "given" / "store.json"
        card = description.StoreCard.model_validate_json(path.read_text())
        for change in (
            {"shards": (card.shards[0].model_copy(update={"name": name}), *card.shards[1:])},
            {"arrays": {name: "0" * 64, **card.arrays}},
        ):
            other = card.model_copy(update=change)
            other = other.model_copy(update={"fingerprint": other.expected_fingerprint()})
            path.write_text(other.model_dump_json())
            with pytest.raises(UserError, match=r"is torn .(shards\.0\.name|arrays)"):
                open_store(given.path)

    def test_an_empty_store(self, given, tmp_path):
        path = tmp_path / "given" / "store.json"
        card = description.StoreCard.model_validate_json(path.read_text()).model_copy(
            update={"tracks": 0, "frames": 0, "shards": ()}
        )
        card = card.model_copy(update={"fingerprint": card.expected_fingerprint()})
        path.write_text(card.model_dump_json())
        with pytest.raises(UserError, match="is empty"):
            open_store(given.path)
        with pytest.raises(UserError, match="no tracks"):
            write_store(tmp_path / "none", [])

    def test_a_shard_that_is_replaced_while_the_store_is_open(self, given, tmp_path):
        path = tmp_path / "given" / "shard-00002.f16"
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        other.replace(path)
        given.crops(np.array([0]), np.array([0]), 300)
        with pytest.raises(UserError, match="was changed while it was in use"):
            given.crops(np.array([2]), np.array([0]), 300)
        path.unlink()
        with pytest.raises(UserError, match="cannot read"):
            given.crops(np.array([2]), np.array([0]), 300)


class TestObjectStorage:
    def test_the_index_is_fetched_once_and_mended(self, remote, tmp_path):
        home = tmp_path / "home"
        opened = open_store(remote, home=home)
        folder = home / store.REMOTE_FOLDER / opened.fingerprint[:32]
        assert {path.name for path in folder.iterdir()} == {*shards.ARRAYS, SEEN}
        (folder / "index.npy").write_bytes(b"torn")
        assert open_store(remote, home=home).frames(np.arange(5)).tolist() == LENGTHS

    def test_what_is_not_there_or_torn_is_refused(self, remote, tmp_path):
        with pytest.raises(UserError, match=r"no finished store at memory://nothing"):
            open_store("memory://nothing", home=tmp_path)
        opened = open_store(remote, home=tmp_path)
        system = fsspec.filesystem("memory")
        path = "/bucket/store/shard-00001.f16"
        content = system.cat_file(path)
        system.pipe_file(path, content[:-2])
        with pytest.raises(UserError, match="has 287998 of 288000 bytes"):
            open_store(remote, home=tmp_path)
        with pytest.raises(UserError, match="is it cut"):
            opened.crops(np.array([1]), np.array([1200]), 300)
        system.pipe_file(path, content[:-2] + b"\x01\x02")
        open_store(remote, home=tmp_path)
        with pytest.raises(UserError, match="is not what was written"):
            open_store(remote, home=tmp_path, check="all")
        system.rm_file(path)
        with pytest.raises(UserError, match="is missing"):
            open_store(remote, home=tmp_path)
        with pytest.raises(UserError, match="cannot read"):
            opened.crops(np.array([1]), np.array([0]), 300)

    def test_an_unknown_protocol_is_refused_with_what_to_install(self, tmp_path):
        with pytest.raises(UserError, match="pretrain"):
            open_store("nosuch://bucket/store", home=tmp_path)

    def test_without_fsspec_it_says_what_to_install(self, monkeypatch, tmp_path):
        def missing(name: str):
            raise ModuleNotFoundError(f"No module named {name!r}")

        monkeypatch.setattr(storage, "import_module", missing)
        with pytest.raises(UserError, match=r"pip install .*\[pretrain\]"):
            open_store("s3://bucket/store", home=tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="such a device is of Unix")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("check", ["changed", "all"])
def test_a_link_to_what_never_ends_in_the_place_of_any_file_is_refused(given, check):
    folder = Path(given.path)
    for path in sorted(file for file in folder.iterdir() if file.suffix in (".npy", ".f16", ".json")):
        held = path.rename(folder / "held")
        path.symlink_to("/dev/zero")
        with pytest.raises(UserError, match="is not finished" if path.suffix == ".json" else path.name):
            open_store(folder, check=check)
        path.unlink()
        held.rename(path)
    assert open_store(folder, check=check).tracks == len(LENGTHS)
