import jax
import jax.numpy as jnp
import numpy as np

from aejax.simulate.spectra import cutoff, stretch, widen

ENERGY, MOMENTUM = np.arange(1, 60, 2.0), np.linspace(0.5, 4, 8)


def line(position):
    """Maps with one line of energy, Gaussian, at each position."""
    profile = np.exp(-0.5 * ((ENERGY - np.asarray(position)[:, None]) / 3) ** 2)
    return np.repeat(profile[:, None], len(MOMENTUM), axis=1).astype(np.float32)


def test_a_stretched_line_is_where_it_was_sent():
    moved = stretch(line([20.0]), jnp.asarray(MOMENTUM), jnp.asarray(ENERGY), jnp.ones(1), jnp.array([1.5]))
    mean = np.sum(np.asarray(moved)[0, 0] * ENERGY) / np.sum(moved[0, 0])
    assert abs(mean - 30) < 0.1
    np.testing.assert_allclose(
        stretch(line([20.0]), jnp.asarray(MOMENTUM), jnp.asarray(ENERGY), jnp.ones(1), jnp.ones(1)),
        line([20.0]),
        atol=1e-6,
    )


def test_the_cutoff_is_the_upper_end_of_a_line():
    found = cutoff(line([15.0, 40.0]), ENERGY)
    np.testing.assert_allclose(found, [15 + 1.75 * 3, 40 + 1.75 * 3], atol=1.5)


def test_widened_maps_sum_to_one_and_lie_at_their_cutoffs():
    maps, target = widen(jax.random.key(0), line([12.0, 25.0, 40.0]), MOMENTUM, ENERGY, 300)
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, rtol=1e-4)
    inside = (target > 10) & (target < 50)
    ratio = cutoff(maps, ENERGY)[inside] / target[inside]
    assert np.median(np.abs(np.log(ratio))) < 0.1
    again, _ = widen(jax.random.key(0), line([12.0, 25.0, 40.0]), MOMENTUM, ENERGY, 300)
    np.testing.assert_array_equal(maps, again)
    assert not np.array_equal(maps, widen(jax.random.key(1), line([12.0, 25.0, 40.0]), MOMENTUM, ENERGY, 300)[0])


def test_energy_gain_counts_by_its_size():
    energy = np.arange(-59, 60, 2.0)
    profile = sum(np.exp(-0.5 * ((energy - place) / 3) ** 2) for place in (-20, 20))
    maps = np.repeat(profile[None, None], len(MOMENTUM), axis=1).astype(np.float32)
    np.testing.assert_allclose(cutoff(maps, energy), cutoff(line([20.0]), ENERGY), atol=1.5)
    # Stretched about 0; what comes from beyond the axis is 0 at both ends.
    axes = jnp.asarray(MOMENTUM), jnp.asarray(energy)
    moved = np.asarray(stretch(maps + 1, *axes, jnp.ones(1), jnp.array([0.5])))[0, 0]
    np.testing.assert_allclose(moved, moved[::-1], atol=1e-5)
    assert moved[0] == moved[-1] == 0
    assert abs(energy[np.argmax(moved)]) == 11
    wide, target = widen(jax.random.key(0), maps, MOMENTUM, energy, 50)
    assert np.isfinite(wide).all()
    assert target.max() > 30


def test_a_single_momentum_is_not_stretched():
    spectra = line([20.0])[:, :1]
    moved = stretch(spectra, jnp.asarray(MOMENTUM[:1]), jnp.asarray(ENERGY), 2 * jnp.ones(1), jnp.ones(1))
    np.testing.assert_allclose(moved, spectra, atol=1e-6)
