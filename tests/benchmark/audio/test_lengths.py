"""Files far shorter than the rest."""

import numpy as np

from benchmark.audio.lengths import far_shorter


def test_under_a_tenth_of_the_median():
    assert far_shorter(np.array([30.0, 29.0, 3.0, 2.8, 0.05, 31.0, 400.0])).tolist() == [3, 4]


def test_none_of_files_that_are_alike_or_none():
    assert far_shorter(np.full(5, 0.2)).size == 0
    assert far_shorter(np.array([])).size == 0
