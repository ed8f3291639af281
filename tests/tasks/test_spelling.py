import unicodedata

import pytest

from tasks.spelling import (
    AmbiguousNameError,
    as_on_disk,
    clashes,
    composed,
    did_you_mean,
    find,
    folded,
    form_of,
    tone,
    visible,
)

NFC, NFD = (unicodedata.normalize(form, "Señorita") for form in ("NFC", "NFD"))


def test_texts_are_composed():
    assert composed(NFD) == NFC != NFD
    assert composed("plain") == "plain"
    assert [form_of(text) for text in (NFC, NFD, "a", NFC + NFD)] == ["NFC", "NFD", "ASCII", "mixed"]


@pytest.mark.parametrize(
    "text", ["hip hop", "Hip  Hop", "hip\u00a0hop", "hip\u200b hop", "HIP\u3000HOP\ufeff", "ｈｉｐhop"]
)
def test_case_spaces_and_signs_that_do_not_show_are_folded_away(text):
    assert folded(text) == "hiphop"


def test_what_shows_keeps_its_letters_and_single_spaces():
    assert visible(" a\u00a0 b\u200bc\u2060 ") == "a bc"
    assert visible("\u200b\u2060\ufeff ") == ""


@pytest.mark.parametrize(
    ("name", "sounds"),
    [
        ("C major", (0, "major")),
        ("c maj", (0, "major")),
        ("CM", (0, "major")),
        ("Cm", (0, "minor")),
        ("A# minor", (10, "minor")),
        ("Bb:min", (10, "minor")),
        ("B♭ moll", (10, "minor")),
        ("B flat minor", (10, "minor")),
        ("A-sharp minor", (10, "minor")),
        ("Cb major", (11, "major")),
        ("E##", (6, "")),
        ("C#4", (49, "octave")),
        ("Db4", (49, "octave")),
        ("B#3", (48, "octave")),
        ("C other", (0, "other")),
    ],
)
def test_notes_and_keys_are_heard_by_their_names(name, sounds):
    assert tone(name) == sounds


@pytest.mark.parametrize("name", ["", "rock", "H major", "C dorian", "60", "Cats", "a b c", "X"])
def test_other_names_sound_like_nothing(name):
    assert tone(name) is None


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("rock", "Rock", "differ only in case"),
        ("hip hop", "hip  hop", "differ only in white space or signs that do not show"),
        ("hip hop", "hip\u00a0hop", "differ only in white space or signs that do not show"),
        ("rock", "ro\u200bck", "differ only in white space or signs that do not show"),
        ("hip hop", "hiphop", "differ only in white space"),
        ("Hip hop", "hiphop", "differ only in case, white space or form of the letters"),
        ("A# minor", "Bb minor", "are one key in two spellings"),
        ("C major", "c major", "differ only in case"),
        ("F#", "G♭", "are one note in two spellings"),
        ("C#4", "Db4", "are one note in two spellings"),
        ("straße", "STRASSE", "differ only in case"),
    ],
)
def test_names_that_may_be_meant_as_one_clash(first, second, why):
    (clash,) = clashes(["other", first, second], notes=True)
    assert (clash.first, clash.second, clash.why) == (first, second, why)


@pytest.mark.parametrize(
    "names",
    [("C major", "C minor"), ("CM", "Cm"), ("C4", "C5"), ("rock", "rocks"), ("1", "01"), ("hip-hop", "hip hop")],
)
def test_other_names_do_not_clash(names):
    assert clashes(names, notes=True) == []


def test_notes_clash_only_where_they_are_names_of_notes():
    assert clashes(["A#", "Bb"]) == []
    assert len(clashes(["a", "A", "a ", "b"])) == 2  # each beside the first


@pytest.mark.parametrize(("here", "asked"), [(NFC, NFD), (NFD, NFC)])
def test_a_file_is_found_in_another_unicode_form_of_any_part_of_its_path(tmp_path, here, asked):
    file = tmp_path / here / "plain" / f"{here}.wav"
    file.parent.mkdir(parents=True)
    file.touch()
    asked_for = tmp_path / asked / "plain" / f"{asked}.wav"
    assert find(asked_for) == file
    assert find(file) == file
    assert as_on_disk([asked_for, tmp_path / "none.wav"]) == (file, tmp_path / "none.wav")
    assert find(tmp_path / asked / "none" / f"{asked}.wav") is None
    assert find(tmp_path / asked / "none.wav") is None


def test_the_form_that_was_asked_for_comes_first_and_two_others_are_refused(tmp_path):
    mixed = [unicodedata.normalize(form, "é") + unicodedata.normalize(other, "ö") for form, other in
             (("NFC", "NFC"), ("NFD", "NFD"), ("NFC", "NFD"))]  # fmt: skip
    for name in mixed[:2]:
        (tmp_path / name).touch()
    assert find(tmp_path / mixed[0]).name == mixed[0]
    assert find(tmp_path / mixed[1]).name == mixed[1]
    with pytest.raises(AmbiguousNameError, match=r"2 files of the name .* \(NFD, NFC\)"):
        find(tmp_path / mixed[2])
    assert as_on_disk([tmp_path / mixed[2]]) == (tmp_path / mixed[2],)


def test_a_file_that_comes_later_is_found(tmp_path):
    assert find(tmp_path / NFD) is None
    (tmp_path / NFC).touch()
    assert find(tmp_path / NFD) == tmp_path / NFC


def test_the_folder_above_is_not_looked_at(tmp_path):
    root = tmp_path / NFC
    root.mkdir()
    (root / "a.wav").touch()
    asked = tmp_path / NFD / "a.wav"
    assert as_on_disk([asked], tmp_path / NFD) == (asked,)
    assert as_on_disk([asked], tmp_path) == (root / "a.wav",)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("gtzann", {}, "did you mean 'gtzan'?"),
        ("mt", {"names": 2}, "did you mean 'mtt' or 'mtg'?"),
        ("zzz", {}, "there are three"),
        ("gt", {}, "there are three"),
        ("gt", {"cutoff": 0.5}, "did you mean 'gtzan'?"),
        ("", {}, "there are three"),
    ],
)
def test_the_name_that_may_be_meant(name, options, said):
    assert did_you_mean(name, iter(["gtzan", "mtt", "mtg"]), "there are three", **options) == said
