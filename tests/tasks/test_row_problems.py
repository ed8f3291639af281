"""Problems that many rows have alike are told once."""

from tasks.row_problems import fold_alike, rows_in_words


def test_problems_that_differ_only_in_names_and_numbers_are_folded():
    alike = [(row, f"duplicate id 'a{row}', first seen in row {row - 1}") for row in range(2, 30)]
    other = [
        (31, "missing file x y.wav"),
        (32, "missing file b.wav"),
        (0, "no row has a label"),
        (0, "no row is right"),
    ]
    assert fold_alike([*alike, *other]) == [
        "row 2: duplicate id 'a2', first seen in row 1",
        "row 3: duplicate id 'a3', first seen in row 2",
        "row 4: duplicate id 'a4', first seen in row 3",
        "and 25 more rows like this: 5, 6, 7, 8, 9, …",
        "row 31: missing file x y.wav",
        "row 32: missing file b.wav",
        "no row has a label",
        "no row is right",
    ]


def test_missing_files_are_folded_whatever_their_names():
    lines = fold_alike(
        [(row, f"missing file {name}") for row, name in enumerate(["a.wav", "it's.wav", "'b' c", "d", "e"], 1)]
    )
    assert lines[-1] == "and 2 more rows like this: 4, 5"


def test_four_alike_are_told_in_full():
    assert len(fold_alike([(row, f"label {row!r} is odd") for row in range(1, 5)])) == 4


def test_numbers_of_rows_in_words():
    assert rows_in_words([7]) == "row 7"
    assert rows_in_words([7, 9]) == "rows 7, 9"
    assert rows_in_words(range(10)) == "rows 0, 1, 2, 3, 4 and 5 more"
