"""The run as a whole, through the Python API: what is computed, kept, refused, and never looked at."""

import csv
import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import benchmark
from benchmark.audio import index as audio_index
from benchmark.audio import pool, reader, sound_files
from benchmark.audio.index import AudioIndex
from benchmark.audio.inspection import Contents
from benchmark.cli.main import main
from benchmark.embeddings.store import EmbeddingStore
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs import evaluate as evaluation
from benchmark.jobs import runner, select
from benchmark.jobs.options import Options
from benchmark.jobs.remarks import remarks
from benchmark.jobs.splits import JobData
from probes.data import LeakError
from results import store
from results.record import RecordError
from tasks import registry
from tasks.errors import TaskError
from tests.benchmark.sound_bytes import mp3

FAST = {"trials": 2, "seeds": 2, "workers": 0}


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


def forbid_decoding(monkeypatch):
    def refuse(*_args):
        raise AssertionError("audio was read")

    monkeypatch.setattr(pool, "decode_one", refuse)


class TestRecord:
    def test_holds_what_is_needed_to_read_and_repeat_the_run(self, bands, make_task, places):
        record = benchmark.run(bands, make_task(), **places, **FAST)
        assert record.scores.test["accuracy"].value > 0.9
        for split in (record.scores.valid, record.scores.test):
            score = split["accuracy"]
            assert score.low <= score.value <= score.high
            assert len(score.seeds) == 2
            assert set(score.labels) == {"high", "low", "middle"}
        assert record.data.counts == {"train": 30, "valid": 18, "test": 12}
        assert record.data.audio_seconds > 50
        assert len(record.search.trials) == 2
        assert record.probe.hidden == [16]
        assert record.seeds.probes == [0, 1]
        assert record.encoder.fingerprint == bands.fingerprint()
        assert record.versions["torch"]
        on_disk = places["results"] / "runs" / "tones" / "bands.json"
        assert store.read(on_disk) == record
        assert (
            json.loads(on_disk.read_text())["scores"]["test"]["accuracy"]["low"] == record.scores.test["accuracy"].low
        )

    def test_predictions_beside_it_give_the_scores_again(self, bands, make_task, places):
        record = benchmark.run(bands, make_task(group=True), **places, **FAST)
        table = pq.read_table(places["results"] / "runs" / "tones" / record.predictions)
        rows = table.to_pylist()
        test = [row for row in rows if row["split"] == "test"]
        assert len(test) == 12
        assert {row["split"] for row in rows} == {"valid", "test"}
        for seed, value in enumerate(record.scores.test["accuracy"].seeds):
            hits = [int(np.argmax(row[f"outputs_{seed}"])) == row["target"] for row in test]
            assert np.mean(hits) == pytest.approx(value)
        assert all(row["group"].startswith("artist") for row in rows)

    def test_names_short_files_and_those_that_end_inside_a_frame(self, bands, make_task, places, capsys):
        card = make_task()
        audio = card.parent / "audio"
        data = mp3(8000, tag=False)
        (audio / "t004.flac").write_bytes(data[:-30])
        soundfile.write(audio / "t009.flac", np.full(900, 0.1), 8000)
        for overwrite in ("missing", "always"):  # the second finds all embeddings in the store
            record = benchmark.run(bands, card, **places, **FAST, overwrite=overwrite)
            assert (record.data.cut_inside_frame, record.data.short) == (["t004"], ["t009"])
        about_files = [remark for remark in remarks(record) if "intervals" not in remark]
        assert about_files == [
            "bands on tones: 1 file(s) end inside an MPEG frame and were used: t004",
            "bands on tones: 1 track(s) are under a tenth of the median length and were used: t009",
        ]

    @pytest.mark.parametrize("spoil", [lambda data: data + data, lambda data: data[:3000] + bytes(900) + data[3900:]])
    def test_an_embedding_of_a_file_that_would_be_refused_now_is_not_used(
        self, bands, make_task, places, monkeypatch, spoil
    ):
        card = make_task()
        path = card.parent / "audio" / "t004.flac"
        path.write_bytes(spoil(mp3(8000)))
        with monkeypatch.context() as before:  # as it was when nothing was looked at
            for module in (audio_index, sound_files):
                before.setattr(module, "inspect_file", lambda path: Contents(size=path.stat().st_size))
            before.setattr(reader, "INSPECTION_VERSION", 0)
            first = benchmark.run(bands, card, **places, **FAST)
        assert first.data.damaged == []
        with pytest.raises(UserError, match="1 damaged track"):
            benchmark.run(bands, card, **places, **FAST)
        left = benchmark.run(bands, card, **places, **FAST, allow_damaged=1)
        assert [each.track_id for each in left.data.damaged] == ["t004"]

    def test_equal_runs_give_equal_numbers(self, bands, make_task, places):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        again = benchmark.run(bands, card, **places, **FAST, overwrite="always")
        assert again.scores == first.scores
        assert again.run_key == first.run_key
        other = benchmark.run(bands, card, **places, **FAST, seed=5)
        assert other.run_key != first.run_key

    def test_permuted_labels_give_chance(self, bands, make_task, places):
        record = benchmark.run(bands, make_task(per_class=60, permuted=True), **places, **FAST)
        score = record.scores.test["accuracy"]
        assert score.low < 1 / 3 + 0.1
        assert score.value < 0.6

    def test_groups_count_and_shared_groups_are_named(self, bands, make_task, places):
        card = make_task(group=True)
        record = benchmark.run(bands, card, **places, **FAST)
        assert record.data.groups == 20
        assert record.data.shared_groups == []
        manifest = card.with_name("manifest.csv")
        manifest.write_text(manifest.read_text().replace("artist4\n", "artist0\n"))
        assert benchmark.run(bands, card, **places, **FAST).data.shared_groups == ["artist0"]

    def test_test_audio_that_is_also_in_train_is_named(self, bands, make_task, places):
        card = make_task()
        audio = card.parent / "audio"
        shutil.copy(audio / "t000.flac", audio / "t012.flac")  # t000 is train, t012 is test
        assert benchmark.run(bands, card, **places, **FAST).data.shared_audio == ["t012"]


class TestReuse:
    def test_an_identical_run_keeps_the_record_and_reads_no_audio(self, bands, make_task, places, monkeypatch):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        forbid_decoding(monkeypatch)
        monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
        assert benchmark.run(bands, card, **places, **FAST) == first

    def test_a_new_seed_reads_no_audio(self, bands, make_task, places, monkeypatch):
        card = make_task()
        benchmark.run(bands, card, **places, **FAST)
        forbid_decoding(monkeypatch)
        benchmark.run(bands, card, **places, **FAST, seed=1)

    def test_one_collection_serves_all_of_its_tasks(self, bands, make_task, places, monkeypatch):
        card = make_task()
        benchmark.run(bands, card, **places, **FAST)
        other = card.with_name("other.toml")
        other.write_text(card.read_text().replace('id = "tones"', 'id = "tones_again"'), "utf-8")
        forbid_decoding(monkeypatch)
        assert benchmark.run(bands, other, **places, **FAST).task.id == "tones_again"

    @pytest.mark.parametrize(
        "change", [{"version": "2"}, {"window_seconds": 0.8}, {"hop_seconds": 0.25}, {"sample_rate": 4000}]
    )
    def test_a_changed_encoder_never_reuses_old_embeddings(self, bands, make_task, places, change):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        changed = type(bands)()
        for name, value in change.items():
            setattr(changed, name, value)
        second = benchmark.run(changed, card, **places, **FAST)
        assert second.encoder.space != first.encoder.space
        assert second.run_key != first.run_key
        assert second.seconds.embed > 0

    def test_an_encoder_of_the_same_name_with_other_code_never_reuses_old_embeddings(self, make_task, places, tmp_path):
        card = make_task()
        source = (
            "import numpy as np\nfrom benchmark import Encoder\n\n\nclass Mine(Encoder):\n"
            "    name, version, sample_rate, dim, arrays = 'mine', '1', 8000, 2, 'numpy'\n"
            "    minimum_seconds = 0.1\n\n"
            "    def embed(self, waveforms):\n"
            "        return np.stack([waveforms.std((1, 2)), GAIN * waveforms.max((1, 2))], 1)\n"
        )
        file = tmp_path / "my encoder.py"
        spaces = []
        for gain in ("1.0", "2.0"):
            file.write_text(source.replace("GAIN", gain), encoding="utf-8")
            spaces.append(benchmark.run(f"{file}:Mine", card, **places, **FAST).encoder.space)
        assert spaces[0] != spaces[1]

    def test_a_changed_audio_file_is_embedded_again(self, bands, make_task, places):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        soundfile.write(card.parent / "audio" / "t000.flac", np.zeros(8000), 8000)
        second = benchmark.run(bands, card, **places, **FAST)
        assert second.run_key != first.run_key

    def test_a_displaced_record_is_kept_in_the_history(self, bands, make_task, places):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        benchmark.run(bands, card, **places, **FAST, seed=1)
        kept = places["results"] / "runs" / "tones" / "history" / f"bands.{first.run_key[:12]}.json"
        assert store.read(kept) == first

    def test_overwrite_never_refuses_a_different_run_and_keeps_an_equal_one(self, bands, make_task, places):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        assert benchmark.run(bands, card, **places, **FAST, overwrite="never") == first
        with pytest.raises(UserError, match="--overwrite never"):
            benchmark.run(bands, card, **places, **FAST, seed=1, overwrite="never")


class TestSealedTest:
    def test_the_search_never_sees_test_embeddings_or_targets(self, bands, make_task, places, monkeypatch):
        """Poison everything of test: what the search finds must not change."""
        card = make_task()
        honest = benchmark.run(bands, card, **places, **FAST)
        manifest = card.with_name("manifest.csv")
        lines = [
            line.replace(",low,", ",high,") if ",test," in line else line for line in manifest.read_text().splitlines()
        ]
        manifest.write_text("\n".join(lines) + "\n")
        rng = np.random.default_rng(0)
        for line in lines:
            if ",test," in line:
                soundfile.write(card.parent / line.split(",")[1], rng.uniform(-1, 1, 8000), 8000)
        poisoned = benchmark.run(bands, card, **places, **FAST)

        def without_seconds(record):
            return [trial.model_dump(exclude={"seconds"}) for trial in record.search.trials]

        assert without_seconds(poisoned) == without_seconds(honest)
        assert poisoned.probe == honest.probe
        assert poisoned.scores.valid == honest.scores.valid
        assert poisoned.scores.test != honest.scores.test

    @pytest.mark.parametrize("layer", ["auto", "mix"])
    def test_its_embeddings_are_read_when_everything_is_decided(self, bands, make_task, places, monkeypatch, layer):
        """Until test is scored, the store gives noise for its rows: nothing but reading them too early would differ."""

        class Layered(type(bands)):
            layers = ("plain", "halved")

            def embed(self, waveforms):
                found = super().embed(waveforms)
                return np.stack([found, found / 2], axis=1)

        card, chosen = make_task(), {**FAST, "layer": layer, "overwrite": "always"}
        honest = benchmark.run(Layered(), card, **places, **chosen)
        opened, touched = [], []
        read, test_outputs = EmbeddingStore.read, evaluation._test_outputs
        index, audio = AudioIndex(places["home"]), card.parent / "audio"
        of_test = {index.key(audio / f"t{i:03d}.flac") for i in range(60) if (i // 3) % 5 == 4}
        assert len(of_test - {None}) == 12

        def poisoned(self, keys, **chosen):
            found = read(self, keys, **chosen)
            rows = [row for row, key in enumerate(keys) if key in of_test]
            touched.extend([bool(opened)] * len(rows))
            if not opened:
                found[rows] = np.nan
            return found

        def open_test(*args, **kwargs):
            opened.append(True)
            return test_outputs(*args, **kwargs)

        monkeypatch.setattr(EmbeddingStore, "read", poisoned)
        monkeypatch.setattr(evaluation, "_test_outputs", open_test)
        record = benchmark.run(Layered(), card, **places, **chosen)
        assert touched == [True] * 12  # each row once
        assert opened == [True]
        assert record.scores == honest.scores
        assert record.floors == honest.floors

    def test_test_is_read_from_the_store_once_and_after_the_search(self, bands, make_task, places, monkeypatch):
        order = ["train", "valid", "search", "retrain", "permuted", "test"]
        events = []
        arrays, search, retrain = JobData.arrays, select.search, select._retrain
        chance = select._permuted

        def happens(name):
            events.append(name)
            assert events == order[: len(events)]  # at once: what is read out of turn may end in any error

        def told(name, function):
            return lambda *a, **k: happens(name) or function(*a, **k)

        monkeypatch.setattr(
            JobData, "arrays", lambda self, split, *layer: happens(split) or arrays(self, split, *layer)
        )
        monkeypatch.setattr(select, "search", told("search", search))
        monkeypatch.setattr(select, "_retrain", told("retrain", retrain))
        monkeypatch.setattr(select, "_permuted", told("permuted", chance))
        benchmark.run(bands, make_task(), **places, **FAST)
        assert events == order

    def test_a_planted_test_item_stops_the_run(self, bands, make_task, places, monkeypatch):
        arrays = JobData.arrays

        def leaky(self, split, *layer):
            return arrays(self, "test" if split == "valid" else split, *layer)

        monkeypatch.setattr(JobData, "arrays", leaky)
        with pytest.raises(LeakError, match=r"12 test item\(s\) in valid"):
            benchmark.run(bands, make_task(), **places, **FAST)


class TestDamage:
    @pytest.fixture
    def damaged(self, make_task):
        card = make_task()
        audio = card.parent / "audio"
        (audio / "t001.flac").write_bytes(b"")
        (audio / "t007.flac").write_text("<!DOCTYPE html><html></html>")
        whole = (audio / "t030.flac").read_bytes()
        (audio / "t030.flac").write_bytes(whole[: len(whole) // 2])
        return card

    def test_all_damaged_files_are_found_before_any_probe_is_trained(self, bands, damaged, places, monkeypatch):
        monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
        with pytest.raises(UserError) as caught:
            benchmark.run(bands, damaged, **places, **FAST, allow_damaged=2)
        message = str(caught.value)
        assert "3 damaged track(s)" in message
        for name, problem in {"t001": "empty", "t007": "web page", "t030": "s recovered"}.items():
            line = next(line for line in message.splitlines() if name in line)
            assert problem in line
            assert re.search(rf"tones: '{name[0]}{int(name[1:]):03d}', (train|valid|test), class '\w+'\)$", line), line
        assert "--allow-damaged 3" in message

    def test_names_that_hold_lines_and_escapes_are_told_in_one_line(self, bands, make_task, places):
        card, hostile = make_task(), "a\n  0 damaged\x1b[2J.flac"
        (card.parent / "audio" / hostile).write_bytes(b"")
        with (card.parent / "manifest.csv").open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(["i\nd\x1b[1m", f"audio/{hostile}", "train", "low", "nobody"])
        with pytest.raises(UserError) as caught:
            benchmark.run(bands, card, **places, **FAST)
        message = str(caught.value)
        assert "\x1b" not in message
        lines = message.splitlines()
        assert len(lines) == 3, message
        assert "audio/a 0 damaged\\u001b[2J.flac: " in lines[1]
        assert r"tones: 'i\nd\x1b[1m', train, class 'low')" in lines[1]

    def test_the_sound_ones_are_kept_for_the_next_run(self, bands, damaged, places, monkeypatch):
        with pytest.raises(UserError):
            benchmark.run(bands, damaged, **places, **FAST)
        opened = []
        load = reader.load
        monkeypatch.setattr(reader, "load", lambda path, *rest: opened.append(path.stem) or load(path, *rest))
        with pytest.raises(UserError):
            benchmark.run(bands, damaged, **places, **FAST)
        assert sorted(opened) == ["t001", "t007", "t030"]

    def test_allowed_ones_are_left_out_counted_and_named(self, bands, damaged, places):
        record = benchmark.run(bands, damaged, **places, **FAST, allow_damaged=3)
        assert sum(record.data.counts.values()) == 57
        assert [damage.track_id for damage in record.data.damaged] == ["t001", "t007", "t030"]
        assert all(damage.problem for damage in record.data.damaged)

    def test_a_record_with_damage_is_not_kept_for_a_stricter_run(self, bands, damaged, places):
        benchmark.run(bands, damaged, **places, **FAST, allow_damaged=3)
        with pytest.raises(UserError, match="3 damaged"):
            benchmark.run(bands, damaged, **places, **FAST)

    def test_more_than_twenty_are_listed_in_a_file(self, bands, make_task, places):
        card = make_task()
        for i in range(25):
            (card.parent / "audio" / f"t{i:03d}.flac").write_bytes(b"")
        with pytest.raises(UserError, match="and 5 more"):
            benchmark.run(bands, card, **places, **FAST)
        assert len((places["home"] / "damaged.txt").read_text().splitlines()) == 25


class TestLimit:
    def test_is_marked_and_lies_beside_the_full_record(self, bands, make_task, places):
        card = make_task()
        full = benchmark.run(bands, card, **places, **FAST)
        limited = benchmark.run(bands, card, **places, **FAST, limit=30)
        assert limited.limit == 30
        assert sum(limited.data.counts.values()) == 30
        assert all(limited.data.counts.values())
        assert store.read(places["results"] / "runs" / "tones" / "bands.json") == full
        assert [record.limit for record in store.read_all(places["results"])] == [None, 30]

    def test_a_limit_too_small_for_an_interval_says_so(self, demo_home, places):
        with pytest.raises(UserError, match=r"of one group.*larger --limit"):
            benchmark.run("mfcc", "demo_tags", home=demo_home, results=places["results"], **FAST, limit=5)


class TestOptions:
    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"trials": 0}, "--trials is .*: give 1 at least"),
            ({"limit": 1}, "--limit is .*: give 3 at least"),
            ({"allow_damaged": -1}, "--allow-damaged is .*: give 0 at least"),
            ({"overwrite": "maybe"}, "--overwrite has no choice 'maybe': give one of"),
            ({"device": "cuda:77"}, "cannot be used"),
            ({"seed": 5_000_000_000}, "--seed is .* at most"),
            ({"data_roots": ["foo"]}, "--data-root .* give COLLECTION=DIR"),
        ],
    )
    def test_a_value_that_cannot_be_is_refused(self, bands, make_task, places, chosen, message):
        with pytest.raises((UserError, TaskError), match=message):
            benchmark.run(bands, make_task(), **places, **{**FAST, **chosen})

    def test_run_takes_one_task(self, bands, places):
        with pytest.raises(
            UserError, match=r"and .bands. on .demo_emotion,.*. are 5: call benchmark.run_many, which gives several"
        ):
            benchmark.run(bands, "demo", **places)


class TestEncoderFailure:
    def test_names_the_track_and_keeps_what_was_done(self, bands, make_task, places):
        class Failing(type(bands)):
            name = "failing"

            def embed(self, waveforms):
                if (np.abs(waveforms).max((1, 2)) < 1e-3).any():
                    return np.full((len(waveforms), 16), np.nan, np.float32)
                return super().embed(waveforms)

        card = make_task()
        soundfile.write(card.parent / "audio" / "t040.flac", np.zeros(8000), 8000)
        with pytest.raises(UserError, match="t040"):
            benchmark.run(Failing(), card, **places, **FAST, batch_size=4)
        kept = list((places["home"] / "embeddings").glob("failing-*/*.parquet"))
        assert sum(pq.read_metadata(path).num_rows for path in kept) >= 20


class TestTwoEncoders:
    def test_a_track_too_short_for_one_is_not_left_out_of_the_other(self, bands, make_task, places):
        class Strict(type(bands)):
            name, minimum_seconds, padding = "strict", 0.62, "refuse"

        card = make_task()
        soundfile.write(
            card.parent / "audio" / "t012.flac", 0.1 * np.ones(2000), 8000
        )  # a quarter of a second, of test
        options = Options(**places, **FAST, allow_damaged=1)
        strict, lenient = (
            outcome.record for outcome in runner.run_many([Strict(), bands], registry.find(str(card)), options)
        )
        assert [damage.track_id for damage in strict.data.damaged] == ["t012"]
        assert lenient.data.damaged == []
        assert lenient.data.counts["test"] == strict.data.counts["test"] + 1
        assert lenient.data.fingerprint != strict.data.fingerprint
        alone = benchmark.run(bands, card, **places, **FAST, overwrite="always")
        assert alone.scores == lenient.scores


class TestPlacesThatCannotBe:
    def test_results_or_home_that_cannot_be_written_are_refused_before_anything_is_embedded(
        self, bands, make_task, tmp_path, monkeypatch
    ):
        forbid_decoding(monkeypatch)
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"--results .*file cannot be written"):
            benchmark.run(bands, make_task(), home=tmp_path / "h", results=tmp_path / "file", **FAST)
        with pytest.raises(UserError, match=r"--home .*file cannot be written"):
            benchmark.run(bands, make_task("more"), home=tmp_path / "file", results=tmp_path / "r", **FAST)

    def test_a_disk_that_fills_up_at_the_record_is_a_message(self, bands, make_task, places, monkeypatch):
        def full(*_args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(store, "replace_file", full)
        with pytest.raises(store.RecordError, match=r"was not written: No space left.*embeddings are kept"):
            benchmark.run(bands, make_task(), **places, **FAST)


class TestRunKeyAndShown:
    def test_a_new_title_or_group_is_a_new_record(self, bands, make_task, places):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST)
        card.write_text(card.read_text().replace('title = "Tones"', 'title = "Pure tones"\ngroups = ["mine"]'))
        second = benchmark.run(bands, card, **places, **FAST)
        assert (second.task.title, second.task.group) == ("Pure tones", "mine")
        assert second.run_key != first.run_key
        assert second.scores == first.scores

    def test_damage_that_leaves_one_group_is_refused(self, bands, make_task, places):
        card = make_task(group=True)
        manifest = card.with_name("manifest.csv")
        tests = [line for line in manifest.read_text().splitlines() if ",test," in line]
        for line in tests[3:]:  # all but the first artist's
            (card.parent / line.split(",")[1]).write_bytes(b"")
        with pytest.raises(UserError, match="of one group"):
            benchmark.run(bands, card, **places, **FAST, allow_damaged=len(tests) - 3)


class TestSeveralPairs:
    @pytest.fixture
    def two(self, make_vectors, places):
        """Two tasks on embeddings that are given, the first of which will fail."""
        encoder, bad = make_vectors("bad")
        _, good = make_vectors("good")
        options = Options(home=places["home"], results=places["results"], **FAST)
        return resolve(encoder), registry.find([str(bad), str(good)]), options

    @pytest.fixture
    def failing(self, monkeypatch):
        def failing(error):
            evaluate = evaluation.evaluate

            def fails(job, *rest):
                if job.card.id == "bad":
                    raise error
                return evaluate(job, *rest)

            monkeypatch.setattr(evaluation, "evaluate", fails)

        return failing

    @pytest.mark.parametrize("kind", [UserError, TaskError, RecordError])
    def test_one_that_fails_does_not_keep_the_others_from_being_finished(self, two, failing, kind):
        failing(kind("no space left", "make room"))
        with pytest.raises(
            runner.UnfinishedError, match=r"1 of 2 pairs .*\n  given on bad: no space left: make room"
        ) as caught:
            runner.run_many(*two)
        assert [outcome.record.task.id for outcome in caught.value.outcomes] == ["good"]
        assert store.read(caught.value.outcomes[0].path) == caught.value.outcomes[0].record

    def test_a_single_ones_error_stays_as_it_is(self, two, failing):
        failing(TaskError("no space left", "make room"))
        encoders, tasks, options = two
        with pytest.raises(TaskError, match=r"^no space left: make room$"):
            runner.run_many(encoders, tasks[:1], options)

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("ours")])
    def test_anything_else_ends_the_run(self, two, failing, error, places):
        failing(error)
        with pytest.raises(type(error)):
            runner.run_many(*two)
        assert not (places["results"] / "runs").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_without_workers_it_is_told_that_a_decoder_has_no_time_limit(make_task, tmp_path, capsys, workers):
    words = ["embed", "-e", "logmel", "-t", str(make_task(per_class=10)), "--home", str(tmp_path / "home")]
    for told in (1 - workers, 0):  # the second time there is nothing to decode
        with pytest.raises(SystemExit) as ended:
            main([*words, "--workers", str(workers)])
        assert ended.value.code == 0
        assert capsys.readouterr().err.count("With --workers 0 files are decoded in this process") == told
