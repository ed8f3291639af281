import collections
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import TaskError
from tasks.readers import mirdata_loaders
from tasks.readers.mirdata_loaders import items, task_for
from tasks.readers.mirdata_splits import SEED, deal

THREE = {"train": 0.6, "valid": 0.2, "test": 0.2}


@pytest.fixture(autouse=True)
def mirdata():
    return pytest.importorskip("mirdata")


def write_index(path, tracks):
    path.write_text(json.dumps({"version": "1", "tracks": tracks}))


def write_wav(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(160))


@pytest.fixture
def tinysol(tmp_path):
    """Sixty notes: five pitches of three instruments, four times each."""
    rows = ["Path,Fold,Family,Instrument (abbr.),Instrument (in full),a,b,Pitch,Pitch ID,d,e,i,s,Resampled"]
    tracks = {}
    for n in range(60):
        instrument, pitch = ("Vn", "Fl", "Hn")[n % 3], f"{'CDEFG'[n % 5]}4"
        track_id = f"{instrument}-ord-{pitch}-mf-{n}"
        rows.append(
            f"x/{track_id}.wav,{n % 5},F,{instrument},Full {instrument},o,ord,{pitch},{60 + n % 5},mf,2,0,,FALSE"
        )
        tracks[track_id] = {"audio": [f"audio/{track_id}.wav", "0"]}
        write_wav(tmp_path / "audio" / f"{track_id}.wav")
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "TinySOL_metadata.csv").write_text("\n".join(rows) + "\n")
    write_index(tmp_path / "tinysol_index_6.0.json", tracks)
    return tmp_path


@pytest.fixture
def gtzan(tmp_path):
    tracks = {}
    for n in range(30):
        genre = ("blues", "hiphop", "rock")[n % 3]
        track_id = f"{genre}.{n:05d}"
        (tmp_path / f"{track_id}.bpm").write_text("120.5\n")
        tracks[track_id] = {
            "audio": [f"gtzan_genre/genres/{genre}/{track_id}.wav", "0"],
            "beats": [None, None],
            "tempo": [f"{track_id}.bpm", "0"],
        }
    write_index(tmp_path / "gtzan_index.json", tracks)
    return tmp_path


@pytest.fixture
def jamendo(tmp_path):
    head = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    rows = {
        n: f"track_{n:07d}\tartist_{n // 2:06d}\talbum_000001\t0/{n}.mp3\t9.5\tmood/theme---{'ab'[n % 2]}\n"
        for n in range(10)
    }
    rows[0] = rows[0].replace("\n", "\tmood/theme---b\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "autotagging_moodtheme.tsv").write_text(head + "".join(rows.values()))
    for split in range(5):
        folder = tmp_path / "data" / "splits" / f"split-{split}"
        folder.mkdir(parents=True)
        for part, numbers in (("train", (0, 1, 2, 3)), ("validation", (4, 5)), ("test", (6, 7))):
            text = head + "".join(rows[n] for n in numbers)
            (folder / f"autotagging_moodtheme-{part}.tsv").write_text(text)
    tracks = {f"track_{n:07d}": {"audio": [f"audios/0/{n}.mp3", "0"]} for n in range(10)}
    write_index(tmp_path / "mtg_jamendo_autotagging_moodtheme_index_1.0.json", tracks)
    return tmp_path


@pytest.fixture
def beatport(tmp_path):
    """Forty tracks of twenty artists; the key is a list, as it is in this loader."""
    tracks = {}
    for n in range(40):
        keys = ["A minor"] if n % 2 else ["C major", "D major"] if n % 4 == 0 else ["C major"]
        (tmp_path / f"{n}.txt").write_text("|".join(keys))
        meta = {
            "artists": [{"name": f"artist {n // 2}"}, {"name": "ann"}],
            "bpm": 120.0 + n,
            "genres": [],
            "sub_genres": [],
        }
        (tmp_path / f"{n}.json").write_text(json.dumps(meta))
        tracks[str(n)] = {"audio": [f"audio/{n}.mp3", "0"], "key": [f"{n}.txt", "0"], "meta": [f"{n}.json", "0"]}
    write_index(tmp_path / "beatport_key_index_1.0.0.json", tracks)
    return tmp_path


@pytest.fixture
def medley(tmp_path):
    rows = ["subset,instrument,instrument_id,song_id,uuid4"]
    parts = ["training", "training", "training", "validation", "test"]
    rows += [f"{parts[n % 5]},{('flute', 'violin')[n // 5 % 2]},{n // 5 % 2},{n % 5},u{n}" for n in range(20)]
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "Medley-solos-DB_metadata.csv").write_text("\n".join(rows) + "\n")
    write_index(tmp_path / "index.json", {f"u{n}": {"audio": [f"audio/u{n}.wav", "0"]} for n in range(20)})
    return tmp_path


def refusal(name, root):
    with pytest.raises(TaskError) as error:
        task_for(name, root)
    return str(error.value)


def test_pitches(tinysol):
    card, found = task_for("mirdata:tinysol:pitch", tinysol)
    assert (card.id, card.collection, card.kind) == ("mirdata.tinysol.pitch", "mirdata_tinysol", "multiclass")
    assert card.metrics == ("accuracy",)
    assert card.labels == found.labels == ("C4", "D4", "E4", "F4", "G4")
    assert found.targets.dtype == np.int64
    assert [found.labels[i] for i in found.targets] == [track_id.split("-")[2] for track_id in found.track_ids]
    assert len(found) == 60
    assert all(path.is_file() and path.is_absolute() for path in found.audio)
    assert found.groups == found.track_ids
    for split in THREE:
        assert set(found.targets[found.rows(split)]) == set(range(5))
    assert card.sizes == found.counts()
    assert "The loader's split (0, 1, 2, 3, 4) is not train and test, and is not used." in card.deviations
    assert any("tracks were dealt out by a hash" in note for note in card.deviations)
    assert "Creative Commons" in card.licence
    assert card.citation.startswith("@")


def test_it_is_read_the_same_again(tinysol):
    card, found = task_for("mirdata:tinysol:pitch", tinysol)
    again = items(card, tinysol)
    assert found.digest() == again.digest()
    assert found.audio == again.audio


def test_the_alias_of_an_attribute_and_whole_numbers(tinysol):
    card, found = task_for("mirdata:tinysol:instrument", tinysol)
    assert card.id == "mirdata.tinysol.instrument_full"
    assert found.labels == ("Full Fl", "Full Hn", "Full Vn")
    card, found = task_for("mirdata:tinysol:pitch_id", tinysol)
    assert found.labels == ("60", "61", "62", "63", "64")
    assert card.kind == "multiclass"


def test_genres_without_touching_the_tempo_that_fails(gtzan):
    card, found = task_for("mirdata:gtzan_genre:genre", gtzan)
    assert found.labels == ("blues", "hip-hop", "rock")
    assert found.audio[0] == gtzan / "gtzan_genre/genres/blues/blues.00000.wav"
    assert card.deviations[0].startswith("The loader has no usable split")


def test_a_loader_that_fails_is_named_with_its_track(gtzan, monkeypatch):
    from mirdata.datasets import gtzan_genre

    def fails(path):
        raise TypeError("only 0-dimensional arrays can be converted to Python scalars")

    monkeypatch.setattr(gtzan_genre, "load_tempo", fails)
    message = refusal("mirdata:gtzan_genre:tempo", gtzan)
    assert "cannot read 'tempo' of track 'blues.00000' of 'gtzan_genre': TypeError: only 0-dim" in message


def test_numbers_are_a_regression(gtzan, monkeypatch):
    from mirdata.datasets import gtzan_genre

    monkeypatch.setattr(gtzan_genre, "load_tempo", lambda path: float(Path(path).read_text()))
    card, found = task_for("mirdata:gtzan_genre:tempo", gtzan)
    assert (card.kind, card.metrics, card.outputs) == ("regression", ("r2_tempo",), ("tempo",))
    assert found.targets.dtype == np.float32
    assert found.targets.shape == (30, 1)
    assert found.labels == ("tempo",)
    assert all(count > 0 for count in found.counts().values())


def test_tags_with_the_loaders_own_splits(jamendo):
    card, found = task_for("mirdata:mtg_jamendo_autotagging_moodtheme:tags", jamendo)
    assert (card.kind, card.metrics) == ("multilabel", ("map", "roc_auc"))
    assert found.labels == ("a", "b")
    assert found.splits == ("train",) * 4 + ("valid",) * 2 + ("test",) * 2
    assert found.targets.tolist()[:2] == [[1, 1], [0, 1]]
    assert found.targets.dtype == np.float32
    assert found.groups[:3] == ("artist_000000", "artist_000000", "artist_000001")
    assert found.audio[3] == jamendo / "audios/0/3.mp3"
    assert card.split_rule == "the loader's own (get_track_splits())"
    assert card.deviations == ("2 of 10 tracks are in no split of the loader, and are not used.",)


def test_subsets_are_splits(medley):
    card, found = task_for("mirdata:medley_solos_db:instrument", medley)
    assert found.counts() == {"train": 12, "valid": 4, "test": 4}
    assert found.labels == ("flute", "violin")
    assert set(found.groups) == {"0", "1", "2", "3", "4"}
    assert card.deviations == ()


def test_a_split_without_valid_takes_it_from_train(tmp_path):
    tracks = {}
    for n in range(20):
        name = f"t__{n}" if n < 16 else f"t{n}"
        folder = ("cel", "flu")[n % 2]
        tracks[name] = {"audio": [f"{folder}/[a][b][c][d]{n}.wav", "0"], "annotation": [f"{n}.txt", "0"]}
        (tmp_path / f"{n}.txt").write_text("cel\t\nflu\t\n")
    write_index(tmp_path / "irmas_index_1.0.json", tracks)
    card, found = task_for("mirdata:irmas:instrument", tmp_path)
    assert card.kind == "multilabel"
    assert found.counts()["test"] == 4
    assert found.counts()["valid"] > 0
    assert found.counts()["train"] + found.counts()["valid"] == 16
    assert "The loader has no valid split: a fifth of train by track (seed 0)." in card.deviations


def test_lists_of_keys_and_artists(beatport):
    card, found = task_for("mirdata:beatport_key:key", beatport)
    assert card.kind == "multilabel"
    assert found.labels == ("A minor", "C major", "D major")
    assert found.groups[0] == "ann & artist 0"
    where = collections.defaultdict(set)
    for group, split in zip(found.groups, found.splits, strict=True):
        where[group].add(split)
    assert len(where) == 20
    assert all(len(splits) == 1 for splits in where.values())
    assert "seeded, 60/20/20, no artist in two splits" in card.split_rule


def test_single_keys_are_weighed_as_keys(tmp_path):
    tracks = {}
    for n in range(12):
        (tmp_path / f"{n}.txt").write_text(("F# minor\n", "Db major\n")[n % 2])
        (tmp_path / f"{n}.json").write_text(json.dumps({"artists": [{"name": f"a{n}"}]}))
        tracks[str(n)] = {"audio": [f"{n}.mp3", "0"], "key": [f"{n}.txt", "0"], "meta": [f"{n}.json", "0"]}
    write_index(tmp_path / "giantsteps_key_index.json", tracks)
    card, found = task_for("mirdata:giantsteps_key:key", tmp_path)
    assert found.labels == ("Db major", "F# minor")  # without the line end that the loader leaves
    assert card.metrics == ("weighted_accuracy", "accuracy")


def giantsteps_keys(folder, keys, artists):
    tracks = {}
    for n, (key, artist) in enumerate(zip(keys, artists, strict=True)):
        (folder / f"{n}.txt").write_text(f"{key}\n")
        (folder / f"{n}.json").write_text(json.dumps({"artists": [{"name": artist}]}))
        tracks[str(n)] = {"audio": [f"{n}.mp3", "0"], "key": [f"{n}.txt", "0"], "meta": [f"{n}.json", "0"]}
    write_index(folder / "giantsteps_key_index.json", tracks)


def test_an_artist_in_two_spellings_is_one_group(tmp_path):
    names = [
        ("Ana", "ANA ", "Ana\u200b")[n % 3] + f" {'é' if n % 2 else chr(101) + chr(0x301)}{n // 6}" for n in range(24)
    ]
    giantsteps_keys(tmp_path, ["F# minor", "Db major"] * 12, names)
    card, found = task_for("mirdata:giantsteps_key:key", tmp_path)
    assert len(set(found.groups)) == 4
    assert len(set(zip(found.groups, found.splits, strict=True))) == 4
    assert any("spellings of the artist are 4" in note for note in card.deviations)


def test_two_spellings_of_a_key_are_refused_with_both_tracks(tmp_path):
    giantsteps_keys(tmp_path, ["F# minor", "Gb minor", "C major"] * 8, [f"a{n}" for n in range(24)])
    message = refusal("mirdata:giantsteps_key:key", tmp_path)
    assert "'F# minor' (track 0) and 'Gb minor' (track 1), which are one key in two spellings" in message


class TestRefusals:
    def test_names(self, tinysol):
        assert "is not of the form mirdata:<loader>:<attribute>" in refusal("mirdata:tinysol", tinysol)
        assert "mirdata has no loader 'tinysoul': did you mean 'tinysol'" in refusal("mirdata:tinysoul:pitch", tinysol)
        message = refusal("mirdata:tinysol:pich", tinysol)
        assert "has no attribute 'pich': did you mean 'pitch'" in message
        assert "It has dynamics, dynamics_id, family" in message
        assert "audio_path" not in message

    def test_without_an_index(self, tmp_path):
        message = refusal("mirdata:tinysol:pitch", tmp_path)
        assert f"put the index tinysol_index_6.0.json into {tmp_path}" in message

    def test_two_indexes(self, tinysol):
        (tinysol / "tinysol_index_6.0.json").rename(tinysol / "a_index.json")
        write_index(tinysol / "b_index.json", {})
        assert "has 2 index files and none is called tinysol_index_6.0.json" in refusal(
            "mirdata:tinysol:pitch", tinysol
        )

    @pytest.mark.parametrize("text", ["{", "[]", '{"version": "1"}', '{"tracks": []}', '{"tracks": {"a": {}}}'])
    def test_a_damaged_index(self, tinysol, text):
        (tinysol / "tinysol_index_6.0.json").write_text(text)
        assert str(tinysol / "tinysol_index_6.0.json") in refusal("mirdata:tinysol:pitch", tinysol)

    def test_a_missing_table_of_the_loader(self, tinysol):
        (tinysol / "annotation" / "TinySOL_metadata.csv").unlink()
        assert "Metadata not found" in refusal("mirdata:tinysol:pitch", tinysol)

    def test_tracks_without_a_value(self, tinysol):
        assert "'string_id' of the mirdata loader 'tinysol' has no value for 60 of 60" in refusal(
            "mirdata:tinysol:string_id", tinysol
        )

    def test_a_track_that_the_table_lacks(self, tinysol):
        path = tinysol / "annotation" / "TinySOL_metadata.csv"
        path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
        assert "has no value for 1 of 60 tracks (Hn-ord-G4-mf-59)" in refusal("mirdata:tinysol:pitch", tinysol)

    def test_values_that_are_no_labels(self, gtzan, monkeypatch):
        from mirdata.datasets import gtzan_genre

        monkeypatch.setattr(gtzan_genre, "load_beats", lambda path: {"times": []})
        assert "holds dict, not labels or numbers" in refusal("mirdata:gtzan_genre:beats", gtzan)

    def test_labels_that_are_never_in_train(self, medley):
        path = medley / "annotation" / "Medley-solos-DB_metadata.csv"
        path.write_text(path.read_text().replace("test,flute", "test,harp"))
        assert "1 labels are never in train, such as 'harp'" in refusal("mirdata:medley_solos_db:instrument", medley)

    def test_too_few_tracks(self, tinysol):
        path = tinysol / "tinysol_index_6.0.json"
        tracks = dict(list(json.loads(path.read_text())["tracks"].items())[:2])
        write_index(path, tracks)
        assert "2 groups of tracks cannot be dealt out" in refusal("mirdata:tinysol:pitch", tinysol)

    def test_without_mirdata(self, tinysol, monkeypatch):
        monkeypatch.setitem(sys.modules, "mirdata", None)
        assert "install it with 'pip install mirdata'" in refusal("mirdata:tinysol:pitch", tinysol)


def test_importing_the_adapter_does_not_import_mirdata():
    code = "import sys, tasks.readers.mirdata_loaders; sys.exit('mirdata' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert mirdata_loaders.__doc__


@given(st.integers(3, 60), st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_dealing_out(n, n_labels, per_item, seed):
    rng = np.random.default_rng(seed)
    groups = [f"g{rng.integers(n)}" for _ in range(2 * n)]
    labels = [[f"l{label}" for label in rng.integers(n_labels, size=per_item)] for _ in groups]
    if len(set(groups)) < 3:
        return
    parts, notes = deal(groups, labels, THREE)
    assert deal(groups, labels, THREE) == (parts, notes)
    owner = dict(zip(groups, parts, strict=True))
    assert [owner[group] for group in groups] == parts
    holders = collections.defaultdict(set)
    for group, names in zip(groups, labels, strict=True):
        for name in names:
            holders[name].add(group)
    for found in holders.values():
        splits = {owner[group] for group in found}
        assert "train" in splits
        if len(found) < 3:
            assert splits == {"train"}
            assert any("fewer than 3 groups" in note for note in notes)
        elif splits != set(THREE):
            assert any("not in every split" in note for note in notes)


@given(st.dictionaries(st.text("abcdef", min_size=1), st.sampled_from("xyz"), min_size=12))
def test_a_label_a_group_is_in_every_split_if_it_can_be(label_of):
    groups, labels = list(label_of), [[label] for label in label_of.values()]
    parts, notes = deal(groups, labels, THREE)
    for label in set(label_of.values()):
        found = {part for part, names in zip(parts, labels, strict=True) if names == [label]}
        several = sum(names == [label] for names in labels) >= 3
        assert found == (set(THREE) if several else {"train"})
    assert not any("not in every split" in note for note in notes)


def test_the_shares_are_kept_in_the_long_run_and_an_added_track_moves_no_other():
    groups = [f"group {i}" for i in range(5000)]
    parts, notes = deal(groups, [("",)] * 5000, THREE)
    assert notes == []
    for split, share in THREE.items():
        assert parts.count(split) / 5000 == pytest.approx(share, abs=0.02)
    more, _ = deal([*groups, "another"], [("",)] * 5001, THREE)
    assert more[:-1] == parts
    assert SEED == 0
    assert "".join(part[:2] for part in parts[:10]) == "tetrtrtrtetrtrtrtrtr"
