"""Each kind of columns is recognised by its values, and what is drawn is kept to it."""

import json

import numpy as np
import pytest

from aejax.data.columns.conditions import find_unknown, fit_conditions
from aejax.data.columns.kinds import constants, describe, has_changed, keep, recognise
from aejax.data.formats.reading import column_summary, described
from aejax.data.formats.tables import as_table
from aejax.tables.profiles import fit_profile, say_profile

RNG = np.random.default_rng(0)
N = 1000
# The values of a column, its kind, what is said, and whether a value is one of it.
COLUMNS = {
    "constant": (np.full(N, 3e6), "always 3e+06", lambda x: x == 3e6),
    "few values": (RNG.choice([0.0, 5.0], N), "0, 5", lambda x: np.isin(x, [0, 5])),
    "whole number": (RNG.poisson(4.0, N), "at least 0", lambda x: (x >= 0) & (x % 1 == 0)),
    "angle": (RNG.uniform(0, 360, N), "0 to 360, a circle", lambda x: (x >= 0) & (x < 360)),
    "number": (RNG.normal(310, 8, N), "", np.isfinite),
}
BOUNDED = {
    "at least 0": RNG.exponential(size=N),
    "0 to 100": np.clip(RNG.normal(85, 20, N), 0, 100),
    "0 to 1": RNG.beta(0.6, 0.6, N),
    "4 to 20": np.clip(RNG.normal(12, 6, N), 4, 20),
    "at most 0": -RNG.exponential(size=N),
    "": RNG.normal(0, 1, N),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_kind_is_recognised_said_and_kept(kind):
    values, said, is_possible = COLUMNS[kind]
    (column,) = recognise(values[:, None])
    assert column.kind == kind
    assert describe([column], ["x"]) == (f"{kind}: x ({said})" if said else "")
    drawn = RNG.normal(values.mean(), 2 * values.std() + 1, (500, 1))
    kept = keep([column], drawn)
    assert is_possible(kept).all()
    np.testing.assert_array_equal(keep([column], kept), kept)
    given = values[:, None].astype(float)
    np.testing.assert_array_equal(keep([column], given), given)
    assert json.loads(json.dumps(column.facts)) == column.facts


@pytest.mark.parametrize("said", BOUNDED)
def test_bounds_are_those_that_values_come_near_and_keep(said):
    (column,) = recognise(BOUNDED[said][:, None])
    assert describe([column], ["x"]) == (f"number: x ({said})" if said else "")


def test_counts_with_a_gap_in_their_tail_are_no_few_values():
    counts = np.repeat([0.0, 1.0, 2.0, 3.0, 5.0], [400, 300, 200, 99, 1])
    assert recognise(counts[:, None])[0].kind == "whole number"
    grades = np.repeat([1.0, 2.0, 5.0], [600, 300, 100])
    assert recognise(grades[:, None])[0].kind == "few values"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_draws_of_the_right_mean_and_spread_become_each_value_as_often_as_it_was(share):
    values = np.arange(10_000) < share * 10_000
    (column,) = recognise(values[:, None])
    drawn = RNG.normal(values.mean(), values.std(), (20_000, 1))
    assert keep([column], drawn).mean() == pytest.approx(share, abs=max(0.01, 0.3 * share * (1 - share)))


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_constant_has_changed_by_the_same_share_in_any_unit(unit):
    columns = recognise(unit * np.full((100, 1), 3.0))
    changed = has_changed(constants(columns), unit * np.array([[3.0], [3.0 * (1 + 1e-7)], [3.01], [0.0], [np.nan]]))
    assert changed[:, 0].tolist() == [False, False, True, True, False]
    columns = recognise(np.zeros((100, 1)))
    assert has_changed(constants(columns), [[0.0], [1e-9 * unit], [1e-17]])[:, 0].tolist() == [
        False,
        unit > 1e-9,
        False,
    ]


@pytest.mark.parametrize("spread", [0.8, 0.9, 1.0])
def test_numbers_around_zero_are_no_angles_though_they_stay_within_half_a_turn(spread):
    for seed in range(20):
        x = spread * np.random.default_rng(seed).normal(size=1000)
        assert recognise(x[:, None])[0].kind == "number", seed


def test_an_angle_is_seen_by_its_behaviour_and_turns_over():
    wind = (350 + RNG.normal(0, 30, N)) % 360
    (column,) = recognise(wind[:, None])
    assert column.kind == "angle"
    np.testing.assert_allclose(keep([column], [[370.0], [-10.0]])[:, 0], [10.0, 350.0])
    assert column_summary(wind)["kind"] == "angle"
    (said,) = [line for line in described(as_table({"wind": wind, "T": wind / 7}))["sentences"] if "wind" in line]
    assert said.startswith("column 'wind' is taken for an angle: a model is given its sine and its cosine")
    assert said.endswith("--kinds wind=number")
    notes, x = [], wind[:, None]
    say_profile(fit_profile(x, np.arange(N), False)[0], x, ("wind",), notes.append)
    assert said in notes
    level = RNG.uniform(0, 300, N)
    assert recognise(level[:, None])[0].kind == "number"


def test_a_condition_that_was_never_seen_is_found_in_each_way():
    heat, mode = RNG.uniform(0, 40, N), RNG.choice([1.0, 2.0, 5.0], N)
    heat[::4] = RNG.uniform(280, 320, len(heat[::4]))
    conditions = fit_conditions(np.column_stack([heat, mode]))
    new = [[20.0, 1.0], [300.0, 5.0], [150.0, 1.0], [-999.0, 1.0], [20.0, 3.0], [20.0, 7.0]]
    found = {what: np.flatnonzero(rows).tolist() for rows, what in find_unknown(conditions, new, ("heat", "mode"))}
    assert [rows for what, rows in found.items() if "far from" in what] == [[2]]
    assert [rows for what, rows in found.items() if "heat outside" in what] == [[3]]
    assert [rows for what, rows in found.items() if "not seen in training (1, 2, 5)" in what] == [[4]]
    assert [rows for what, rows in found.items() if "mode outside" in what] == [[5]]
    assert len(conditions.rows) == N
    assert not find_unknown(conditions, np.column_stack([heat, mode]), ("heat", "mode"))
