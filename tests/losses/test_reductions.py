"""Sums and means follow the mask."""

import jax.numpy as jnp
import numpy as np

from aejax import losses
from aejax.base import Batch


def test_reductions_follow_the_mask():
    values = jnp.array([[1.0, 2.0], [3.0, 100.0], [50.0, 60.0]])
    batch = Batch(jnp.zeros((3, 2)), mask=jnp.array([[True, True], [True, False], [False, False]]))
    np.testing.assert_array_equal(losses.sum_elements(values, batch), [3, 3, 0])
    np.testing.assert_array_equal(losses.mean_elements(values, batch), [1.5, 3, np.nan])
    assert losses.mean_examples(jnp.array([1.0, 3.0, 99.0]), batch) == 2
    assert losses.mse_elements(jnp.array([[1.0, 1.0]] * 3), jnp.zeros((3, 2)), batch) == 1
