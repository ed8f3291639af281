import csv
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tasks.card import SPLITS, read_card
from tasks.collections import nsynth
from tasks.errors import TaskError
from tasks.sources.card import read_collection

CARDS = Path(str(resources.files("tasks").joinpath("cards")))
PITCH, FAMILY = read_card(CARDS / "nsynth_p.toml"), read_card(CARDS / "nsynth_i.toml")


def note(name):
    """Return a record in the true format."""
    instrument, pitch, velocity = name.rsplit("-", 2)
    family, source, _ = instrument.rsplit("_", 2)
    return {
        "note": 201034,
        "note_str": name,
        "pitch": int(pitch),
        "velocity": int(velocity),
        "instrument": 417,
        "instrument_str": instrument,
        "instrument_family": FAMILY.labels.index(family) if family in FAMILY.labels else 99,
        "instrument_family_str": family,
        "instrument_source": 2,
        "instrument_source_str": source,
        "qualities": [0] * 10,
        "qualities_str": ["dark"],
        "sample_rate": 16000,
    }


NOTES = {
    "train": ("vocal_synthetic_003-120-127", "bass_synthetic_033-009-025", "synth_lead_synthetic_001-060-050"),
    "valid": ("mallet_acoustic_062-060-100", "bass_electronic_018-060-075"),
    "test": ("bass_electronic_018-060-100",),
}


def write(root, split, records):
    path = root / f"nsynth-{split}" / "examples.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(records if isinstance(records, str) else json.dumps(records, indent=2))


@pytest.fixture
def root(tmp_path):
    """The three folders of the archives, without audio."""
    for split, names in NOTES.items():
        write(tmp_path, split, {name: note(name) for name in names})
    return tmp_path


def test_notes_are_sorted_within_their_splits(root):
    items = nsynth.items(PITCH, root)
    assert items.track_ids == tuple(name for split in SPLITS for name in sorted(NOTES[split]))
    assert items.splits == ("train",) * 3 + ("valid",) * 2 + ("test",)
    assert items.groups[:2] == ("bass_synthetic_033", "synth_lead_synthetic_001")
    assert items.audio[-1] == root / "nsynth-test" / "audio" / "bass_electronic_018-060-100.wav"


def test_pitch_is_a_midi_number_from_9_to_120(root):
    items = nsynth.items(PITCH, root)
    assert [items.labels[i] for i in items.targets] == ["9", "60", "120", "60", "60", "60"]
    assert items.targets.tolist() == [0, 51, 111, 51, 51, 51]
    assert items.targets.dtype == np.int64
    assert items.labels == tuple(str(number) for number in range(9, 121))


def test_the_instrument_is_its_family(root):
    items = nsynth.items(FAMILY, root)
    families = ["bass", "synth_lead", "vocal", "bass", "mallet", "bass"]
    assert [items.labels[i] for i in items.targets] == families
    assert [note(name)["instrument_family"] for name in items.track_ids] == items.targets.tolist()


def test_the_order_of_the_records_does_not_count(root):
    digest = nsynth.items(PITCH, root).digest()
    write(root, "train", {name: note(name) for name in sorted(NOTES["train"])})
    assert nsynth.items(PITCH, root).digest() == digest


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("bass_synthetic_033-008-025", {}, "the pitch '8' is not one of the card's labels"),
        ("bass_synthetic_033-060-025", {"pitch": 61}, "pitch 61 are not of its name"),
        ("bass_synthetic_033-060-025", {"pitch": "060"}, "pitch '060' are not of its name"),
        ("bass_synthetic_033-060-025", {"pitch": None}, "pitch None are not of its name"),
        ("bass_synthetic_033-060-025", {"instrument_family_str": "brass"}, "family 'brass'"),
        ("bass_synthetic_033-060-025", {"instrument_str": "bass_synthetic_034"}, "instrument 'bass_synthetic_034'"),
        ("bass_synthetic_033-060-025", {"note_str": "bass_synthetic_033-060-026"}, "its note_str is"),
        ("bass_synthetic_033-060-025 ", {}, "its note_str is"),
        ("../bass_synthetic_033-060-025", {}, "its note_str is"),
        ("bass_electronic_018-060-100", {}, r"is there twice, first in examples\.json"),
    ],
)
def test_records_that_cannot_be_used_are_named(root, name, change, complaint):
    write(root, "test", {**{known: note(known) for known in NOTES["test"]}, name: {**note(name.strip()), **change}})
    if "twice" in complaint:
        write(root, "valid", {name: note(name)})
    with pytest.raises(TaskError, match=rf"nsynth-test.examples\.json, record '{re.escape(name)}': .*{complaint}"):
        nsynth.items(PITCH, root)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (json.dumps({name: note(name) for name in NOTES["train"]}, indent=2)[:900], r"line \d+: not JSON"),
        ("<!doctype html>", "line 1: this is a web page"),
        ("[]", "line 1: a JSON object by id was expected, not list"),
        ('{"bass_synthetic_033-060-025": 3}', "record 'bass_synthetic_033-060-025': there is no 'note_str'"),
        ('{"bass_synthetic_033-060-025": {}}', "record 'bass_synthetic_033-060-025': there is no 'note_str'"),
    ],
)
def test_files_that_cannot_be_used_are_named(root, text, complaint):
    write(root, "train", text)
    with pytest.raises(TaskError, match=rf"nsynth-train.examples\.json, {complaint}"):
        nsynth.items(PITCH, root)


def test_a_missing_split_is_named(root):
    (root / "nsynth-valid" / "examples.json").unlink()
    with pytest.raises(TaskError, match=r"no annotation file .*nsynth-valid.examples\.json"):
        nsynth.items(PITCH, root)


def test_a_card_that_predicts_something_else_is_refused(root):
    with pytest.raises(TaskError, match=r"predicts 'velocity', .*: write one of pitch, instrument_family"):
        nsynth.items(PITCH.model_copy(update={"outputs": ("velocity",)}), root)


def test_the_cards_say_what_the_dataset_says():
    for card in (PITCH, FAMILY):
        assert card.sizes == {"train": 289205, "valid": 12678, "test": 4096}
        assert not card.counts_verified
    assert [source.file for source in read_collection("nsynth").sources] == [
        f"nsynth-{split}.jsonwav.tar.gz" for split in SPLITS
    ]
    assert (PITCH.window_seconds, PITCH.hop_seconds) == (1, 1)
    assert FAMILY.window_seconds == 4


def test_real_notes_of_test_have_names_and_labels_that_are_known(annotations, tmp_path):
    text = (annotations / "nsynth" / "erl-j_nsynth_test_60notes.txt").read_text(encoding="utf-8")
    names = [Path(line).stem for line in text.split()]
    assert len(names) == 60
    for split in SPLITS:
        mine = names if split == "test" else NOTES["train"] if split == "train" else NOTES["valid"][:1]
        write(tmp_path, split, {name: note(name) for name in mine})
    for card in (PITCH, FAMILY):
        assert nsynth.items(card, tmp_path).counts()["test"] == 60


@pytest.mark.parametrize(("card", "folder", "missing"), [(PITCH, "NSynth_P", set()), (FAMILY, "NSynth_I", {"mallet"})])
def test_the_published_results_have_the_same_labels_and_test_size(annotations, card, folder, missing):
    text = (annotations / "pandora-results" / folder / "precision.csv").read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    labels = {column.removeprefix("precision_class_<").removesuffix(">_micro") for column in header[2:-1]}
    assert labels | missing == set(card.labels)  # the published columns lack every label with 'all' in it
    assert not labels & missing
    right = np.array([float(row[-1]) for row in rows]) * card.sizes["test"]
    assert len(right) == 6
    np.testing.assert_allclose(right, right.round(), atol=1e-6)
