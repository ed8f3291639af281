"""The sounds that encoders are checked on: different, in range, the same each time."""

import numpy as np

from benchmark.encoders.check.sounds import clicks, noise, silence, sounds

RATE = 2000


def test_the_sounds():
    made = sounds(4, 3 * RATE, RATE, 2)
    assert (made.shape, made.dtype) == ((4, 2, 3 * RATE), np.float32)
    assert np.abs(made).max() <= 1
    assert not np.array_equal(made[:, 0], made[:, 1])
    np.testing.assert_array_equal(made, sounds(4, 3 * RATE, RATE, 2))
    assert not silence(10).any()
    assert set(np.unique(noise(100))) == {-1, 1}
    assert 0 < clicks(1000).sum() <= 21
    assert clicks(1).tolist() == [1.0]
