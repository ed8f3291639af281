"""Every dataset on a tiny copy in its true layout, from annotations and audio to a record."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import mir_eval.key
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import r2_score

import benchmark
from benchmark.cli.main import main
from benchmark.errors import UserError
from benchmark.jobs import protocols, runner, select
from benchmark.jobs.options import Options
from probes.protocol import protocol_for
from tasks import registry
from tasks.collections.msd import tags
from tasks.sources.card import read_collection
from tasks.sources.locations import location_of


def load_layouts():
    path = Path(__file__).parents[2] / "tasks" / "layouts.py"
    spec = importlib.util.spec_from_file_location("layouts", path)
    module = sys.modules["layouts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layouts = load_layouts()
TASKS = tuple(layouts.WRITERS)
FAST = {"trials": 1, "seeds": 1, "workers": 0, "device": "cpu"}


def shortened(**ranges):
    """Return ``protocol_for`` with other ranges, of which the middle is tried first."""

    def protocol(*names, **chosen):
        short = replace(protocol_for(*names, **chosen), first=(), **ranges)
        return replace(short, first=(short.middle(),))

    return protocol


@pytest.fixture(autouse=True)
def very_quick_protocol(quick_protocol, monkeypatch):
    """Some probes have 50 million parameters: one step or two show that all fits together."""

    monkeypatch.setattr(protocols, "protocol_for", shortened(learning_rate=(1e-4, 1e-3), steps=(1, 2)))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data home with every collection; its embeddings are shared by the tests, as by the tasks of a collection."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def expected(home):
    """Write the collection of a task, once, and return what must be found in it; one file of train is missing."""
    known = {}

    def write(name):
        if name not in known:
            collection, writer = layouts.WRITERS[name]
            root = home / "collections" / collection
            root.mkdir(parents=True, exist_ok=True)
            known[name] = writer(root)
            if not name.startswith("mirdata:"):
                lost(known[name])[1].audio.unlink(missing_ok=True)
        return known[name]

    return write


def lost(found):
    """Return the first track of train in order of ids, and what was expected of it."""
    return min((track, each) for track, each in found.items() if each.split == "train")


def differing(name, found):
    """Return by how many items the tiny copy differs from the card."""
    sizes = registry.builtin_tasks()[name].card.sizes or {}
    counts = [each.split for each in found.values()]
    return sum(abs(counts.count(split) - size) for split, size in sizes.items())


@pytest.fixture
def run(bands, home, expected, tmp_path, monkeypatch):
    """Run a task on its tiny copy; return the record, the predictions and what was expected."""

    def run(name, **options):
        found = expected(name)
        of_mirdata = name.startswith("mirdata:")
        monkeypatch.setattr(tags, "MSDS_TRAIN", 36)
        allowed = 0 if of_mirdata else differing(name, found) + 1
        settings = {**FAST, "limit": 40, "allow_missing": allowed, "home": home, "results": tmp_path / "results"}
        record = benchmark.run(bands, name, **{**settings, **options})
        predictions = pq.read_table(tmp_path / "results" / "runs" / record.task.id / record.predictions)
        return record, predictions.to_pylist(), found

    return run


def target_of(kind, value, labels):
    """Return a target of the predictions in words, as the layouts have it."""
    if kind == "multiclass":
        return labels[value]
    if kind == "regression":
        return tuple(round(number, 2) for number in value)
    return frozenset(labels[column] for column in np.flatnonzero(value))


@pytest.mark.parametrize("name", TASKS)
def test_from_annotations_and_audio_to_a_record(run, name, tmp_path):
    if name.startswith("mirdata:"):
        pytest.importorskip("mirdata")
    record, predictions, found = run(name)
    of_mirdata = name.startswith("mirdata:")
    assert record.limit == 40
    assert (tmp_path / "results" / "runs" / record.task.id / "bands.limit-40.json").is_file()
    assert abs(sum(record.data.counts.values()) - 40) <= 2
    assert min(record.data.counts.values()) > 0
    for row in predictions:
        each = found[row["track_id"]]
        assert of_mirdata or row["split"] == each.split
        assert target_of(record.task.kind, row["target"], record.data.labels) == each.target
    assert list(record.scores.test) == record.task.metrics
    if of_mirdata:
        assert record.data.missing == []
        assert record.data.labels == ["C4", "D4", "E4", "F4", "G4"]
        return
    card = registry.builtin_tasks()[name].card
    assert record.task.metrics == list(card.metrics)
    assert record.probe.hidden == list(protocol_for("paper", name).hidden[0])
    if card.labels:
        assert record.data.labels == list(card.labels)
    else:
        assert len(record.data.labels) == (2 if name == "emo" else int(name[3:]))
    track, _ = lost(found)
    assert record.data.missing[0] == track
    assert track not in {row["track_id"] for row in predictions}
    assert [text.split("items of ")[1].split()[0] for text in record.data.missing[1:]] == list(card.sizes or ())
    assert record.data.allow_missing == differing(name, found) + 1


def test_valence_and_arousal_come_from_one_probe_with_two_outputs(run):
    record, predictions, _ = run("emo")
    assert record.data.labels == ["valence", "arousal"]
    assert record.search.objective == "mean(r2_valence, r2_arousal)"
    test = [row for row in predictions if row["split"] == "test"]
    targets, outputs = (np.array([row[column] for row in test]) for column in ("target", "outputs_0"))
    assert outputs.shape == (len(test), 2)
    for column, metric in enumerate(("r2_valence", "r2_arousal")):
        value = record.scores.test[metric].value
        assert value == pytest.approx(r2_score(targets[:, column], outputs[:, column]), abs=1e-4)


def test_keys_are_scored_as_mir_eval_does_and_with_fifths_both_ways(run):
    record, predictions, _ = run("gs_key", limit=None)
    labels, scores = record.data.labels, []
    for row in predictions:
        if row["split"] == "test":
            key, guess = labels[row["target"]], labels[int(np.argmax(row["outputs_0"]))]
            score = mir_eval.key.weighted_score(key, guess)
            fifth = 0.5 * (mir_eval.key.weighted_score(guess, key) == 0.5)
            scores.append((score, max(score, fifth), key == guess))
    found = [record.scores.test[metric].value for metric in record.task.metrics]
    assert record.task.metrics == ["weighted_accuracy", "weighted_accuracy_symmetric", "accuracy"]
    assert found == pytest.approx(np.mean(scores, axis=0).tolist())
    assert found[1] >= found[0] >= found[2]


@pytest.mark.parametrize(("name", "seconds", "windows"), [("nsynth_p", 1.0, 4), ("nsynth_i", 4.0, 1)])
def test_a_task_brings_its_own_windows(run, home, name, seconds, windows):
    record, _, _ = run(name)
    assert (record.encoder.window_seconds, record.encoder.hop_seconds) == (seconds, seconds)
    (folder,) = (home / "embeddings").glob(f"*-{record.encoder.space[:16]}")
    rows = [row for shard in folder.glob("*.parquet") for row in pq.read_table(shard).to_pylist()]
    notes = [row for row in rows if row["collection"] == "nsynth"]
    assert len(notes) >= 38
    assert {(row["windows"], round(row["seconds"], 2)) for row in notes} == {(windows, 4.0)}


def test_tasks_of_one_collection_share_its_embeddings(bands, home, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(tags, "MSDS_TRAIN", 36)
    names = ("jam_50", "jam_all", "jam_mt")
    allowed = max(differing(name, expected(name)) for name in names) + 1
    options = Options(home=home, results=tmp_path / "results", limit=None, allow_missing=allowed, **FAST)
    outcomes = runner.run_many([bands], registry.find(names), options)
    assert [outcome.record.task.id for outcome in outcomes] == list(names)
    assert len({outcome.record.encoder.space for outcome in outcomes}) == 1
    assert {outcome.record.task.group for outcome in outcomes} == {"paper"}
    assert [len(outcome.record.data.labels) for outcome in outcomes] == [50, 183, 56]
    seconds = {outcome.record.data.audio_seconds for outcome in outcomes}
    assert len(seconds) == 1


def test_what_the_probe_learns_is_what_the_audio_and_the_annotations_say(run, monkeypatch):
    """The tone of a genre is the same in all splits: only audio under the right names can be told apart."""
    enough = shortened(learning_rate=(5e-3, 1e-2), steps=(300, 400), standardise=(True,))
    monkeypatch.setattr(protocols, "protocol_for", enough)
    record, _, _ = run("gtzan", limit=None)
    assert record.scores.test["accuracy"].value >= 0.7  # chance is 0.1


@pytest.fixture
def gtzan(tmp_path):
    """A folder with 50 excerpts in the true layout, and how many items the card has more."""
    root = tmp_path / "mine"
    root.mkdir()
    found = layouts.gtzan(root)
    return root, found, differing("gtzan", found)


@pytest.fixture
def no_work(monkeypatch):
    """Fail where audio is embedded or a probe is trained."""
    monkeypatch.setattr(runner, "embed", lambda *a: pytest.fail("audio was embedded"))
    monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))


class TestRefusals:
    def test_missing_audio_beyond_the_allowed_is_listed(self, bands, gtzan, tmp_path, no_work):
        root, found, more = gtzan
        gone = [each.audio for each in found.values()][::2]
        for path in gone:
            path.unlink()
        home, roots = tmp_path / "home", (f"gtzan={root}",)
        with pytest.raises(UserError) as error:
            benchmark.run(
                bands, "gtzan", **FAST, home=home, results=tmp_path / "results", data_roots=roots, allow_missing=3
            )
        message = str(error.value)
        assert f"lacks {len(gone)} of 50 audio files" in message
        assert len([line for line in message.splitlines() if line.startswith("  ") and ".wav" in line]) == 20
        assert f"--allow-missing {len(gone) + more}" in message
        listing = home / "missing-gtzan.txt"
        assert f"… and {len(gone) - 20} more: all are listed in {listing}" in message
        assert {Path(line) for line in listing.read_text().splitlines()} == {path.resolve() for path in gone}
        assert str(root.resolve()) in message
        assert not (tmp_path / "results").exists()

    def test_the_command_line_ends_with_2(self, gtzan, tmp_path, no_work, capsys):
        root, found, _ = gtzan
        next(iter(found.values())).audio.unlink()
        where = ["--home", str(tmp_path / "home"), "--results", str(tmp_path / "results")]
        with pytest.raises(SystemExit) as end:
            main(["run", "-e", "logmel", "-t", "gtzan", "--data-root", f"gtzan={root}", *where])
        assert end.value.code == 2
        errors = capsys.readouterr().err
        assert "gtzan lacks 1 of 50 audio files and has other counts than its card" in errors
        assert "bench data where gtzan" in errors

    def test_other_counts_than_the_cards(self, bands, gtzan, tmp_path, no_work):
        root, _, more = gtzan
        places = {"home": tmp_path / "home", "results": tmp_path / "results", "data_roots": (f"gtzan={root}",)}
        with pytest.raises(UserError) as error:
            benchmark.run(bands, "gtzan", **FAST, **places, allow_missing=more - 1)
        message = str(error.value)
        assert "lacks 0 of 50 audio files and has other counts than its card" in message
        for split, fewer in (("train", 443 - 30), ("valid", 197 - 10), ("test", 290 - 10)):
            assert f"{fewer} fewer items of {split} than the card" in message
        assert f"--allow-missing {more}" in message

    def test_missing_audio_of_mirdata(self, bands, tmp_path, no_work):
        pytest.importorskip("mirdata")
        root = tmp_path / "tinysol"
        root.mkdir()
        next(iter(layouts.tinysol(root).values())).audio.unlink()
        places = {"home": tmp_path / "home", "results": tmp_path / "results"}
        with pytest.raises(UserError, match=r"lacks 1 of 60 audio files, and --allow-missing is 0") as error:
            benchmark.run(bands, "mirdata:tinysol:pitch", **FAST, **places, data_roots=(f"mirdata_tinysol={root}",))
        assert f"see what mirdata's loader expects in {root}" in str(error.value)

    def test_a_split_without_any_audio(self, bands, gtzan, tmp_path, no_work):
        root, found, more = gtzan
        for each in found.values():
            if each.split == "valid":
                each.audio.unlink()
        places = {"home": tmp_path / "home", "results": tmp_path / "results", "data_roots": (f"gtzan={root}",)}
        with pytest.raises(UserError, match="gtzan has no item of valid whose audio is there"):
            benchmark.run(bands, "gtzan", **FAST, **places, allow_missing=more + 10)


def listing(root):
    """Return every path below ``root`` with its size and times, the folders' own included."""
    entries = [root, *sorted(root.rglob("*"))]
    return [(path, path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns) for path in entries]


@pytest.mark.parametrize("own", ["audio and annotations", "audio alone"])
def test_a_folder_of_the_users_is_never_written(bands, gtzan, tmp_path, own):
    root, _, more = gtzan
    home, roots = tmp_path / "home", (f"gtzan={root}",)
    if own == "audio alone":
        place = location_of(read_collection("gtzan"), home, roots)
        assert root not in (place.annotations, *place.annotations.parents)
        place.annotations.mkdir(parents=True)
        for path in root.glob("*_filtered.txt"):
            path.rename(place.annotations / path.name)
    before = listing(root)
    record = benchmark.run(
        bands, "gtzan", **FAST, limit=40, home=home, results=tmp_path / "results", data_roots=roots, allow_missing=more
    )
    assert sum(record.data.counts.values()) == 40
    assert listing(root) == before
