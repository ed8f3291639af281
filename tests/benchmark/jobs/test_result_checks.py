"""One flipped bit in a record, its predictions, an exported probe or a journal is never read silently."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.errors import UserError
from benchmark.jobs import result_checks
from benchmark.jobs.result_checks import record_state, refuse_altered, results_of, score_differences
from benchmark.reports.compare import compare
from benchmark.reports.labels import labels
from probes.export.files import ProbeFileError, load
from probes.search.storage import StorageError, open_study
from results import store
from results.digests import content_digests
from results.predictions import read_split
from results.record import RecordError

FAST = {"trials": 2, "seeds": 2, "workers": 0}
FLIPS = 250
SCHEMA_2 = Path(__file__).parents[2] / "results" / "schema_2"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A results folder with one record, its predictions and its journal, and its exported probe; made once."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)) + 2 * np.eye(3, 8)[np.arange(60) % 3]
    ids = [f"t{i}" for i in range(60)]
    np.savez(folder / "given.npz", ids=np.array(ids), embeddings=vectors.astype(np.float32))
    splits = [("train", "train", "train", "valid", "test")[(i // 3) % 5] for i in range(60)]
    lines = ["id,path,split,tone", *(f"{one},{one}.wav,{splits[i]},{'abc'[i % 3]}" for i, one in enumerate(ids))]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    (folder / "card.toml").write_text(
        'id = "tones"\ntitle = "Tones"\nkind = "multiclass"\nmetrics = ["accuracy"]\nmanifest = "manifest.csv"\n'
        'columns = { id = "id", audio = "path", split = "split", target = "tone" }\n[probe]\nhidden = [4]\n'
    )
    benchmark.run(
        f"emb:{folder / 'given.npz'}", folder / "card.toml", home=folder / "home", results=folder / "results",
        export=folder / "probes", **FAST,
    )  # fmt: skip
    return folder


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made / "results", tmp_path / "results")
    shutil.copytree(made / "probes", tmp_path / "probes")
    return tmp_path


def flips(data: bytes, seed: int = 0):
    """Yield ``data`` with one bit flipped, in places drawn over the whole of it."""
    rng = np.random.default_rng(seed)
    for place, bit in zip(rng.integers(len(data), size=FLIPS), rng.integers(8, size=FLIPS), strict=True):
        changed = bytearray(data)
        changed[place] ^= 1 << int(bit)
        yield bytes(changed)


def silent(path: Path, read, errors: tuple[type[Exception], ...]) -> list[object]:
    """Return what was read differently from a file with one flipped bit, without a word."""
    whole, before = path.read_bytes(), read()
    found = []
    for data in flips(whole):
        path.write_bytes(data)
        try:
            now = read()
        except errors:
            continue
        if now != before:
            found.append(now)
    path.write_bytes(whole)
    assert read() == before
    return found


class TestFlippedBits:
    def test_in_a_record(self, copy):
        path = copy / "results" / "runs" / "tones" / "given.json"
        assert silent(path, lambda: store.read(path), (RecordError,)) == []

    def test_in_predictions(self, copy):
        results = copy / "results"
        (record,) = store.read_all(results)

        def read():
            held = [read_split(results, record, split) for split in ("valid", "test")]
            return [(one.track_ids, one.targets.tolist(), [each.tolist() for each in one.outputs]) for one in held]

        assert silent(store.predictions_path(results, record), read, (RecordError,)) == []

    def test_in_predictions_of_an_older_record_that_change_a_score(self, tmp_path):
        shutil.copytree(SCHEMA_2, tmp_path / "results")
        results = tmp_path / "results"
        record = store.read_all(results)[0]
        path = store.predictions_path(results, record)
        data = path.read_bytes()
        for changed in flips(data):
            path.write_bytes(changed)
            try:
                found = result_checks.recomputed(results, record, "test")
            except RecordError:
                continue
            said = {metric: score.seeds for metric, score in record.scores.test.items()}
            same = all(
                len(found[metric]) == len(seeds) and np.allclose(found[metric], seeds, atol=1e-6)
                for metric, seeds in said.items()
            )
            if not same:
                with pytest.raises(RecordError):
                    refuse_altered(results, record)

    @pytest.mark.parametrize("name", ["probe.json", "probe.safetensors"])
    def test_in_an_exported_probe(self, copy, name):
        folder = copy / "probes" / "tones" / "given"

        def read():
            probe, card = load(folder)
            return card, {name: array.tolist() for name, array in probe.tensors().items()}

        assert silent(folder / name, read, (ProbeFileError,)) == []

    def test_in_a_journal(self, copy):
        (path,) = (copy / "results" / "studies").glob("*.journal")

        def read():
            with open_study(None, path.parent, path.stem) as study:
                return [(trial.number, trial.params, trial.values, trial.user_attrs) for trial in study.trials]

        assert silent(path, read, (StorageError,)) == []

    def test_a_lost_line_end_costs_no_more_than_the_last_line(self, copy):
        (path,) = (copy / "results" / "studies").glob("*.journal")
        path.write_bytes(path.read_bytes()[:-1] + b"\x8a")
        with open_study(None, path.parent, path.stem) as study:
            assert len(study.trials) == 2


class TestScores:
    def alter(self, results, change, sign=True):
        path = results / "runs" / "tones" / "given.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["sha256"]
        change(content)
        if sign:
            content["sha256"] = content_digests(content)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def test_that_the_predictions_do_not_give_are_refused_where_they_are_compared(self, copy):
        results = copy / "results"
        path = self.alter(results, lambda content: content["scores"]["test"]["accuracy"]["seeds"].__setitem__(1, 0.25))
        for look in (
            lambda: labels(str(path), None, results=results),
            lambda: refuse_altered(results, store.read(path)),
        ):
            with pytest.raises(RecordError, match=r"test accuracy of probe 1 is 0\.250000, its predictions give"):
                look()

    def test_a_value_that_is_not_the_mean_of_its_seeds(self, copy):
        path = self.alter(copy / "results", lambda content: content["scores"]["test"]["accuracy"].update(value=0.01))
        (found,) = score_differences(copy / "results", store.read(path), "test")
        assert found == "test accuracy is 0.010000, which is not the mean of its seeds"

    def test_are_computed_once_for_the_same_digests(self, copy, monkeypatch, tmp_path):
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / "another"))
        results = copy / "results"
        (record,) = store.read_all(results)
        refuse_altered(results, record)
        monkeypatch.setattr(result_checks, "recomputed", lambda *a: pytest.fail("computed again"))
        refuse_altered(results, record)
        monkeypatch.undo()

    def test_a_home_that_cannot_be_written_costs_time_alone(self, copy, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / "file"))
        (record,) = store.read_all(copy / "results")
        refuse_altered(copy / "results", record)

    def test_compare_reads_them(self, copy):
        results = copy / "results"
        self.alter(results, lambda content: content["scores"]["test"]["accuracy"]["seeds"].__setitem__(0, 0.3))
        (record,) = store.read_all(results)
        store.write_predictions(results, "tones", "given", "c" * 64, store.read_predictions(results, record))
        other = record.model_copy(update={"encoder": record.encoder.model_copy(update={"id": "other"})})
        store.write(results, other)
        with pytest.raises(RecordError, match=r"test accuracy of probe 0 is 0\.300000"):
            print(compare("given", "other", [], results=results))


class TestVerify:
    def verify(self, capsys, *words, code=0):
        with pytest.raises(SystemExit) as end:
            main(["results", "verify", *map(str, words)])
        assert (end.value.code or 0) == code
        return capsys.readouterr().out

    def test_what_is_sound(self, copy, capsys):
        folder = copy / "probes" / "tones" / "given"
        assert self.verify(capsys, "--results", copy / "results").endswith(
            "2 looked at: 0 differ, 0 without digests, 0 signed\n"
        )
        assert "0 differ" in self.verify(capsys, folder)

    def test_an_edited_record_is_told_by_its_parts_and_signed_anew(self, copy, capsys):
        results = copy / "results"
        path = TestScores().alter(results, lambda content: content["task"].update(title="Other"), sign=False)
        path.write_text(path.read_text().replace('"task"', '"sha256": {}, "task"', 1))
        with pytest.raises(RecordError, match="bench results verify --sign"):
            store.read(path)
        content = json.loads(path.read_text())
        del content["sha256"]
        honest = content_digests(content) | {"task": "0" * 64}
        path.write_text(json.dumps(content | {"sha256": honest}))
        out = self.verify(capsys, path, code=1)
        assert "changed since it was written: task\n" in out
        assert "signed as it is now" in self.verify(capsys, "--sign", path)
        assert store.read(path).task.title == "Other"
        assert "0 differ" in self.verify(capsys, path)

    def test_edited_scores_are_named_with_what_the_predictions_give(self, copy, capsys):
        path = TestScores().alter(
            copy / "results", lambda content: content["scores"]["test"]["accuracy"]["seeds"].__setitem__(1, 0.25)
        )
        assert "test accuracy of probe 1 is 0.250000, its predictions give" in self.verify(capsys, path, code=1)

    def test_edited_predictions(self, copy, capsys):
        results = copy / "results"
        (record,) = store.read_all(results)
        path = store.predictions_path(results, record)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(bytes(data))
        assert "predictions" in self.verify(capsys, "--results", results, code=1)

    def test_an_edited_probe_is_signed_anew(self, copy, capsys):
        folder = copy / "probes" / "tones" / "given"
        card = folder / "probe.json"
        card.write_text(card.read_text().replace('"title": "Tones"', '"title": "Notes"'))
        with pytest.raises(ProbeFileError, match="bench results verify --sign"):
            load(folder)
        assert "changed since it was written: probe.json" in self.verify(capsys, folder, code=1)
        self.verify(capsys, "--sign", folder)
        assert load(folder)[1].task.title == "Notes"

    def test_a_changed_journal_is_named_and_not_signed(self, copy, capsys):
        (journal,) = (copy / "results" / "studies").glob("*.journal")
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([*lines[:2], lines[2].replace(b"0", b"1", 1), *lines[3:]]))
        for words in (["--results", copy / "results"], ["--sign", journal]):
            assert "its line 3 is not as it was written" in self.verify(capsys, *words, code=1)
        journal.write_text('{"op_code":0}\n')
        assert "no search continues from it" in self.verify(capsys, journal)

    def test_older_records_are_said_to_be_unchecked_and_can_be_signed(self, tmp_path, capsys):
        shutil.copytree(SCHEMA_2, tmp_path / "results")
        out = self.verify(capsys, "--results", tmp_path / "results")
        assert out.count("unchecked, the record of") == 2
        assert "schema 2, without digests" in out
        self.verify(capsys, "--sign", "--results", tmp_path / "results")
        assert all(record.checked for record in store.read_all(tmp_path / "results"))
        files = sorted((tmp_path / "results" / "runs").rglob("*.json"))
        assert [json.loads(path.read_text())["schema_version"] for path in files] == [3, 3]
        before = [path.read_bytes() for path in files]
        assert self.verify(capsys, "--sign", "--results", tmp_path / "results").endswith("0 signed\n")
        assert [path.read_bytes() for path in files] == before

    def test_older_records_are_compared_with_a_note(self, capsys):
        print(compare("chroma", "logmel", [], results=SCHEMA_2))
        out = capsys.readouterr().out
        assert "The record of chroma on demo_emotion is of schema 2, without digests: not checked for damage." in out
        print(labels(str(SCHEMA_2 / "runs" / "demo_emotion" / "logmel.json"), None, results=SCHEMA_2))
        assert "The record of logmel on demo_emotion is of schema 2" in capsys.readouterr().out

    def test_what_is_no_record(self, tmp_path, capsys):
        (tmp_path / "x.json").write_text("[]")
        assert "schema_version is None" in self.verify(capsys, tmp_path / "x.json", code=1)
        with pytest.raises(SystemExit) as end:
            main(["results", "verify", "--results", str(tmp_path)])
        assert end.value.code == 2
        with pytest.raises(UserError, match="no probe at"):
            result_checks.probe_state(tmp_path)

    def test_a_record_elsewhere_than_where_it_belongs(self, copy):
        path = copy / "results" / "runs" / "tones" / "given.json"
        moved = path.rename(path.with_name("other.json"))
        assert "it belongs in" in " ".join(record_state(moved).differs)
        assert results_of(moved) == copy / "results"
        assert results_of(copy / "x.json") is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no fifos")
class TestFifos:
    def test_among_the_results_are_refused_and_not_waited_for(self, copy):
        import os

        results = copy / "results"
        (record,) = store.read_all(results)
        predictions = store.predictions_path(results, record)
        predictions.unlink()
        os.mkfifo(predictions)
        with pytest.raises(RecordError, match="not a regular file"):
            store.read_predictions(results, record)
        with pytest.raises(RecordError):
            read_split(results, record)
        path = results / "runs" / "tones" / "given.json"
        path.unlink()
        os.mkfifo(path)
        for look in (lambda: store.read(path), lambda: store.read_all(results), lambda: store.write(results, record)):
            with pytest.raises(RecordError, match="regular file"):
                look()
        (journal,) = (results / "studies").glob("*.journal")
        journal.unlink()
        os.mkfifo(journal)
        with pytest.raises(StorageError, match="regular file"), open_study(None, journal.parent, journal.stem):
            pass

    def test_in_the_place_of_a_probes_files(self, copy):
        import os

        folder = copy / "probes" / "tones" / "given"
        for name in ("probe.safetensors", "probe.json"):
            (folder / name).unlink()
            os.mkfifo(folder / name)
            with pytest.raises(ProbeFileError, match="regular file"):
                load(folder)
