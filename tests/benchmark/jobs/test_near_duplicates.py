"""Near-duplicates between splits: planted ones are found, and nothing else is taken for one."""

import csv
import shutil

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.errors import UserError
from benchmark.jobs.embedding_audit import audit
from benchmark.jobs.near_duplicates import affordable, format_near_duplicates, near_duplicates
from benchmark.jobs.remarks import remarks
from benchmark.system.progress import Silent
from probes.data import SplitArrays

FAST = {"trials": 2, "seeds": 2, "workers": 0}


def split_of(rows, name):
    rows = np.asarray(rows, np.float32)
    return SplitArrays(tuple(f"{name}{i}" for i in range(len(rows))), rows, np.zeros(len(rows), np.int64))


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 24)), rng.normal(size=(120, 24))


class TestFound:
    def test_nothing_is_where_nothing_is_planted(self, clouds):
        found = near_duplicates(split_of(clouds[0], "a"), split_of(clouds[1], "b"))
        assert found.pairs == ()
        assert 0 < found.threshold <= found.typical / 4

    @pytest.mark.parametrize("noise", [0.0, 1e-4, 0.03])
    @pytest.mark.parametrize("planted", [1, 12, 40])
    def test_what_is_planted_is_found_with_its_partner_nearest_first(self, clouds, noise, planted):
        train, test = clouds
        rng = np.random.default_rng(1)
        test[:planted] = train[100 : 100 + planted] + noise * rng.normal(size=(planted, 24))
        found = near_duplicates(split_of(train, "a"), split_of(test, "b"))
        assert {(one, other) for one, other, _ in found.pairs} == {(f"b{i}", f"a{100 + i}") for i in range(planted)}
        distances = [distance for *_, distance in found.pairs]
        assert distances == sorted(distances)

    def test_scale_and_offset_of_columns_do_not_matter(self, clouds):
        train, test = clouds
        test[3] = train[7] * 1.001
        scale, offset = np.geomspace(1e-3, 1e3, 24), np.linspace(-5, 5, 24)
        plain = near_duplicates(split_of(train, "a"), split_of(test, "b"))
        scaled = near_duplicates(split_of(train * scale + offset, "a"), split_of(test * scale + offset, "b"))
        assert [pair[:2] for pair in plain.pairs] == [pair[:2] for pair in scaled.pairs] == [("b3", "a7")]

    def test_a_column_without_variance_is_no_fault(self, clouds):
        train, test = (np.column_stack([rows, np.full(len(rows), 3.0)]) for rows in clouds)
        assert near_duplicates(split_of(train, "a"), split_of(test, "b")).pairs == ()

    def test_a_threshold_of_the_users(self, clouds):
        found = near_duplicates(split_of(clouds[0], "a"), split_of(clouds[1], "b"), 2.1)
        assert len(found.pairs) == 120
        assert format_near_duplicates(found, ("test", "train"))[-1] == "  and 100 more"

    def test_large_sets_are_not_looked_at_by_the_way(self):
        assert affordable(30_000, 10_000, 1728)
        assert not affordable(30_000, 200_000, 1728)


@pytest.fixture
def leaking(make_task, bands, tmp_path):
    """A task of which two test files are train files in another encoding: of 24 bits."""
    card = make_task()
    audio = card.parent / "audio"
    with (card.parent / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
    for one, other in ((test[0], train[5]), (test[4], train[9])):
        samples, rate = soundfile.read(audio.parent / other["path"])
        soundfile.write(audio.parent / one["path"], samples, rate, subtype="PCM_24")
    return card, {(test[0]["id"], train[5]["id"]), (test[4]["id"], train[9]["id"])}


class TestRun:
    def test_the_record_counts_them_and_the_audit_names_them(self, leaking, bands, tmp_path):
        card, pairs = leaking
        home = tmp_path / "home"
        record = benchmark.run(bands, card, home=home, results=tmp_path / "results", **FAST)
        assert record.data.shared_audio == []  # the bytes differ
        assert record.data.near_duplicates == 2
        assert any("2 test item(s) are nearly the same as one of train: a leak?" in line for line in remarks(record))
        plugin = tmp_path / "mine.py"
        plugin.write_text("from tests.benchmark.conftest import Bands\n\n\nclass Mine(Bands):\n    name = 'mine'\n")
        with pytest.raises(
            UserError, match=r"60 of 60 items of tones are not embedded yet. Embed them: bench embed -e .*mine.py"
        ):
            list(audit(str(plugin), str(card), home, (), Silent()))
        benchmark.run(str(plugin), card, home=home, results=tmp_path / "results", **FAST)
        findings = list(audit(str(plugin), str(card), home, (), Silent()))
        text = "\n".join(finding.text for finding in findings)
        assert "mine on tones: 2 near-duplicate(s) of test in train" in text
        assert all(f"  {one} = {other} (" in text for one, other in pairs)
        assert any(finding.is_error for finding in findings)

    def test_a_sound_task_has_none(self, make_task, bands, tmp_path):
        record = benchmark.run(bands, make_task(), home=tmp_path / "home", results=tmp_path / "results", **FAST)
        assert record.data.near_duplicates == 0

    def test_folds_are_added_up(self, leaking, bands, tmp_path):
        from tests.benchmark.jobs.test_folds import with_folds

        card, _ = leaking
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        record = benchmark.run(bands, with_folds(card), home=tmp_path / "home", results=tmp_path / "results", **FAST)
        assert 0 < record.data.near_duplicates <= 4  # each of a pair is in test once, unless its partner is in valid
