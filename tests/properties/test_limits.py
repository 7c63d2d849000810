"""Conformal limits: the false alarm rate holds exactly, whichever of the exchangeable rows comes last."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aejax.tasks.anomaly import p_values, threshold

# Few values, so that ties are frequent, and any values.
SCORES = st.integers(0, 5).map(float) | st.floats(-1e6, 1e6)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9]) | st.floats(0.001, 0.999)


@given(st.lists(SCORES, min_size=2, max_size=60), RATES)
def test_of_exchangeable_rows_no_larger_share_is_flagged_than_asked_for(scores, rate):
    # Exchangeable: each of the rows is as likely to be the new one, the others being the held-out ones.
    flagged = above = 0
    for i, score in enumerate(scores):
        others = scores[:i] + scores[i + 1 :]
        flagged += bool(p_values(others, np.array([score]))[0] <= rate)
        above += score > threshold(others, rate)
    assert Fraction(flagged, len(scores)) <= Fraction(rate) + Fraction(1, 10**9)
    assert Fraction(above, len(scores)) <= Fraction(rate) + Fraction(1, 10**9)
    if len(set(scores)) == len(scores):  # without ties nothing is given away: one row more would be too many
        assert above == math.floor(rate * len(scores) + 1e-9)


@given(st.lists(SCORES, min_size=1, max_size=40), st.lists(SCORES, min_size=1, max_size=20), RATES)
def test_p_values_are_counted_and_agree_with_the_threshold(scores, new, rate):
    found = p_values(scores, np.array(new))
    for value, p_value in zip(new, found, strict=True):
        assert p_value == (1 + sum(score >= value for score in scores)) / (len(scores) + 1)
    limit = threshold(scores, rate)
    np.testing.assert_array_equal(np.array(new) > limit, found <= rate + 1e-12)
    order = np.argsort(new)
    assert (np.diff(found[order]) <= 0).all()
    assert math.isinf(limit) == (rate * (len(scores) + 1) < 1 - 1e-9)


@given(st.lists(SCORES, min_size=1, max_size=40), RATES, RATES, st.floats(0, 10))
def test_limits_fall_with_the_rate_and_rise_with_the_scores(scores, first, second, shift):
    rarer, commoner = sorted([first, second])
    assert threshold(scores, rarer) >= threshold(scores, commoner)
    higher = [score + shift for score in scores]
    assert threshold(higher, first) >= threshold(scores, first)


@given(st.lists(SCORES, min_size=1, max_size=40), st.randoms(), RATES)
def test_the_order_of_the_normal_rows_is_nothing(scores, random, rate):
    shuffled = random.sample(scores, len(scores))
    assert threshold(shuffled, rate) == threshold(scores, rate)
    new = np.array([*scores, np.nan])
    found = p_values(shuffled, new)
    np.testing.assert_array_equal(found, p_values(scores, new))
    assert np.isnan(found).tolist() == [False] * len(scores) + [True]
