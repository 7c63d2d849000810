"""The short-time Fourier transform: known spectra, and back again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.data.spectrograms import inverse_stft, num_frames, stft


@pytest.mark.parametrize(("num_samples", "frame_length", "hop"), [(256, 64, 16), (250, 64, 32), (5, 32, 16), (1, 8, 4)])
def test_the_inverse_gives_the_signal_back(num_samples, frame_length, hop):
    x = np.random.default_rng(0).standard_normal((2, 3, num_samples)).astype(np.float32)
    spectrum = stft(x, frame_length, hop)
    assert spectrum.shape == (2, 3, num_frames(num_samples, frame_length, hop), frame_length // 2 + 1)
    np.testing.assert_allclose(inverse_stft(spectrum, frame_length, hop, num_samples), x, atol=2e-6)


def test_each_frame_is_the_transform_of_its_piece():
    """As by the definition, frame by frame."""
    x = np.random.default_rng(1).standard_normal(200)
    spectrum = np.asarray(stft(x, 32, 8))
    window = np.sin(np.pi * np.arange(32) / 32)
    padded = np.concatenate([np.zeros(24), x, np.zeros(32)])
    for frame in (0, 7, spectrum.shape[0] - 1):
        expected = np.fft.rfft(padded[8 * frame : 8 * frame + 32] * window)
        np.testing.assert_allclose(spectrum[frame], expected, atol=1e-5)


def test_a_sine_is_at_its_frequency():
    spectrum = np.abs(stft(np.sin(2 * np.pi * 10 * np.arange(1000) / 100), 100, 25))
    assert (spectrum[4:-4].argmax(axis=1) == 10).all()  # bins are 1 Hz apart


def test_the_inverse_of_a_changed_spectrum_is_the_nearest_signal():
    """Least squares: no signal's transform is nearer to a spectrum than that of its inverse."""
    rng = np.random.default_rng(2)
    spectrum = rng.standard_normal((num_frames(64, 16, 4), 9)) + 1j * rng.standard_normal((num_frames(64, 16, 4), 9))

    def transform(x):
        full = np.asarray(stft(x, 16, 4))
        weight = np.full(9, 2.0)
        weight[[0, -1]] = 1  # of the two-sided spectrum, these bins occur once
        stacked = np.stack([full.real, full.imag], axis=-1) * np.sqrt(weight)[:, None]
        return stacked.ravel()

    matrix = np.stack([transform(row) for row in np.eye(64)], axis=1)
    weight = np.full(9, 2.0)
    weight[[0, -1]] = 1
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real
    wanted = (np.stack([spectrum.real, spectrum.imag], axis=-1) * np.sqrt(weight)[:, None]).ravel()
    nearest = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    np.testing.assert_allclose(inverse_stft(spectrum, 16, 4, 64), nearest, atol=1e-5)


def test_jit_and_gradient():
    x = jnp.asarray(np.random.default_rng(3).standard_normal(100), jnp.float32)

    def energy(x):
        return jnp.sum(inverse_stft(stft(x, 20, 5), 20, 5, 100) ** 2)

    np.testing.assert_allclose(jax.jit(jax.grad(energy))(x), 2 * x, atol=1e-4)


@pytest.mark.parametrize(("frame_length", "hop"), [(64, 48), (64, 64), (64, 0), (0, 1)])
def test_lengths_that_do_not_fit_are_refused(frame_length, hop):
    with pytest.raises(ValueError, match="hop"):
        stft(np.ones(100), frame_length, hop)


def test_a_spectrum_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"spectrum: found \(frames, bins\) = \(3, 4\), expected \(19, 33\)"):
        inverse_stft(np.ones((3, 4)), 64, 16, 256)
