"""The arithmetic of benchmarks.inverted_sections."""

import numpy as np
import pytest

from benchmarks import inverted_sections as benchmark


def test_a_right_posterior_of_repeated_values_holds_nine_in_ten_at_random_places_among_equals():
    """Four values, one of them usual: the interval itself holds more than nine in ten."""
    values = np.random.default_rng(0).choice(4, p=[0.05, 0.07, 0.8, 0.08], size=(100, 20_000)).astype(float)
    draws, truth = values[1:], values[0]
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    assert ((low <= truth) & (truth <= high)).mean() > 0.92
    # Three standard errors of 20,000 truths are 0.0064.
    assert benchmark.randomised_coverage(draws, truth).mean() == pytest.approx(0.9, abs=0.0064)


def test_a_place_among_equals_is_drawn_between_those_below_and_those_above():
    draws = np.repeat([1.0, 2.0, 3.0], [1, 3, 5])[:, None]
    found = [benchmark.randomised_coverage(draws, np.array([truth]))[0] for truth in (0.0, 1.0, 2.0, 3.0, 4.0)]
    # Of ten places: 0 to 1, 0 to 2, 1 to 5, 4 to 10, 9 to 10; the interval is 0.5 to 9.5.
    np.testing.assert_allclose(found, [0.5, 0.75, 1.0, 5.5 / 6, 0.5])


def test_truths_lie_below_what_trained_overlap_nowhere_and_stay_when_more_are_asked_for():
    found = benchmark.places((860, 300), 12, seed=0)
    assert len(found) == 12
    assert (found >= (700, 0)).all()
    assert (found + benchmark.SHAPE <= (860, 300)).all()
    assert benchmark.CORNER[0] <= 700
    cells = np.zeros((860, 300), int)
    for row, column in found:
        cells[row : row + 41, column : column + 33] += 1
    assert cells.max() == 1
    np.testing.assert_array_equal(benchmark.places((860, 300), 5, seed=0), found[:5])


def test_what_says_nothing_counts_in_no_mean():
    assert benchmark.mean_and_error([90.0, None, 100.0]) == (95.0, pytest.approx(5.0))
