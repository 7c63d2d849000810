"""Gross errors are told from tails and rare states; rows that stand out are counted."""

import numpy as np
import pytest

from aejax.data.columns.contamination import standing_out
from aejax.data.columns.gross import fit_limits, gross_errors

REAL = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "log-normal flow": lambda rng, n: np.exp(rng.standard_normal(n)),
    "log-normal over orders of magnitude": lambda rng, n: np.exp(2 * rng.standard_normal(n)),
    "zeros and a tail": lambda rng, n: np.maximum(0, rng.standard_normal(n)),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "counts": lambda rng, n: rng.poisson(0.3, n),
    "rare switch": lambda rng, n: rng.random(n) < 0.01,
    "two states": lambda rng, n: 100 * (rng.random(n) < 0.4) + rng.standard_normal(n),
    "rare state of 3 %": lambda rng, n: 200 * (np.arange(n) % 33 == 0) + rng.standard_normal(n),
    "pump off in 3 % of rows": lambda rng, n: np.where(np.arange(n) % 33 == 0, 0, 100 + rng.standard_normal(n)),
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("num_rows", [300, 2000])
def test_a_tail_or_a_rare_state_is_no_gross_error(name, num_rows):
    x = np.column_stack([REAL[name](np.random.default_rng(seed), num_rows) for seed in range(50)]).astype(float)
    assert gross_errors(fit_limits(x), x).sum() <= 1  # one column in a thousand, on either side
    np.testing.assert_array_equal(gross_errors(fit_limits(-x), -x), gross_errors(fit_limits(x), x))


@pytest.mark.parametrize(
    "error", [lambda x: 10 * x, lambda x: 1e6 * x, lambda x: -x, lambda x: x + 200, lambda x: 0 * x]
)
@pytest.mark.parametrize("num_rows", [200, 2000])
def test_one_percent_of_gross_errors_are_found_in_any_unit(error, num_rows):
    """A decimal point in the wrong place, a wrong unit, a sign, a jump of 50 standard deviations, a zero."""
    clean = np.random.default_rng(0).normal(310, 8, (num_rows, 3)) * [1, 1e-9, 1e9]
    x = clean.copy()
    wrong = np.random.default_rng(1).choice(num_rows, num_rows // 100, replace=False)
    x[wrong] = error(clean[wrong] / [1, 1e-9, 1e9]) * [1, 1e-9, 1e9]
    expected = np.zeros(x.shape, bool)
    expected[wrong] = True
    np.testing.assert_array_equal(gross_errors(fit_limits(x), x), expected)


def test_missing_values_are_neither_gross_nor_counted():
    x = np.random.default_rng(0).standard_normal((500, 2))
    x[::2, 0], x[::2, 1] = np.nan, 0.0
    assert not gross_errors(fit_limits(x), x).any()
    assert np.isinf(fit_limits(np.full((100, 1), np.nan)).upper).all()


def test_rows_that_have_changed_are_no_gross_errors():
    """A table of which every row lies beyond the limits is of another state, not wrong in each cell."""
    limits = fit_limits(np.random.default_rng(0).standard_normal((500, 1)))
    assert not gross_errors(limits, np.full((100, 1), 1e3)).any()
    assert gross_errors(limits, np.array([[0.0]] * 99 + [[1e3]])).sum() == 1


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
def test_the_share_of_rows_that_stand_out(share):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 2)) @ rng.standard_normal((2, 6)) + 0.1 * rng.standard_normal((2000, 6))
    x[: int(2000 * share), 3] += 1.5  # seen only beside the other columns
    assert standing_out(x * [1, 1e6, 1, 1e-6, 1, 1]) == pytest.approx(share, abs=0.01)


def test_constant_columns_and_few_rows_tell_nothing():
    x = np.ones((200, 2))
    assert standing_out(x) == 0
    assert standing_out(np.random.default_rng(0).standard_normal((20, 5))) == 0
