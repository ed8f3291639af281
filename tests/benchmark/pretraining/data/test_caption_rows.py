"""Captions as arrays: what goes in comes out, and of several one is drawn."""

import numpy as np
import pytest

from benchmark.pretraining.data.caption_rows import CAPTION_ARRAYS, OFFSETS, STARTS, CaptionRows, caption_arrays

GIVEN = [("Une flûte, très calme", "drums"), (), ("drums",), ("音楽 🎻", "a", "drums")]


def rows_of(captions=GIVEN) -> CaptionRows:
    arrays = caption_arrays(captions)
    return CaptionRows(*(arrays[name] for name in CAPTION_ARRAYS))


def test_every_text_is_kept_once_and_found_by_its_tracks():
    rows = rows_of()
    assert rows.belong(4)
    assert rows.distinct() == ("Une flûte, très calme", "a", "drums", "音楽 🎻")
    assert rows.of(np.array([3, 0, 1, 2, 0])) == (
        "音楽 🎻",
        "Une flûte, très calme",
        None,
        "drums",
        "Une flûte, très calme",
    )


def test_of_several_captions_the_draw_chooses():
    rows = rows_of()
    found = rows.of(np.array([0, 0, 3, 3, 3, 1]), np.array([0.49, 0.5, 0.0, 0.34, np.nextafter(1, 0), 0.9]))
    assert found == ("Une flûte, très calme", "drums", "音楽 🎻", "a", "drums", None)


def test_no_captions_are_arrays_too():
    rows = rows_of([(), ()])
    assert rows.belong(2)
    assert rows.distinct() == ()
    assert rows.of(np.array([0, 1]), np.array([0.2, 0.9])) == (None, None)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (STARTS, lambda array: array[:-1]),
        (STARTS, lambda array: array.astype("<i4")),
        (STARTS, lambda array: array[:, None]),
        (OFFSETS, lambda array: array[:-1]),
        ("caption_numbers.npy", lambda array: array[:-1]),
        ("caption_numbers.npy", lambda array: array + np.int32(9)),
        ("caption_numbers.npy", lambda array: array - np.int32(9)),
        ("caption_texts.npy", lambda array: array[:-1]),
    ],
)
def test_arrays_that_do_not_belong_together_are_told(name, change):
    arrays = caption_arrays(GIVEN)
    arrays[name] = change(arrays[name])
    assert not CaptionRows(*(arrays[one] for one in CAPTION_ARRAYS)).belong(4)
    assert not rows_of().belong(3)
