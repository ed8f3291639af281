import csv
import hashlib
import os
import time
from collections import Counter
from pathlib import Path

import mir_eval
import numpy as np
import pytest
import soundfile

from tasks.card import read_card
from tasks.collections.demo import collection as demo
from tasks.collections.demo.synthesis import CHORDS, SAMPLE_RATE
from tasks.errors import TaskError

CARDS = Path(demo.__file__).parents[2] / "cards"
SPLITS = {"train": 360, "valid": 120, "test": 120}


@pytest.fixture(scope="module")
def clips():
    return demo.plan()


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(demo, "SONGS", (("train", 3), ("valid", 2), ("test", 2)))
    return 7 * demo.CLIPS_PER_SONG


def by_split(clips, name):
    return {split: Counter(getattr(clip, name) for clip in clips if clip.split == split) for split in SPLITS}


def rows_of(manifest):
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest_of(folder):
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".flac":
            digest.update(soundfile.read(path, dtype="int16")[0].tobytes())
        elif path.is_file():
            digest.update(path.read_bytes())
        digest.update(path.name.encode())
    return digest.hexdigest()


def profile_of(samples):
    """Energy per semitone of the clip, at its own tuning, as pitch number -> energy."""
    size = 8192
    frames = np.lib.stride_tricks.sliding_window_view(samples / 32768, size)[:: size // 2] * np.hanning(size)
    magnitude = np.abs(np.fft.rfft(frames, axis=1)).mean(0)[1:]
    pitch = 69 + 12 * np.log2(np.arange(1, size // 2 + 1) * SAMPLE_RATE / size / 440)
    inside = (pitch > 40) & (pitch < 95)
    peaks = inside & (magnitude > np.roll(magnitude, 1)) & (magnitude > np.roll(magnitude, -1))
    tuning = np.angle(np.sum(magnitude[peaks] * np.exp(2j * np.pi * pitch[peaks]))) / (2 * np.pi)
    nearest = np.round(pitch - tuning).astype(int)
    close = inside & (np.abs(pitch - tuning - nearest) < 0.3)
    return np.bincount(nearest[close], np.sqrt(magnitude[close]), minlength=128)


def test_the_plan_has_the_counts_it_declares(clips):
    assert len(clips) == demo.CLIPS == 600
    assert Counter(clip.split for clip in clips) == SPLITS
    assert len({clip.track_id for clip in clips}) == 600
    assert [clips[0].track_id, clips[-1].track_id] == ["song000_0", "song199_2"]


def test_clips_of_a_song_share_what_belongs_to_the_song(clips):
    for name in ("split", "key", "instrument", "accompaniment", "tempo", "level", "brightness"):
        assert len({(clip.song, getattr(clip, name)) for clip in clips}) == 200, name
    assert len({(clip.song, clip.pitch) for clip in clips}) == 600


@pytest.mark.parametrize(
    ("name", "values"), [("key", demo.KEYS), ("instrument", demo.INSTRUMENTS), ("pitch", demo.PITCHES)]
)
def test_every_label_occurs_in_every_split(clips, name, values):
    for counts in by_split(clips, name).values():
        assert set(counts) == set(values)
    assert min(by_split(clips, name)["train"].values()) >= 10


@pytest.mark.parametrize("tag", demo.TAGS)
def test_every_tag_has_positives_and_negatives_in_every_split(clips, tag):
    for split, count in SPLITS.items():
        positives = sum(tag in clip.tags for clip in clips if clip.split == split)
        assert 0.05 * count < positives < 0.6 * count


def test_tags_say_what_the_clip_is_made_of(clips):
    assert {len(clip.tags) for clip in clips} >= {0, 1, 2, 3, 4}
    for clip in clips:
        assert ("slow" in clip.tags, "fast" in clip.tags) == (clip.tempo < 80, clip.tempo > 130)
        assert ("soft" in clip.tags, "loud" in clip.tags) == (clip.level < -30, clip.level > -20)
        assert ("bright" in clip.tags) == (clip.brightness > 40)


def test_the_lead_has_a_pitch_of_the_tonic_triad_and_keys_are_spelled_as_mir_eval_does(clips):
    for clip in clips:
        tonic, mode = clip.key.split()
        triad = CHORDS[mode]["I" if mode == "major" else "i"]
        assert (clip.pitch - demo.TONICS.index(tonic)) % 12 in triad
        mir_eval.key.validate_key(clip.key)


def test_mood_follows_mode_brightness_and_loudness(clips):
    valence, arousal = (np.array([getattr(clip, name) for clip in clips]) for name in ("valence", "arousal"))
    causes = np.array([(clip.key.endswith("major"), clip.brightness, clip.pitch, clip.level) for clip in clips], float)
    assert np.abs([valence, arousal]).max() <= 1
    assert np.std(valence) > 0.25
    assert np.std(arousal) > 0.25
    assert min(np.corrcoef(valence, causes[:, i])[0, 1] for i in range(3)) > 0.3
    assert np.corrcoef(arousal, causes[:, 3])[0, 1] > 0.6
    assert abs(np.corrcoef(valence, arousal)[0, 1]) < 0.6


def test_the_labels_are_the_ones_of_this_version(clips):
    """Raise demo.VERSION when this digest has to change: cached renders and embeddings hang on it."""
    columns = ("track_id", "split", "song", "key", "instrument", "pitch", "tags")
    text = "\n".join(",".join(clip.row()[column] for column in columns) for clip in clips)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "97f0fb329d8e4833ca345e11400b3fa8d99823c704a06fc83c5898e58aa4551a"
    )


def test_a_clip_is_the_same_whatever_was_rendered_before(clips):
    first = demo.render(clips[7])
    demo.render(clips[3])
    assert np.array_equal(first, demo.render(clips[7]))
    assert not np.array_equal(first, demo.render(clips[8]))


def test_clips_have_the_length_and_the_loudness_that_was_planned(clips):
    chosen = clips[::25]
    levels = []
    for clip in chosen:
        samples = demo.render(clip)
        assert samples.shape == (demo.SECONDS * SAMPLE_RATE,)
        assert samples.dtype == np.int16
        assert np.abs(samples.astype(int)).max() < 32767
        levels.append(10 * np.log10(np.mean((samples / 32767) ** 2)))
    assert np.std(levels) > 4
    assert np.median(np.abs(np.array(levels) - [clip.level for clip in chosen])) < 0.1


def test_key_and_lead_are_audible(clips):
    """A key profile finds the key (chance scores under 0.1); the lead's pitch stands out of both its neighbours."""
    chosen = clips[::10]
    scales = {
        "major": (5, 2, 3.5, 2, 4.5, 4, 2, 4.5, 2, 3.5, 1.5, 4),
        "minor": (5, 2, 3.5, 4.5, 2, 4, 2, 4.5, 3.5, 2, 1.5, 4),
    }
    templates = np.array([np.roll(scales[key.split()[1]], demo.TONICS.index(key.split()[0])) for key in demo.KEYS])
    score, found = 0.0, 0
    for clip in chosen:
        profile = profile_of(demo.render(clip))
        chroma = profile[:120].reshape(10, 12).sum(0)
        key = demo.KEYS[int(np.argmax([np.corrcoef(chroma, template)[0, 1] for template in templates]))]
        score += mir_eval.key.weighted_score(clip.key, key) / len(chosen)
        found += profile[clip.pitch] > 1.2 * max(profile[clip.pitch - 1], profile[clip.pitch + 1])
    assert score > 0.6
    assert found > 0.8 * len(chosen)


def test_prepare_writes_a_manifest_beside_four_second_mono_clips(tmp_path, few):
    seen = []
    manifest = demo.prepare(tmp_path, lambda done, total: seen.append((done, total)))
    assert manifest == tmp_path / "collections" / "demo-1" / "manifest.csv"
    assert seen == [(i + 1, few) for i in range(few)]
    rows = rows_of(manifest)
    assert len(rows) == few
    assert tuple(rows[0]) == demo.COLUMNS
    assert len(list((manifest.parent / "audio").iterdir())) == few
    for row in rows:
        info = soundfile.info(manifest.parent / row["path"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (22050, 1, 88200, "PCM_16")
        assert row["path"] == f"audio/{row['track_id']}.flac"
        assert set(row["tags"].split("|")) <= {*demo.TAGS, ""}
    assert os.listdir(tmp_path / "collections") == ["demo-1"]  # noqa: PTH208


def test_prepare_gives_the_same_bytes_every_time(tmp_path, few):
    one, two = (digest_of(demo.prepare(tmp_path / name).parent) for name in ("one", "two"))
    assert one == two


def test_prepare_renders_once(tmp_path, few):
    manifest = demo.prepare(tmp_path)
    before = manifest.stat().st_mtime_ns
    assert demo.prepare(tmp_path, lambda done, total: pytest.fail("rendered again")) == manifest
    assert manifest.stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_killed_render_leaves_nothing_and_the_next_one_succeeds(tmp_path, few, kind):
    def stop(done, total):
        if done == 3:
            raise kind

    with pytest.raises(kind):
        demo.prepare(tmp_path, stop)
    assert list((tmp_path / "collections").iterdir()) == []
    assert len(rows_of(demo.prepare(tmp_path))) == few


def test_old_scratch_folders_are_removed_and_young_ones_left_to_their_render(tmp_path, few):
    old, young = (tmp_path / "collections" / f".demo-1-{name}" for name in ("old", "young"))
    for left in (old, young):
        (left / "audio").mkdir(parents=True)
        (left / "audio" / "song000_0.flac").write_bytes(b"half")
    hours_ago = time.time() - 2 * demo.STALE
    os.utime(old, (hours_ago, hours_ago))
    demo.prepare(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_of_two_renders_at_once_the_first_stays(tmp_path, few):
    def rival(done, total):
        if done == total:
            winner = demo.prepare(tmp_path)
            (winner.parent / "mark").touch()

    manifest = demo.prepare(tmp_path, rival)
    assert (manifest.parent / "mark").exists()
    assert [path.name for path in (tmp_path / "collections").iterdir()] == ["demo-1"]


def test_a_folder_that_lost_its_manifest_is_replaced(tmp_path, few):
    manifest = demo.prepare(tmp_path)
    whole = digest_of(manifest.parent)
    manifest.unlink()
    (manifest.parent / "audio" / "song000_0.flac").unlink()
    assert digest_of(demo.prepare(tmp_path).parent) == whole
    assert [path.name for path in (tmp_path / "collections").iterdir()] == ["demo-1"]


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    home = tmp_path / "file"
    home.touch()
    with pytest.raises(TaskError, match=r"demo collection cannot be rendered to .*file"):
        demo.prepare(home)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("key", demo.KEYS),
        ("instrument", demo.INSTRUMENTS),
        ("pitch", tuple(str(pitch) for pitch in demo.PITCHES)),
        ("tags", demo.TAGS),
        ("emotion", None),
    ],
)
def test_the_cards_agree_with_the_collection(name, labels):
    card = read_card(CARDS / f"demo_{name}.toml")
    assert card.id == f"demo_{name}"
    assert (card.collection, card.groups, card.sizes) == ("demo", ("demo",), SPLITS)
    assert card.labels == labels
    used = {card.columns.id, card.columns.audio, card.columns.split, card.columns.group, *card.targets}
    assert used <= set(demo.COLUMNS)
