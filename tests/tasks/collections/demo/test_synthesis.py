import numpy as np
import pytest

from tasks.collections.demo import synthesis
from tasks.collections.demo.synthesis import CHORDS, PROGRESSIONS, SAMPLE_RATE, TIMBRES, Note, Timbre


def rng(seed=0):
    return np.random.default_rng(seed)


def level(sound):
    return 20 * np.log10(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def spectrum(sound):
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE), power


def centroid(sound):
    frequencies, power = spectrum(sound)
    return np.sum(frequencies * power) / np.sum(power)


@pytest.mark.parametrize("name", TIMBRES)
def test_a_tone_of_every_timbre_is_finite_audible_and_as_long_as_asked(name):
    sound = synthesis.tone(TIMBRES[name], 60, 0.5, 0.0, rng())
    assert sound.shape == (round(0.5 * SAMPLE_RATE),)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert -16 < level(sound) < 0
    assert abs(sound[0]) < 1e-3
    assert abs(sound[-1]) < 1e-3


@pytest.mark.parametrize("name", TIMBRES)
def test_a_brighter_tone_has_a_higher_centroid(name):
    dull, bright = (synthesis.tone(TIMBRES[name], 57, 0.5, tilt, rng()) for tilt in (-0.5, 0.8))
    assert centroid(bright) > 1.1 * centroid(dull)


def test_a_tone_has_its_partials_where_they_belong():
    frequencies, power = spectrum(synthesis.tone(Timbre((1, 0.02, 0.7, 0.02)), 69.5, 1.0, 0.0, rng()))
    fundamental = synthesis.hertz(69.5)
    assert abs(frequencies[np.argmax(power)] / fundamental - 1) < 2e-3
    energy = [power[np.abs(frequencies - n * fundamental) < 20].sum() for n in range(1, 5)]
    assert energy[2] > 50 * energy[1]
    assert energy[2] > 50 * energy[3]


def test_no_partial_folds_back_from_over_half_the_sampling_rate():
    frequencies, power = spectrum(synthesis.tone(TIMBRES["organ"], 108, 0.5, 2.0, rng()))
    fundamental = synthesis.hertz(108)
    heard = np.abs(frequencies / fundamental - np.round(frequencies / fundamental)) * fundamental < 60
    assert power[~heard].sum() < 1e-3 * power.sum()
    assert power[frequencies > synthesis.HIGHEST_PARTIAL + 100].sum() < 1e-3 * power.sum()


def test_struck_tones_die_away_and_sustained_ones_do_not():
    def fall(name):
        sound = synthesis.tone(TIMBRES[name], 60, 1.0, 0.0, rng())
        half = len(sound) // 2
        return level(sound[:half]) - level(sound[half:])

    assert min(fall(name) for name in ("pluck", "bell", "piano", "guitar")) > 4
    assert max(abs(fall(name)) for name in ("organ", "oboe", "clarinet")) < 1.5


def test_brass_opens_up_and_vibrato_widens_the_line():
    sound = synthesis.tone(TIMBRES["brass"], 55, 0.8, 0.0, rng())
    assert centroid(sound[SAMPLE_RATE // 2 :]) > 1.05 * centroid(sound[: SAMPLE_RATE // 20])
    width = []
    for cents in (0.0, 40.0):
        frequencies, power = spectrum(synthesis.tone(Timbre((1.0,), vibrato=cents), 69, 1.0, 0.0, rng()))
        width.append(np.sqrt(np.sum(power * (frequencies - 440) ** 2) / power.sum()))
    assert width[1] > 4 * width[0]


def test_a_formant_stays_where_it_is_whatever_the_pitch():
    body = Timbre((1.0,) * 12, formant=2000.0)
    for pitch in (45, 52, 57):
        frequencies, power = spectrum(synthesis.tone(body, pitch, 0.5, 0.0, rng()))
        assert 1700 < frequencies[np.argmax(power)] < 2300 or synthesis.hertz(pitch) * 12 < 2000


def test_the_same_seed_gives_the_same_tone_and_another_seed_another():
    first, again, other = (synthesis.tone(TIMBRES["strings"], 60, 0.3, 0.0, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_envelope_rises_and_falls_even_when_the_tone_is_shorter_than_its_fades():
    gain = synthesis.envelope(100, attack=1.0, release=1.0)
    assert gain[0] == 0
    assert gain[-1] == 0
    assert gain.max() == 1
    assert np.all(np.diff(gain[:50]) > 0)
    assert np.all(np.diff(gain[50:]) < 0)


@pytest.mark.parametrize("mode", CHORDS)
def test_every_progression_is_made_of_known_chords_and_ends_on_the_tonic(mode):
    for progression in PROGRESSIONS[mode]:
        assert set(progression) <= set(CHORDS[mode])
        assert CHORDS[mode][progression[-1]][0] == 0


def test_minor_has_the_leading_tone_in_its_dominant():
    assert 11 in CHORDS["minor"]["V"]
    assert 10 not in CHORDS["minor"]["V"]


@pytest.mark.parametrize("tonic", range(12))
def test_a_voicing_holds_the_chord_within_an_octave_of_its_floor(tonic):
    for chord in CHORDS["minor"].values():
        for lowest in (48, 53, 59):
            pitches = synthesis.voicing(chord, tonic, lowest)
            assert {pitch % 12 for pitch in pitches} == {(tonic + step) % 12 for step in chord}
            assert lowest <= pitches[0] <= pitches[-1] < lowest + 12
            assert list(pitches) == sorted(pitches)


def test_a_voice_places_its_notes_and_cuts_what_passes_the_end():
    notes = [Note(0.5, 0.2, 60), Note(0.9, 5.0, 64, gain=0.5), Note(3.0, 1.0, 60)]
    sound = synthesis.voice(notes, TIMBRES["organ"], SAMPLE_RATE, 0.0, 3.0, rng())
    assert sound.shape == (SAMPLE_RATE,)
    assert not sound[: SAMPLE_RATE // 2].any()
    assert sound[round(0.55 * SAMPLE_RATE) : round(0.65 * SAMPLE_RATE)].any()
    assert not sound[round(0.72 * SAMPLE_RATE) : round(0.89 * SAMPLE_RATE)].any()
    assert sound[round(0.95 * SAMPLE_RATE) :].any()


def test_percussion_is_loud_on_the_beats_and_dies_between():
    sound = synthesis.percussion([0.0, 0.5, 1.0, 1.5], 2 * SAMPLE_RATE, 0.0, rng())
    for beat in (0.0, 0.5, 1.0, 1.5):
        first = round(beat * SAMPLE_RATE)
        struck, later = sound[first : first + 1000], sound[first + 4400 : first + 5400]
        assert level(struck) > level(later + 1e-9) + 10
    assert np.isfinite(synthesis.percussion([3.9], SAMPLE_RATE, 0.0, rng())).all()


def test_tremolo_swings_the_level_between_one_and_one_less_its_depth():
    sound = synthesis.tremolo(np.ones(SAMPLE_RATE, np.float32), rate=5.0, depth=0.7)
    assert sound.max() == pytest.approx(1, abs=1e-3)
    assert sound.min() == pytest.approx(0.3, abs=1e-3)
    assert np.sum(np.diff(np.sign(sound - sound.mean())) != 0) == 10


def test_a_room_adds_echoes_that_decay_after_the_direct_sound():
    click = np.zeros(2 * SAMPLE_RATE, np.float32)
    click[0] = 1
    wet = synthesis.room(click, decay=1.0, level=0.5, rng=rng())
    assert wet.shape == click.shape
    assert wet[0] == 1
    assert not wet[1 : round(0.007 * SAMPLE_RATE)].any()
    assert np.sqrt(np.sum(wet[1:] ** 2)) == pytest.approx(0.5, rel=0.2)
    early, late = np.abs(wet[1 : SAMPLE_RATE // 4]).max(), np.abs(wet[SAMPLE_RATE // 2 :]).max()
    assert early > 4 * late > 0


def test_a_mix_has_the_loudness_asked_for_and_the_proportions():
    slow, fast = (np.sin(np.arange(SAMPLE_RATE) * f).astype(np.float32) for f in (0.05, 0.5))
    mixed = synthesis.mix([(slow, 0.0), (fast, -20.0), (np.zeros_like(slow), 0.0)], -23.0)
    assert level(mixed) == pytest.approx(-23.0, abs=0.01)
    frequencies, power = spectrum(mixed)
    ratio = power[frequencies > 800].sum() / power[frequencies <= 800].sum()
    assert 10 * np.log10(ratio) == pytest.approx(-20, abs=0.2)


def test_a_mix_is_turned_down_rather_than_clipped_and_silence_stays_silent():
    click = np.zeros(1000, np.float32)
    click[500] = 1
    assert np.abs(synthesis.mix([(click, 0.0)], -6.0)).max() == pytest.approx(synthesis.PEAK)
    assert not synthesis.mix([(np.zeros(10, np.float32), 0.0)], -6.0).any()


def test_pcm16_spans_the_range_without_wrapping():
    assert synthesis.pcm16(np.array([-1, 0, 1], np.float32)).tolist() == [-32767, 0, 32767]
