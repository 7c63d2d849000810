"""Numbers by their ranks, and by their levels: known answers, and the way back."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from aejax.data.columns import ranks
from aejax.data.columns.features import decode, encode, likelihood_of, widths
from aejax.data.columns.kinds import Column, keep, ranked
from aejax.losses import gaussian

RNG = np.random.default_rng(0)
HEAVY = np.exp(2 * RNG.normal(size=5000))
PILED = np.where(RNG.random(5000) < 0.9, 0.0, HEAVY)
HOURS = np.where(RNG.random(5000) < 0.5, 40, RNG.integers(1, 80, 5000)).astype(float)
NUMBER = Column("number", {})
KNOTS = {"values": [0.5, 1.0], "score": [0.0, 1.0], "low": [-1.0, 0.5], "high": [0.5, 2.0], "whole": False}


def test_columns_of_many_values_have_ranks_and_of_few_levels():
    assert ranked(NUMBER, HEAVY).kind == ranked(NUMBER, PILED).kind == "ranks"
    assert ranked(Column("whole number", {}), HOURS).kind == "levels"
    grade = Column("category", {"levels": ["A"], "has_missing": False, "rare": 0.0})
    assert ranked(grade, HOURS) is grade


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_scores_are_those_of_the_distribution(array):
    """The score of a log-normal value is its normal one, though all knots are those of a sample."""
    column = ranked(NUMBER, HEAVY)
    new = np.exp(2 * np.linspace(-2, 2, 41))
    score = np.asarray(encode([column], array(new[:, None])))[:, 0]
    np.testing.assert_allclose(score, np.linspace(-2, 2, 41), atol=0.08)
    again = np.asarray(decode([column], array(score[:, None])))[:, 0]
    np.testing.assert_allclose(again, new, rtol=1e-4)


@pytest.mark.parametrize("values", [HEAVY, PILED, np.round(3 * HEAVY)])
def test_normal_scores_become_the_distribution_of_the_training_rows(values):
    column = ranked(NUMBER, values)
    drawn = keep([column], decode([column], RNG.normal(size=(20000, 1))))[:, 0]
    assert stats.ks_2samp(drawn, values).statistic < 0.02
    assert (drawn >= values.min()).all()
    assert (drawn <= values.max()).all()


def test_a_value_that_piles_up_comes_back():
    column = ranked(NUMBER, PILED)
    np.testing.assert_array_equal(decode([column], encode([column], np.zeros((1, 1)))), [[0.0]])
    share = (decode([column], RNG.normal(size=(20000, 1))) == 0).mean()
    assert share == pytest.approx((PILED == 0).mean(), abs=0.01)


def test_values_beyond_those_of_training_are_at_the_end():
    for column in (ranked(NUMBER, HEAVY), ranked(NUMBER, HOURS)):
        known = HEAVY if column.kind == "ranks" else HOURS
        back = decode([column], encode([column], np.array([[-1e9], [1e9], [np.nan]])))
        np.testing.assert_allclose(back[:, 0], [known.min(), known.max(), np.nan])


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_levels_come_back(array):
    column = ranked(NUMBER, HOURS)
    rows = HOURS[:200, None]
    features = encode([column], array(rows))
    assert features.shape == (200, widths([column])[0])
    np.testing.assert_array_equal(features.sum(axis=1), 1)
    np.testing.assert_allclose(decode([column], features), rows)


def test_levels_have_the_likelihood_of_categories():
    likelihood = likelihood_of([ranked(NUMBER, HOURS), ranked(NUMBER, HEAVY)], gaussian(1.0))
    output = jnp.zeros((1, widths([ranked(NUMBER, HOURS)])[0] + 1))
    np.testing.assert_allclose(likelihood.mean(output)[0, :-1].sum(), 1.0, rtol=1e-5)


def test_a_column_of_one_value_is_that_value():
    facts = ranks.knots_of(np.full(10, 7.0))
    np.testing.assert_array_equal(ranks.decode_ranks(np.array([[-3.0], [2.0]]), facts), [7.0, 7.0])


@pytest.mark.parametrize(
    ("check", "facts"),
    [
        (ranks.check_levels, {"values": [1.0, 1.0]}),
        (ranks.check_knots, KNOTS | {"values": [1.0, 0.5]}),
        (ranks.check_knots, KNOTS | {"score": [0.0]}),
        (ranks.check_knots, KNOTS | {"low": [0.5, 0.5]}),
    ],
)
def test_facts_that_were_never_noted_are_refused(check, facts):
    with pytest.raises(ValueError, match="facts"):
        check("facts", facts)
    ranks.check_knots("facts", KNOTS)
