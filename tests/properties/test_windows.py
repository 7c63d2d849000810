"""Moving averages, alarm rules and windows equal loops, and a series that is cut is the series as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aejax.data.columns.scalers import Scaler
from aejax.data.windows import by_lag, lagged
from aejax.tasks.anomaly import ewma, fit_monitor, votes, watch
from aejax.tasks.anomaly.rows_in_time import row_windows

NUMBERS = st.floats(-1e3, 1e3) | st.just(np.nan)
SMOOTHING = st.floats(0.01, 1)


def series(num_columns=1):
    return st.integers(1, 12).flatmap(lambda n: arrays(np.float64, (n, num_columns), elements=NUMBERS))


def cut(x, cuts):
    """The pieces of a series; some may be empty."""
    return np.split(x, sorted(min(place, len(x)) for place in cuts))


@given(series(2), SMOOTHING, st.floats(-10, 10))
def test_a_moving_average_equals_its_recursion(x, smoothing, initial):
    expected = np.empty_like(x)
    for column in range(2):
        average = initial
        for row in range(len(x)):
            if np.isnan(x[row, column]):
                expected[row, column] = np.nan
            else:
                average = (1 - smoothing) * average + smoothing * x[row, column]
                expected[row, column] = average
    np.testing.assert_array_equal(ewma(x, smoothing, initial), expected)


@given(series(), SMOOTHING, st.lists(st.integers(0, 12), max_size=4))
def test_a_moving_average_goes_on_where_it_was_cut(x, smoothing, cuts):
    x = x[:, 0]
    average, pieces = 1.0, []
    for piece in cut(x, cuts):
        pieces.append(ewma(piece, smoothing, average))
        seen = pieces[-1][~np.isnan(piece)]
        average = seen[-1] if len(seen) else average
    np.testing.assert_array_equal(np.concatenate(pieces), ewma(x, smoothing))


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 5), st.integers(0, 4))
def test_an_alarm_is_k_of_the_last_n(above, k, more):
    n = k + more
    expected = [sum(above[max(0, i + 1 - n) : i + 1]) >= k for i in range(len(above))]
    assert votes(above, (k, n)).tolist() == expected


@given(series(2), st.integers(0, 4))
def test_windows_hold_each_row_and_its_past(x, num_lags):
    if len(x) <= num_lags:
        with pytest.raises(ValueError, match="expected more than num_lags"):
            lagged(x, num_lags)
        return
    windows = lagged(x, num_lags)
    parts = by_lag(windows, num_lags)
    assert len(windows) == len(x) - num_lags
    for i in range(len(windows)):
        for lag in range(num_lags + 1):
            np.testing.assert_array_equal(parts[i, lag], x[num_lags + i - lag])


@given(series(2), st.integers(0, 3), st.lists(st.integers(0, 12), max_size=3))
def test_windows_of_a_stream_are_those_of_the_series(x, num_lags, cuts):
    scaler = Scaler(np.array([1.0, -2.0]), np.array([2.0, 0.5]))
    whole = row_windows(scaler, x, num_lags)
    assert len(whole) == len(x)
    # The plant is taken to have stood at the first row.
    past = np.repeat(x[:1], num_lags, axis=0)
    pieces = []
    for piece in cut(x, cuts):
        rows = np.concatenate([past, piece])
        if len(piece):
            pieces.append(row_windows(scaler, rows, num_lags)[num_lags:])
        past = rows[len(rows) - num_lags :]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@given(series(3), st.integers(0, 2))
def test_windows_of_jax_arrays_are_those_of_numpy(x, num_lags):
    assume(len(x) > num_lags)
    x = x.astype(np.float32)
    np.testing.assert_array_equal(lagged(jnp.asarray(x), num_lags), lagged(x, num_lags))


@pytest.fixture(scope="module")
def monitor():
    x = np.random.default_rng(0).standard_normal((600, 3))  # enough independent stretches for no warning
    return fit_monitor(jax.random.key(0), x, num_lags=1, false_alarm_rate=0.1, num_folds=2, num_epochs=1)


@settings(max_examples=50)
@given(
    arrays(np.float64, (40, 3), elements=st.floats(-3, 3) | st.just(np.nan)), st.sets(st.integers(1, 39), max_size=5)
)
def test_a_stream_cut_anywhere_equals_the_whole_series_to_the_bit(monitor, x, cuts):
    whole, end = watch(monitor, x)
    state, charts = None, []
    for piece in cut(x, cuts):
        chart, state = watch(monitor, piece, state)
        charts.append(chart)
    for name, expected, *pieces in zip(whole._fields, whole, *charts, strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), expected, name)
    jax.tree.map(np.testing.assert_array_equal, state, end)
    # A row of which nothing is observed has no vote, and no alarm.
    is_seen = ~np.isnan(x).all(axis=1)
    assert not whole.is_alarm[~is_seen].any()
    np.testing.assert_array_equal(whole.is_alarm[is_seen], votes(whole.is_above[is_seen], monitor.alarm_rule))
