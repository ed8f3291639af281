import inspect
import itertools

import mir_eval
import numpy as np
import pytest

from tasks.keys import MODES, TONICS, Key, parse_key, score_table, weighted_score

NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
KEYS = [f"{tonic} {mode}" for mode in ("major", "minor") for tonic in NAMES]
#: The rule that this table is of, in words that later versions of mir_eval know too: no fifth below the reference.
RULE = (
    {"allow_descending_fifths": False}
    if "allow_descending_fifths" in inspect.signature(mir_eval.key.weighted_score).parameters
    else {}
)


def test_all_576_pairs_of_keys_are_worth_what_mir_eval_gives():
    expected = [[mir_eval.key.weighted_score(one, other, **RULE) for other in KEYS] for one in KEYS]
    table = score_table(KEYS)
    assert table.shape == (24, 24)
    np.testing.assert_array_equal(table, expected)


def test_every_spelling_that_mir_eval_takes_is_worth_the_same():
    spellings = [f"{tonic} {mode}" for tonic in TONICS for mode in MODES]
    spellings += [f"{tonic.title()}  {mode}" for tonic in ("bb", "f#") for mode in MODES] + ["X", "x"]
    expected = [[mir_eval.key.weighted_score(one, other, **RULE) for other in spellings] for one in spellings]
    np.testing.assert_array_equal(score_table(spellings), expected)


def test_the_table_is_the_published_one_row_by_row():
    row = dict(zip(KEYS, score_table(KEYS)[KEYS.index("C major")], strict=True))
    worth = {key: value for key, value in row.items() if value}
    assert worth == {"C major": 1.0, "G major": 0.5, "A minor": 0.3, "C minor": 0.2}
    row = dict(zip(KEYS, score_table(KEYS)[KEYS.index("A minor")], strict=True))
    assert {key: value for key, value in row.items() if value} == {
        "A minor": 1.0, "E minor": 0.5, "C major": 0.3, "A major": 0.2,
    }  # fmt: skip


def test_keys_are_parsed_just_where_mir_eval_takes_them():
    tonics = [f"{letter}{sign}" for letter in "ABCDEFGHabcdefghXx" for sign in ("", "#", "b", "B", "##", "♯")]
    modes = ("", " major", " minor", " other", " Major", " dorian", "  minor", " major minor")
    for label in (f"{tonic}{mode}" for tonic, mode in itertools.product(tonics, modes)):
        try:
            mir_eval.key.validate_key(label)
        except ValueError:
            assert parse_key(label) is None
        else:
            assert parse_key(label) == Key(*mir_eval.key.split_key_string(label))


def test_a_label_that_is_no_key_is_refused():
    with pytest.raises(ValueError, match="'H major' is not a key"):
        score_table(["C major", "H major"])


def test_what_cannot_be_told_is_worth_nothing_but_beside_itself():
    unknown, key = Key(None, None), Key(0, "major")
    assert weighted_score(unknown, unknown) == 1
    assert weighted_score(unknown, key) == weighted_score(key, unknown) == 0
