"""A small additive synthesiser: tones, chords, percussion, a room, and a mix at a loudness.

Conventions: time is in seconds, pitch in (fractional) MIDI numbers with A4 = 69 = 440 Hz, levels in dB relative to full
scale, and audio in float32 arrays [samples] at :data:`SAMPLE_RATE`. Every function is pure: what is random comes from
the generator that the caller passes, so the same seed gives the same sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

SAMPLE_RATE = 22050

#: Partials above this many Hz are left out, well under half the sampling rate.
HIGHEST_PARTIAL = 9500.0

#: The resonance of a body: the amplitude it adds at its centre, and its half-width.
FORMANT_GAIN = 4.0
FORMANT_OCTAVES = 0.5

PEAK = 0.99


@dataclass(frozen=True)
class Timbre:
    """How an instrument sounds, whatever it plays.

    Attributes:
        amplitudes: Linear amplitude of each partial; :func:`tone` scales them to unit energy.
        ratios: Frequency of each partial over the fundamental's; empty means 1, 2, 3, ...
        attack: Seconds from silence to full level.
        release: Seconds of the fade at a tone's end.
        decay: Nepers a second that a struck or plucked tone loses; 0 is sustained.
        damping: Further nepers a second for each multiple of the fundamental: high partials die first.
        swell: Seconds that each further partial comes in later: brass opens up as it is blown.
        vibrato: Depth of the vibrato in cents, at about 5.5 Hz.
        formant: Hz at which the body resonates, whatever the pitch; 0 is none.
        breath: Level of the noise blown along, over the tone's.
    """

    amplitudes: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    attack: float = 0.01
    release: float = 0.05
    decay: float = 0.0
    damping: float = 0.0
    swell: float = 0.0
    vibrato: float = 0.0
    formant: float = 0.0
    breath: float = 0.0


TIMBRES: Mapping[str, Timbre] = MappingProxyType(
    {
        "flute": Timbre((1, 0.3, 0.12, 0.04), attack=0.06, vibrato=12, breath=0.08),
        "clarinet": Timbre((1, 0.04, 0.7, 0.05, 0.45, 0.05, 0.28, 0.05, 0.15), attack=0.03, formant=1900),
        "oboe": Timbre((0.5, 0.8, 1, 0.8, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1), attack=0.03, vibrato=10, formant=1100),
        "brass": Timbre((0.9, 1, 0.9, 0.75, 0.6, 0.45, 0.35, 0.25, 0.18, 0.12), attack=0.04, swell=0.03, formant=600),
        "strings": Timbre(
            (1, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.18),
            attack=0.09,
            release=0.09,
            vibrato=22,
            formant=3300,
            breath=0.03,
        ),
        "organ": Timbre((1, 0.9, 0.2, 0.8, 0.02, 0.1, 0.02, 0.6), attack=0.008, release=0.02),
        "pluck": Timbre((1, 0.7, 0.5, 0.4, 0.3, 0.22, 0.16, 0.1), attack=0.003, decay=2.0, damping=0.8, formant=400),
        "bell": Timbre(
            (1, 0.65, 0.6, 0.5, 0.4, 0.3), (1, 2.0, 2.76, 4.07, 5.42, 6.73), attack=0.003, decay=1.2, damping=0.1
        ),
        "pad": Timbre((1, 0.4, 0.2, 0.1, 0.05), attack=0.08, release=0.1),
        "piano": Timbre((1, 0.6, 0.35, 0.2, 0.12), attack=0.004, decay=1.5, damping=0.4),
        "guitar": Timbre((0.8, 1, 0.6, 0.35, 0.2), attack=0.003, decay=2.5, damping=0.6),
        "bass": Timbre((1, 0.7, 0.4, 0.2, 0.1, 0.05), attack=0.01, decay=0.8, damping=0.2),
    }
)

#: Semitones above the tonic of each chord's root, third, fifth (and seventh). Minor has the dominant of harmonic minor.
CHORDS: Mapping[str, Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "major": {
            "I": (0, 4, 7),
            "ii": (2, 5, 9),
            "iii": (4, 7, 11),
            "IV": (5, 9, 0),
            "V": (7, 11, 2),
            "V7": (7, 11, 2, 5),
            "vi": (9, 0, 4),
        },
        "minor": {
            "i": (0, 3, 7),
            "ii°": (2, 5, 8),
            "III": (3, 7, 10),
            "iv": (5, 8, 0),
            "V": (7, 11, 2),
            "V7": (7, 11, 2, 5),
            "VI": (8, 0, 3),
            "VII": (10, 2, 5),
        },
    }
)

#: Every progression ends with a cadence on the tonic: that, and the scale, is what makes the key audible. The last two
#: of each mode are as good as made of the relative key's chords: only the cadence tells.
PROGRESSIONS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "major": (
            ("I", "IV", "V", "I"),
            ("I", "vi", "IV", "V", "I"),
            ("ii", "V7", "I"),
            ("vi", "ii", "V7", "I"),
            ("IV", "V", "iii", "vi", "V7", "I"),
            ("vi", "IV", "I", "V", "I"),
            ("IV", "vi", "iii", "IV", "I"),
        ),
        "minor": (
            ("i", "iv", "V", "i"),
            ("i", "VI", "iv", "V", "i"),
            ("ii°", "V7", "i"),
            ("VI", "VII", "V7", "i"),
            ("i", "III", "iv", "V7", "i"),
            ("i", "VII", "VI", "VII", "i"),
            ("VI", "III", "VII", "iv", "i"),
        ),
    }
)


@dataclass(frozen=True)
class Note:
    """One tone of a score: when it starts, how long it lasts (both in seconds), its MIDI pitch, its linear gain."""

    start: float
    seconds: float
    pitch: float
    gain: float = 1.0


def hertz(pitch: float) -> float:
    """Return the frequency of a (fractional) MIDI pitch.

    >>> hertz(57)
    220.0
    """
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def voicing(chord: Sequence[int], tonic: int, lowest: int) -> tuple[int, ...]:
    """Return the MIDI pitches of a chord in close position, from the first that is not under ``lowest``.

    Args:
        chord: Semitones above the tonic, as in :data:`CHORDS`.
        tonic: Pitch class of the tonic, 0 (C) to 11 (B).
        lowest: The floor, a MIDI number: where it lies decides the inversion.

    >>> voicing(CHORDS["major"]["I"], tonic=0, lowest=50)
    (52, 55, 60)
    """
    return tuple(sorted(lowest + (tonic + step - lowest) % 12 for step in chord))


def envelope(samples: int, attack: float, release: float) -> Audio:
    """Return a gain [samples] that rises from 0 over ``attack`` seconds and falls to 0 over the last ``release``."""
    gain = np.ones(samples, np.float32)
    rise = min(samples // 2, max(1, round(attack * SAMPLE_RATE)))
    fall = min(samples // 2, max(1, round(release * SAMPLE_RATE)))
    gain[:rise] = np.linspace(0, 1, rise, endpoint=False, dtype=np.float32)
    gain[samples - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    return gain


def tone(timbre: Timbre, pitch: float, seconds: float, brightness: float, rng: np.random.Generator) -> Audio:
    """Render one tone.

    Args:
        timbre: The instrument.
        pitch: Fractional MIDI number, so that a cent is 0.01.
        seconds: Length, fades included.
        brightness: Exponent of the spectral tilt: a partial's amplitude is multiplied by its ratio to this power.
        rng: Draws the partials' phases, the vibrato's rate and the breath.

    Returns:
        float32 [seconds * SAMPLE_RATE]: about unit energy of the partials before envelope and decay.
    """
    samples = round(seconds * SAMPLE_RATE)
    frequency = hertz(pitch)
    ratios = np.array(timbre.ratios or range(1, len(timbre.amplitudes) + 1), np.float64)
    heard = ratios * frequency < HIGHEST_PARTIAL
    ratios = ratios[heard]
    weights = np.array(timbre.amplitudes, np.float64)[heard] * ratios**brightness
    if timbre.formant:
        octaves = np.log2(frequency * ratios / timbre.formant)
        weights *= 1 + FORMANT_GAIN * np.exp(-((octaves / FORMANT_OCTAVES) ** 2))
    weights /= np.sqrt(np.sum(weights**2))
    time = np.arange(samples) / SAMPLE_RATE
    cycles = frequency * time
    if timbre.vibrato:
        rate = 5.0 + rng.random()
        swing = frequency * (2 ** (timbre.vibrato / 1200) - 1) / (2 * np.pi * rate)
        cycles = cycles + swing * np.sin(2 * np.pi * (rate * time + rng.random()))
    # Whole cycles are taken off in double precision: float32 could not hold the phase of a high partial.
    if timbre.ratios:
        turns = np.multiply.outer(ratios, cycles)
        partials = (2 * np.pi * (turns - np.floor(turns))).astype(np.float32)
    else:
        phase = (2 * np.pi * (cycles - np.floor(cycles))).astype(np.float32)
        partials = np.multiply.outer(ratios.astype(np.float32), phase)
    partials += np.float32(2 * np.pi) * rng.random((len(ratios), 1), np.float32)
    np.sin(partials, out=partials)
    short = time.astype(np.float32)
    if timbre.damping:
        partials *= np.exp(np.multiply.outer(-(timbre.decay + timbre.damping * ratios).astype(np.float32), short))
    if timbre.swell:
        onsets = (timbre.swell * ratios).astype(np.float32)
        partials *= 1 - np.exp(-np.multiply.outer(1 / onsets, short))
    # A plain sum: a product through BLAS may round otherwise with another number of threads.
    partials *= weights.astype(np.float32)[:, None]
    sound = np.sum(partials, axis=0)
    if timbre.breath:
        sound += timbre.breath * rng.standard_normal(samples, np.float32)
    return np.asarray(sound * envelope(samples, timbre.attack, timbre.release), np.float32)


def voice(
    notes: Iterable[Note], timbre: Timbre, samples: int, brightness: float, detune: float, rng: np.random.Generator
) -> Audio:
    """Render the notes of one instrument into float32 [samples]; what sounds past the end is cut.

    Args:
        notes: What is played, in any order.
        timbre: The instrument.
        samples: Length of the result.
        brightness: Spectral tilt, see :func:`tone`.
        detune: Standard deviation of each note's pitch, in cents.
        rng: Draws the detuning and what :func:`tone` draws.
    """
    sound = np.zeros(samples, np.float32)
    for note in notes:
        first = round(note.start * SAMPLE_RATE)
        pitch = note.pitch + detune * rng.standard_normal() / 100
        played = tone(timbre, pitch, note.seconds, brightness, rng)[: max(0, samples - first)]
        sound[first : first + len(played)] += np.float32(note.gain) * played
    return sound


def percussion(beats: Sequence[float], samples: int, brightness: float, rng: np.random.Generator) -> Audio:
    """Render a drum kit into float32 [samples]: a kick on even beats, a snare on odd ones, a hi-hat between.

    Args:
        beats: Times of the beats in seconds, evenly spaced.
        samples: Length of the result.
        brightness: The same tilt as the tones', which makes the hi-hat louder or softer.
        rng: Draws the noise.
    """
    sound = np.zeros(samples, np.float32)
    time = np.arange(round(0.18 * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    kick = np.sin(2 * np.pi * (50 * time + 2.5 * (1 - np.exp(-40 * time)))) * np.exp(-18 * time)
    half = (beats[1] - beats[0]) / 2 if len(beats) > 1 else 0.25
    for index, beat in enumerate(beats):
        noise = rng.standard_normal(len(time), np.float32)
        drum = kick if index % 2 == 0 else 0.35 * noise * np.exp(-28 * time)
        _add(sound, drum, beat)
        hiss = np.diff(noise, prepend=noise[:1]) * np.exp(-70 * time)
        _add(sound, np.float32(0.2 * 2**brightness) * hiss, beat + half)
    return sound


def tremolo(sound: Audio, rate: float, depth: float) -> Audio:
    """Return ``sound`` with its level swinging ``rate`` times a second between 1 and 1 - ``depth``."""
    swing = np.cos(np.arange(len(sound), dtype=np.float32) * np.float32(2 * np.pi * rate / SAMPLE_RATE))
    return np.asarray(sound * (1 - depth * (0.5 - 0.5 * swing)), np.float32)


def room(sound: Audio, decay: float, level: float, rng: np.random.Generator) -> Audio:
    """Return ``sound`` with the echoes of a room, as sparse random taps (velvet noise), of the same length.

    Args:
        sound: float32 [samples].
        decay: Seconds until the echoes have fallen by 60 dB.
        level: Energy of all echoes together over that of the direct sound, as an amplitude ratio.
        rng: Draws the taps.
    """
    delays = np.sort(rng.integers(round(0.008 * SAMPLE_RATE), round(0.8 * decay * SAMPLE_RATE), size=36))
    gains = 10 ** (-3 * delays / (decay * SAMPLE_RATE)) * rng.choice([-1.0, 1.0], size=len(delays))
    gains *= level / np.sqrt(np.sum(gains**2))
    wet = sound.copy()
    for delay, gain in zip(delays, gains, strict=True):
        wet[delay:] += np.float32(gain) * sound[: len(sound) - delay]
    return wet


def mix(parts: Sequence[tuple[Audio, float]], level: float) -> Audio:
    """Sum parts in given proportions and set the loudness of the whole.

    Args:
        parts: (float32 [samples], dB) pairs: each part is first brought to this RMS level; a silent one stays silent.
        level: RMS of the result in dB relative to full scale.

    Returns:
        float32 [samples], RMS ``level`` unless the peak would pass :data:`PEAK`: then it is turned down to that.
    """
    total = np.zeros_like(parts[0][0])
    for sound, gain in parts:
        total += _at_level(sound, gain)
    total = _at_level(total, level)
    peak = float(np.max(np.abs(total)))
    return total * np.float32(PEAK / peak) if peak > PEAK else total


def pcm16(sound: Audio) -> npt.NDArray[np.int16]:
    """Return ``sound`` in [-1, 1] as the int16 samples of a sound file."""
    return np.round(sound * np.float32(32767)).astype(np.int16)


def _at_level(sound: Audio, level: float) -> Audio:
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return sound * np.float32(10 ** (level / 20) / rms) if rms > 0 else sound


def _add(sound: Audio, part: npt.NDArray[np.floating], start: float) -> None:
    first = round(start * SAMPLE_RATE)
    part = part[: max(0, len(sound) - first)]
    sound[first : first + len(part)] += part
