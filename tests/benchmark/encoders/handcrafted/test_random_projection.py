"""The random floor: the same numbers everywhere, and no more than log-mel frames bent at random."""

import hashlib

import numpy as np
import pytest

from benchmark.encoders.handcrafted.random_projection import RandomProjection, projection


def noise(seconds: float, batch: int = 1, level: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (level * rng.uniform(-1, 1, (batch, 1, round(16000 * seconds)))).astype(np.float32)


def test_the_matrix_is_this_one_on_every_machine():
    matrix = projection(1, 96, 256)
    assert (
        hashlib.sha256(matrix.tobytes()).hexdigest()
        == "95f1b8dd83c2a397a1480c0c1e559a9998af2829ec340bbae52e954ec677dd1b"
    )
    assert matrix.std() == pytest.approx(1 / np.sqrt(96), rel=0.02)
    assert abs(matrix.mean()) < 1e-3
    assert np.array_equal(matrix * 4096, np.rint(matrix * 4096))
    assert not np.array_equal(projection(2, 96, 256), matrix)


def test_golden_values():
    assert RandomProjection.version == "1"
    embedding = RandomProjection().embed(noise(3.0))[0]
    np.testing.assert_allclose(
        embedding[[0, 100, 255, 256, 300, 511]],
        [0.00342857, 1.17992, 0.733334, 0.0173579, 0.153543, 0.140825],
        rtol=1e-4,
    )


@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.0])
def test_contract(seconds):
    encoder, batch = RandomProjection(), noise(seconds, 4)
    together = encoder.embed(batch)
    assert together.shape == (4, encoder.dim) == (4, 512)
    assert together.dtype == np.float32
    assert together.tobytes() == np.concatenate([encoder.embed(row[None]) for row in batch]).tobytes()
    assert (together >= 0).all()
    hostile = np.zeros((4, 1, batch.shape[2]), np.float32)
    hostile[1], hostile[2, 0, 5], hostile[3] = 1, 1, 1e-30
    assert np.isfinite(encoder.embed(hostile)).all()
    assert encoder.fingerprint() == RandomProjection().fingerprint()


def test_it_hears():
    encoder = RandomProjection()
    loud, quiet = encoder.embed(noise(3.0)), encoder.embed(noise(3.0, level=0.003))
    assert np.abs(loud - quiet).max() > 0.1
    silence = encoder.embed(np.zeros((1, 1, 48000), np.float32))[0]
    assert silence[:256].any()
    assert np.abs(silence[256:]).max() < 1e-5


def test_another_matrix_is_another_encoder():
    other = RandomProjection()
    other._matrix = projection(2, 96, 256)
    assert other.fingerprint() != RandomProjection().fingerprint()
