"""The ``demo`` collection: 600 clips of 4 s that this package renders itself at first use, for five small tasks.

A song has a key, a lead instrument, a tempo, a loudness and a sound; its three clips are excerpts with other harmonies,
voicings and lead pitches. Songs, never clips, are split 60/20/20. :func:`plan` decides every label with no sound made;
:func:`render` turns one clip of the plan into samples; :func:`prepare` puts all of them on disk.

Conventions of the labels: ``key`` is that of a progression which ends with a cadence on the tonic; ``instrument``
plays the lead, and in half of the songs the chords too; ``pitch`` is the note of the tonic triad that the lead keeps
returning to. ``slow`` and ``fast``, ``soft`` and ``loud`` are the ends of their scales: many clips lie between. Valence
and arousal are linear in what makes music sound glad or excited (mode, tempo, loudness, brightness, register, drums),
plus the noise of averaged human ratings. Tuning, detuning, echoes and hiss vary, so that no label is read off one
spectral bin.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from tasks.collections.demo import synthesis
from tasks.collections.demo.synthesis import CHORDS, PROGRESSIONS, SAMPLE_RATE, TIMBRES, Note
from tasks.errors import TaskError

#: Part of the seed and of the folder's name: raise it whenever a sample or a label changes.
VERSION = 1

#: Songs in each split; every song has :data:`CLIPS_PER_SONG` clips.
SONGS = (("train", 120), ("valid", 40), ("test", 40))
CLIPS_PER_SONG = 3
CLIPS = CLIPS_PER_SONG * sum(count for _, count in SONGS)
SECONDS = 4
SAMPLES = SECONDS * SAMPLE_RATE

TONICS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)
INSTRUMENTS = ("flute", "clarinet", "oboe", "brass", "strings", "organ", "pluck", "bell")
#: What the chords are played on; ``lead`` stands for the song's instrument itself.
ACCOMPANIMENTS = ("pad", "piano", "guitar", "lead", "lead", "lead")
PITCHES = tuple(range(60, 84))
TAGS = ("slow", "fast", "soft", "loud", "bright", "percussion", "tremolo", "arpeggio", "reverb", "noisy")
COLUMNS = ("track_id", "path", "split", "song", "key", "instrument", "pitch", "tags", "valence", "arousal")

#: Seconds after which an unfinished render is taken for dead: a whole one takes about ten.
STALE = 3600.0


@dataclass(frozen=True)
class DemoClip:
    """All that is decided about a clip before it is rendered; the labels follow from it.

    Attributes:
        song: Number of the song, from 0.
        excerpt: Number of the clip in its song, from 0.
        split: ``train``, ``valid`` or ``test``, the same for the whole song.
        key: One of :data:`KEYS`.
        instrument: One of :data:`INSTRUMENTS`: what the lead plays.
        accompaniment: One of :data:`ACCOMPANIMENTS`.
        pitch: MIDI number of the lead's own note.
        tempo: Beats a minute.
        level: RMS in dB relative to full scale.
        brightness: Exponent of the spectral tilt, in hundredths.
        tags: The tags that hold, in the order of :data:`TAGS`.
        valence: -1 (sad) to 1 (glad).
        arousal: -1 (calm) to 1 (excited).
    """

    song: int
    excerpt: int
    split: str
    key: str
    instrument: str
    accompaniment: str
    pitch: int
    tempo: int
    level: int
    brightness: int
    tags: tuple[str, ...]
    valence: float
    arousal: float

    @property
    def track_id(self) -> str:
        """The clip's name, such as ``song003_2``."""
        return f"song{self.song:03d}_{self.excerpt}"

    def row(self) -> dict[str, str]:
        """Return the clip's line of the manifest, by :data:`COLUMNS`."""
        return {
            "track_id": self.track_id,
            "path": f"audio/{self.track_id}.flac",
            "split": self.split,
            "song": f"song{self.song:03d}",
            "key": self.key,
            "instrument": self.instrument,
            "pitch": str(self.pitch),
            "tags": "|".join(self.tags),
            "valence": f"{self.valence:.3f}",
            "arousal": f"{self.arousal:.3f}",
        }


def plan() -> list[DemoClip]:
    """Decide all clips, in the order of their ids.

    Every split is drawn by itself from shuffled, evenly filled lists, so that each has every key and instrument, and
    positives and negatives of every tag; the lead's pitch is the one that the split has had least of.
    """
    rng = np.random.default_rng(np.random.SeedSequence([VERSION]))
    numbers = rng.permutation(sum(count for _, count in SONGS)).tolist()
    clips: list[DemoClip] = []
    for split, count in SONGS:
        clips += _plan_split(split, [numbers.pop() for _ in range(count)], rng)
    return sorted(clips, key=lambda clip: (clip.song, clip.excerpt))


def render(clip: DemoClip) -> npt.NDArray[np.int16]:
    """Return the samples of a clip, int16 [SAMPLES]; they depend on the clip alone, not on what was rendered before."""
    rng = np.random.default_rng(np.random.SeedSequence([VERSION, clip.song, clip.excerpt]))
    # What belongs to the song is drawn from the song's own seed, so that its clips agree on it.
    song = np.random.default_rng(np.random.SeedSequence([VERSION, clip.song]))
    tuning = song.uniform(-0.4, 0.4)
    brightness = clip.brightness / 100
    prominence = song.uniform(0.0, 5.0)

    beats = np.arange(0.0, SECONDS, 60 / clip.tempo)
    chords, bass = _harmony(clip, beats, tuning, rng)
    lead = _melody(clip, beats, tuning, rng)
    backing = clip.instrument if clip.accompaniment == "lead" else clip.accompaniment
    parts = [
        (synthesis.voice(chords, TIMBRES[backing], SAMPLES, brightness, 4.0, rng), 0.0),
        (synthesis.voice(bass, TIMBRES["bass"], SAMPLES, brightness, 4.0, rng), song.uniform(-8.0, -3.0)),
        (synthesis.voice(lead, TIMBRES[clip.instrument], SAMPLES, brightness, 4.0, rng), prominence),
    ]
    if "tremolo" in clip.tags:
        rate, depth = song.uniform(4.5, 7.5), song.uniform(0.6, 0.9)
        parts = [(synthesis.tremolo(sound, rate, depth), gain) for sound, gain in parts]
    if "percussion" in clip.tags:
        drums = synthesis.percussion(beats.tolist(), SAMPLES, brightness, rng)
        parts.append((drums, song.uniform(-5.0, 2.0)))
    dry = synthesis.mix(parts, -20.0)
    wet = (song.uniform(1.0, 2.0), song.uniform(0.7, 1.0)) if "reverb" in clip.tags else (0.25, 0.15)
    hiss = rng.standard_normal(SAMPLES, np.float32)
    below = song.uniform(12.0, 18.0) if "noisy" in clip.tags else song.uniform(32.0, 45.0)
    return synthesis.pcm16(synthesis.mix([(synthesis.room(dry, *wet, rng), 0.0), (hiss, -below)], clip.level))


def prepare(home: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the path of the collection's manifest under ``home``, after rendering the collection if it is not there.

    The clips are rendered into a folder beside the final one, which takes its name in one step when it is whole: a
    killed render leaves nothing that could be taken for the collection, and of two at once the later is thrown away.

    Args:
        home: Folder that holds ``collections``; made when missing.
        progress: Called with (clips done, clips in all) after each clip; what it raises ends the render.

    Raises:
        TaskError: The clips cannot be written there.
    """
    folder = home / "collections" / f"demo-{VERSION}"
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return manifest
    scratch = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        _sweep(folder)
        _write(scratch, plan(), progress)
        _put(scratch, folder)
    except (OSError, soundfile.SoundFileError) as error:
        raise TaskError(
            f"the demo collection cannot be rendered to {folder}: {error}",
            "Make room there or let it be written, or choose another home folder, then run again.",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _plan_split(split: str, songs: Sequence[int], rng: np.random.Generator) -> list[DemoClip]:
    count = len(songs)
    keys, instruments, accompaniments = (_filled(v, count, rng) for v in (KEYS, INSTRUMENTS, ACCOMPANIMENTS))
    tempi = _filled(("slow", "fast", "fast", "", "", "", ""), count, rng)
    levels = _filled(("soft", "soft", "loud", "", "", ""), count, rng)
    shares = {"bright": 0.3, "percussion": 0.45, "tremolo": 0.15, "reverb": 0.35, "noisy": 0.1}
    held = {tag: _filled_share(share, count, rng) for tag, share in shares.items()}
    arpeggios = _filled_share(0.25, count * CLIPS_PER_SONG, rng)
    used = dict.fromkeys(PITCHES, 0)
    clips = []
    for i, song in enumerate(songs):
        tempo = int(rng.integers(*{"slow": (60, 79), "fast": (134, 169), "": (88, 123)}[tempi[i]]))
        level = int(rng.integers(*{"soft": (-36, -31), "loud": (-19, -15), "": (-27, -22)}[levels[i]]))
        brightness = int(rng.integers(70, 101) if held["bright"][i] else rng.integers(-20, 11))
        pitches: list[int] = []
        for excerpt in range(CLIPS_PER_SONG):
            pitch = _lead(keys[i], used, pitches, rng)
            pitches.append(pitch)
            holding = {tempi[i], levels[i], *(tag for tag in held if held[tag][i])}
            if arpeggios[i * CLIPS_PER_SONG + excerpt]:
                holding.add("arpeggio")
            tags = tuple(tag for tag in TAGS if tag in holding)
            mood = _mood(keys[i], tempo, level, brightness, pitch, "percussion" in tags, rng)
            sound = (pitch, tempo, level, brightness, tags)
            clips.append(DemoClip(song, excerpt, split, keys[i], instruments[i], accompaniments[i], *sound, *mood))
    return clips


def _filled(values: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """Return ``count`` values, each as often as any other (give or take one), shuffled."""
    order = rng.permutation(len(values))
    return [values[order[i % len(values)]] for i in rng.permutation(count)]


def _filled_share(share: float, count: int, rng: np.random.Generator) -> list[bool]:
    """Return ``count`` booleans, shuffled, of which ``share`` (rounded) hold."""
    return [bool(place < round(share * count)) for place in rng.permutation(count)]


def _lead(key: str, used: dict[int, int], taken: Sequence[int], rng: np.random.Generator) -> int:
    """Choose a pitch of the key's tonic triad that the song has not ``taken``, of those the split has used least."""
    tonic, mode = key.split()
    triad = {(TONICS.index(tonic) + step) % 12 for step in CHORDS[mode]["I" if mode == "major" else "i"]}
    free = [pitch for pitch in PITCHES if pitch % 12 in triad and pitch not in taken]
    least = min(used[pitch] for pitch in free)
    pitch = int(rng.choice([pitch for pitch in free if used[pitch] == least]))
    used[pitch] += 1
    return pitch


def _mood(
    key: str, tempo: int, level: int, brightness: int, pitch: int, drums: bool, rng: np.random.Generator
) -> tuple[float, float]:
    mode = 1 if key.endswith("major") else -1
    speed, loudness = (tempo - 114) / 54, (level + 25.5) / 10.5
    light, height = (brightness - 40) / 60, (pitch - 71.5) / 11.5
    noise = 0.1 * rng.standard_normal(2)
    valence = 0.2 * mode + 0.15 * speed + 0.3 * light + 0.3 * height + noise[0]
    arousal = 0.25 * speed + 0.45 * loudness + 0.15 * light + 0.1 * (1 if drums else -1) + noise[1]
    return float(np.clip(valence, -1, 1)), float(np.clip(arousal, -1, 1))


def _harmony(
    clip: DemoClip, beats: npt.NDArray[np.float64], tuning: float, rng: np.random.Generator
) -> tuple[list[Note], list[Note]]:
    """Return the notes of the chords and of the bass: one progression, its changes spread over the clip's beats."""
    name, mode = clip.key.split()
    tonic, beat = TONICS.index(name), 60 / clip.tempo
    progression = PROGRESSIONS[mode][rng.integers(len(PROGRESSIONS[mode]))]
    # A slow clip has four beats: a longer progression keeps its end, where the cadence is.
    progression = progression[-min(len(progression), len(beats)) :]
    changes = [i * len(beats) // len(progression) for i in range(len(progression))]
    lowest = int(rng.integers(48, 60))
    chords, bass = [], []
    for index, start in enumerate(beats):
        at = max(i for i, change in enumerate(changes) if change <= index)
        chord = CHORDS[mode][progression[at]]
        pitches = synthesis.voicing(chord, tonic, lowest)
        if index in changes:
            length = min(beat * (([*changes, len(beats)][at + 1]) - index), SECONDS - start)
            bass.append(Note(start, length, tuning + synthesis.voicing(chord[:1], tonic, 36)[0]))
        if "arpeggio" in clip.tags:
            step = beat / len(pitches)
            chords += [Note(start + i * step, step * 1.3, tuning + p) for i, p in enumerate(pitches)]
        else:
            chords += [Note(start, beat, tuning + p, float(rng.uniform(0.7, 1.0))) for p in pitches]
    return chords, bass


def _melody(clip: DemoClip, beats: npt.NDArray[np.float64], tuning: float, rng: np.random.Generator) -> list[Note]:
    """Return the lead's notes: its own pitch for two thirds of the time, and notes of the scale around it between."""
    name, mode = clip.key.split()
    beat = 60 / clip.tempo
    scale = {(TONICS.index(name) + step) % 12 for chord in CHORDS[mode].values() for step in chord}
    around = [pitch for pitch in range(clip.pitch - 5, clip.pitch + 6) if pitch % 12 in scale and pitch != clip.pitch]
    notes: list[Note] = []
    for index, start in enumerate(beats):
        other = int(rng.choice(around))
        if index % 3 == 0:  # every third beat, the first among them, is all the lead's own
            notes.append(Note(start, beat, tuning + clip.pitch))
        else:
            halves = [clip.pitch, other] if rng.random() < 0.5 else [other, clip.pitch]
            notes += [Note(start + i * beat / 2, beat / 2, tuning + pitch) for i, pitch in enumerate(halves)]
    return notes


def manifest_text(clips: Sequence[DemoClip]) -> str:
    """Return the manifest of clips as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(clip.row() for clip in clips)
    return text.getvalue()


def _write(folder: Path, clips: Sequence[DemoClip], progress: Callable[[int, int], None] | None) -> None:
    (folder / "audio").mkdir(parents=True)
    for done, clip in enumerate(clips, start=1):
        row = clip.row()
        soundfile.write(folder / row["path"], render(clip), SAMPLE_RATE, subtype="PCM_16")
        if progress is not None:
            progress(done, len(clips))
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(manifest_text(clips))
        file.flush()
        os.fsync(file.fileno())


def _put(scratch: Path, folder: Path) -> None:
    """Give the finished ``scratch`` the collection's name, unless another process was first."""
    if folder.exists() and not (folder / "manifest.csv").is_file():
        # Someone removed the manifest: what is left is no collection, and would be in the way.
        with contextlib.suppress(FileNotFoundError):  # another process has just done the same
            folder.rename(scratch / "displaced")
        shutil.rmtree(scratch / "displaced", ignore_errors=True)
    try:
        scratch.rename(folder)
    except OSError:
        if not (folder / "manifest.csv").is_file():
            raise


def _sweep(folder: Path) -> None:
    """Remove what renders left behind that were killed more than :data:`STALE` seconds ago."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        try:
            dead = time.time() - left.stat().st_mtime > STALE
        except FileNotFoundError:  # its own render has just finished
            continue
        if dead:
            shutil.rmtree(left, ignore_errors=True)
