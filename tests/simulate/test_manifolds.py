"""Generated data have the geometry that they are said to have."""

import jax.numpy as jnp
import numpy as np
import pytest

from aejax.simulate.curves import curves
from aejax.simulate.dictionaries import mean_max_cosine, sparse_dictionary
from aejax.simulate.manifolds import helix, swiss_roll


def test_a_helix_lies_on_its_cylinder_and_its_height_makes_it(key):
    data = helix(key, 500, num_turns=3.0, noise=0.0)
    np.testing.assert_allclose(np.hypot(*np.asarray(data.x[:, :2]).T), 1, rtol=1e-5)
    angle = 3 * np.pi * data.coordinates[:, 0]
    np.testing.assert_allclose(data.x, np.stack([np.cos(angle), np.sin(angle), data.x[:, 2]], axis=1), atol=1e-5)


def test_a_swiss_roll_is_made_by_its_coordinates(key):
    data = swiss_roll(key, 500, noise=0.0)
    angle, height = np.asarray(data.coordinates).T
    radius = np.hypot(data.x[:, 0], data.x[:, 2])
    np.testing.assert_allclose(radius, angle / (4.5 * np.pi), rtol=1e-5)
    np.testing.assert_allclose(data.x[:, 1], height)


@pytest.mark.parametrize("make", [helix, swiss_roll])
def test_the_noise_has_the_stated_size(key, make):
    data = make(key, 5000, noise=0.2)
    assert float(jnp.std(data.x - data.clean)) == pytest.approx(0.2, rel=0.03)
    with pytest.raises(ValueError, match="num_rows: found 0"):
        make(key, 0)
    with pytest.raises(ValueError, match="noise: found -1"):
        make(key, 5, noise=-1)


def test_a_curve_passes_through_its_three_points(key):
    data = curves(key, 50)
    assert data.x.shape == (50, 28, 28)
    assert float(data.x.min()) >= 0
    assert float(data.x.max()) <= 1
    row, column = np.moveaxis(np.asarray(jnp.round(data.points)).astype(int), -1, 0)
    # a point is at most sqrt(1/2) pixels from the centre of its own
    assert np.asarray(data.x)[np.arange(50)[:, None], row, column].min() >= np.exp(-0.25 / 0.8**2) - 1e-5


@pytest.mark.slow
def test_eighteen_principal_components_of_curves_leave_what_the_paper_reports(key):
    """Hinton & Salakhutdinov 2006, supplement: 5.90; thickness and margin were chosen for it."""
    x = np.asarray(curves(key, 6000).x).reshape(6000, -1)
    left = np.linalg.eigvalsh(np.cov(x.T))[:-18].sum()
    assert left == pytest.approx(5.9, abs=0.15)


def test_rows_are_sums_of_the_stated_number_of_atoms(key):
    data = sparse_dictionary(key, 200, num_active=4, noise=0.0)
    assert set(np.count_nonzero(data.activity, axis=1)) == {4}
    np.testing.assert_allclose(data.x, data.activity @ data.atoms, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(data.atoms, axis=1), 1, rtol=1e-5)


def test_a_dictionary_found_in_another_order_is_found(key):
    atoms = sparse_dictionary(key, 1).atoms
    assert mean_max_cosine(3 * atoms[::-1], atoms) == pytest.approx(1)
    assert mean_max_cosine(-atoms, atoms) < 0.9
