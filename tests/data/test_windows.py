"""Lagged windows: what is where, and the way back."""

import jax.numpy as jnp
import numpy as np
import pytest

from aejax.data.windows import by_lag, lagged


def test_a_window_holds_the_row_and_then_its_past():
    x = np.arange(10.0).reshape(5, 2)
    windows = lagged(x, 2)
    np.testing.assert_array_equal(windows[0], [4, 5, 2, 3, 0, 1])
    np.testing.assert_array_equal(by_lag(windows, 2)[:, 0], x[2:])
    np.testing.assert_array_equal(by_lag(windows, 2)[:, 2], x[:3])
    np.testing.assert_array_equal(lagged(x, 0), x)
    assert isinstance(lagged(jnp.asarray(x), 1), jnp.ndarray)


@pytest.mark.parametrize(
    ("shape", "num_lags", "message"),
    [((5,), 1, "x: found shape"), ((5, 2), -1, "num_lags: found -1"), ((2, 2), 2, "x: found 2 rows")],
)
def test_bad_input_is_named(shape, num_lags, message):
    with pytest.raises(ValueError, match=message):
        lagged(np.zeros(shape), num_lags)


def test_windows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="windows: found 5 columns"):
        by_lag(np.zeros((3, 5)), 1)
