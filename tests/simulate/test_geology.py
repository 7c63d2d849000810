import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax.simulate import geology


def test_patches_are_pieces_of_the_volume_mirrored_where_asked(key):
    volume = np.random.default_rng(0).normal(size=(6, 9, 7)).astype(np.float32)
    corners = geology.random_corners(key, volume.shape, (3, 9, 4), 200, flips=(1,))
    assert set(np.asarray(corners[:, 4])) == {0.0, 1.0}
    assert not np.asarray(corners[:, [3, 5]]).any()
    assert np.asarray(corners[:, :3]).max(axis=0).tolist() == [3, 0, 3]
    for (i, j, k, _, mirrored, _), patch in zip(
        np.asarray(corners, int), geology.cut(volume, corners, (3, 9, 4)), strict=True
    ):
        piece = volume[i : i + 3, j : j + 9, k : k + 4]
        np.testing.assert_array_equal(patch, piece[:, ::-1] if mirrored else piece)


@pytest.mark.parametrize(
    ("patch", "flips", "message"), [((7, 2), (), "patch_shape"), ((2,), (), "patch_shape"), ((2, 2), (2,), "flips")]
)
def test_patches_that_do_not_fit_are_refused(key, patch, flips, message):
    with pytest.raises(ValueError, match=message):
        geology.random_corners(key, (6, 9), patch, 3, flips)


def test_training_on_patches_is_training_on_what_was_cut(key):
    """The same patches by the same keys, cut inside the step or before: the same variables, missing values masked."""
    image = np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32)
    image[3, 4] = np.nan
    source = geology.patches(image, (5, 4), flips=(0,))
    model = aejax.models.autoencoder((5, 4), 2, hidden_dims=(8,))
    options = {"num_epochs": 2, "steps_per_epoch": 3, "validation": 0}
    source_key = jax.random.split(key, 4)[2]

    def cut_before(step):
        while True:
            yield source.draw(source.arrays, jax.random.fold_in(source_key, step), 16)
            step += 1

    inside = aejax.fit(key, model, source, batch_size=16, **options)
    before = aejax.fit(key, model, aejax.stream(cut_before), **options)
    assert np.isfinite(inside.history["loss"]).all()
    for a, b in zip(jax.tree.leaves(inside.variables), jax.tree.leaves(before.variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_ray_is_as_long_as_the_way_from_end_to_end():
    sources, receivers = geology.cross_hole_survey((129, 65), 0.1, 1.0)
    lengths = geology.straight_rays((129, 65), 0.1, sources, receivers)
    assert lengths.shape == (169, 8385)
    assert lengths.min() >= 0
    np.testing.assert_allclose(lengths.sum(axis=1), np.linalg.norm(receivers - sources, axis=1), rtol=1e-5)


def test_a_ray_through_cells_by_hand():
    rays = geology.straight_rays(
        (2, 3), 2.0, [[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]], [[4.0, 4.0], [1.0, 6.0], [4.0, 5.0]]
    )
    root = 2 * np.sqrt(2)
    expected = [[root, 0, 0, 0, root, 0], [2, 2, 2, 0, 0, 0], [0, 0, 2, 0, 0, 2]]
    np.testing.assert_allclose(rays, expected, atol=1e-5)


def test_lengths_are_those_of_many_small_steps_and_outside_counts_nothing():
    source, receiver = np.array([-1.0, 0.3]), np.array([4.7, 6.2])
    at = (np.arange(200_000) + 0.5) / 200_000
    cells = np.floor(source + at[:, None] * (receiver - source)).astype(int)
    inside = ((cells >= 0) & (cells < [5, 5])).all(axis=1)
    expected = np.zeros((5, 5))
    np.add.at(expected, tuple(cells[inside].T), np.linalg.norm(receiver - source) / len(at))
    found = jax.jit(lambda s, r: geology.straight_rays((5, 5), 1.0, s, r))(source[None], receiver[None])
    np.testing.assert_allclose(found[0].reshape(5, 5), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("source", "receiver", "row", "column"),
    [
        ((0.0, 0.0), (0.0, 3.3), 0, slice(None)),
        ((4.1, 0.0), (4.1, 3.3), 40, slice(None)),
        ((4.1, 3.3), (4.1, 0.0), 40, slice(None)),
        ((0.0, 0.0), (4.1, 0.0), slice(None), 0),
        ((0.0, 3.3), (4.1, 3.3), slice(None), 32),
    ],
    ids=["upper", "lower", "lower, back", "left", "right"],
)
@pytest.mark.parametrize("cell", [0.1, 1 / 3])
def test_the_four_edges_belong_to_the_section(source, receiver, row, column, cell):
    """4.1 m over 0.1 m is 41 or a little more or less, as it is rounded."""
    ends = np.array([source, receiver]) / 0.1 * cell
    expected = np.zeros((41, 33))
    expected[row, column] = cell
    found = geology.straight_rays((41, 33), cell, *ends[:, None])[0].reshape(41, 33)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    beyond = ends + np.array([0.01 if row == 40 else 0.0, 0.01 if column == 32 else 0.0]) * cell
    if row == 40 or column == 32:
        assert not np.any(geology.straight_rays((41, 33), cell, *beyond[:, None]))


def test_travel_time_is_distance_over_velocity():
    sources, receivers = geology.cross_hole_survey((20, 10), 0.5, 2.0)
    lengths = geology.straight_rays((20, 10), 0.5, sources, receivers)
    distance = np.linalg.norm(receivers - sources, axis=1)
    for value, velocity in ((0.0, 0.06), (1.0, 0.08)):
        times = geology.travel_times(lengths, jnp.full((20, 10), value), (0.06, 0.08))
        np.testing.assert_allclose(times, distance / velocity, rtol=1e-5)
    gradient = jax.grad(lambda x: geology.travel_times(lengths, x, (0.06, 0.08)).sum())(jnp.full((20, 10), 0.5))
    np.testing.assert_allclose(gradient.ravel(), lengths.sum(axis=0) * (1 / 0.08 - 1 / 0.06), rtol=1e-4, atol=1e-4)


def test_positions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="sources, receivers: found"):
        geology.straight_rays((2, 2), 1.0, [[0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="spacing: found 0"):
        geology.cross_hole_survey((2, 2), 1.0, 0.0)


def test_a_block_is_as_fast_as_its_mean_slowness_says():
    x = np.zeros((5, 7))
    x[0, :3], x[2:4, 3:6] = 1, 1
    found = geology.block_velocities(x, (2, 3), (0.05, 0.1))
    np.testing.assert_allclose(found, [[1 / 15, 0.05], [0.05, 0.1]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"block: found \(6, 3\) cells, expected 1 to 5 by 1 to 7"):
        geology.block_velocities(x, (6, 3), (0.05, 0.1))
