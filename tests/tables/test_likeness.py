"""The judge of new rows: known answers, the same figures as SDMetrics, and the command."""

import json

import numpy as np
import pytest

from aejax import tables
from aejax.cli.main import main
from aejax.data.formats.options import ReadOptions, with_categories
from aejax.data.formats.tables import as_table, write_table
from aejax.tables.likeness.classifiers import learned
from aejax.tables.likeness.comparison import as_json
from aejax.tables.likeness.privacy import membership, nearest, share_nearer, share_of_copies
from aejax.tables.likeness.samples import Sample, samples_of

pytest.importorskip("sklearn")


def frame_of(num_rows, seed, shift=0.0, shares=(0.6, 0.3, 0.1)):
    rng = np.random.default_rng(seed)
    grade = rng.choice(["a", "b", "c"], num_rows, p=shares)
    load = rng.normal(shift, 1, num_rows)
    heat = load + (grade == "a") + 0.3 * rng.normal(size=num_rows)
    state = np.where(rng.random(num_rows) < 1 / (1 + np.exp(-2 * load)), "on", "off").astype(object)
    state[rng.random(num_rows) < 0.05] = None
    return {"load": load, "grade": grade, "heat": heat, "state": state}


@pytest.fixture(scope="module")
def parts():
    return [as_table(frame_of(num_rows, seed)) for num_rows, seed in ((1000, 0), (700, 1), (500, 2))]


def figures(*args, **options):
    return {each.name: each for each in tables.compare(*args, **options).figures}


def test_rows_of_the_same_plant_pass_every_test(parts):
    real, new, held_out = parts
    found = tables.compare(real, new, held_out, target="grade")
    assert found.num_rows == 500
    by_name = {each.name: each for each in found.figures}
    assert len(by_name) == 8
    for name in ("column error", "pair error"):
        assert by_name[name].new == pytest.approx(by_name[name].real, abs=0.02)
    for name, each in by_name.items():
        if "told from real rows" in name:
            assert abs(each.new - 0.5) < 0.05
            assert abs(each.real - 0.5) < 0.05
    target = by_name["grade learned from them, AUC on held-out rows"]
    assert target.new == pytest.approx(target.real, abs=0.03)
    assert target.new > 0.75
    assert abs(by_name["nearer to training than to held-out rows"].new - 0.5) < 0.06
    assert abs(by_name["training rows told by their nearest new row, AUC"].new - 0.5) < 0.05
    assert by_name["copies of training rows"].new == 0
    assert set(found.by_column) == {"load", "grade", "heat", "state"}


def test_copies_are_told(parts):
    real, _, held_out = parts
    by_name = figures(real, real, held_out)
    assert by_name["copies of training rows"].new == 1
    assert by_name["copies of training rows"].real == 0
    assert by_name["nearer to training than to held-out rows"].new > 0.7  # the nearest of a part of them
    assert by_name["training rows told by their nearest new row, AUC"].new > 0.6


def test_rows_of_another_plant_fail(parts):
    real, _, held_out = parts
    new = as_table(frame_of(700, 3, shift=1.0, shares=(0.2, 0.3, 0.5)))
    found = tables.compare(real, new, held_out)
    by_name = {each.name: each for each in found.figures}
    assert by_name["told from real rows by boosted trees, AUC"].new > 0.75
    assert found.by_column["load"][0] == pytest.approx(0.383, abs=0.04)  # KS distance of N(0, 1) and N(1, 1)
    assert found.by_column["grade"][0] == pytest.approx(0.4, abs=0.03)


def test_columns_that_do_not_hang_together_fail_by_pairs_alone(parts):
    real, new, held_out = parts
    values = np.array(new.values)
    values[:, 2] = np.random.default_rng(0).permutation(values[:, 2])
    found = tables.compare(real, new._replace(values=values), held_out)
    by_name = {each.name: each for each in found.figures}
    assert by_name["column error"].new < 0.05
    assert by_name["pair error"].new > 2 * by_name["pair error"].real
    assert set(found.worst_pairs[0][:2]) == {"load", "heat"}
    assert by_name["told from real rows by boosted trees, AUC"].new > 0.8


def test_a_number_is_learned_by_r2(parts):
    _, new, held_out = samples_of(parts)
    assert 0.8 < learned(new, held_out, "heat") < 1


def test_without_held_out_rows_nothing_is_said_of_privacy(parts):
    notes = []
    few = [part._replace(values=part.values[:120]) for part in parts]
    found = tables.compare(few[0], few[1], notice=notes.append)
    assert "nothing is said of privacy" in notes[0]
    assert not any("nearer" in each.name or "copies" in each.name for each in found.figures)
    assert found.num_rows == 60


def test_the_distance_to_the_nearest_row_is_right():
    known = Sample(("T", "grade"), np.array([[0.0, 0.0], [4.0, 1.0]]), np.array([0, 2]))  # a spread of 2
    rows = known._replace(values=np.array([[2.0, 0.0], [0.0, 1.0], [4.0, np.nan]]))
    np.testing.assert_allclose(nearest(known, rows, known), [1.0, 1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(nearest(known, known, known), 0, atol=1e-3)


def test_a_share_of_copies_counts_gaps_as_cells():
    rows = Sample(("a", "b"), np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([0, 0]))
    assert share_of_copies(rows, rows) == 1
    assert share_of_copies(rows, rows._replace(values=np.array([[1.0, 3.0], [2.0, 3.0]]))) == 0.5


def test_the_attack_learns_nothing_of_rows_that_it_cannot_know():
    rng = np.random.default_rng(0)
    first, second, new = (Sample(("a", "b"), rng.normal(size=(600, 2)), np.array([0, 0])) for _ in range(3))
    assert abs(membership(first, second, new) - 0.5) < 0.05
    assert abs(share_nearer(first, second, new) - 0.5) < 0.06
    assert membership(first, second, first) > 0.95


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"load": [1.0, 2.5] * 20}, "training columns missing: 'grade'"),
        ({"load": [1.5, 2.0] * 20, "grade": [1.0, 2.5] * 20}, "column 'grade': found numbers in one table and categ"),
        ({"load": [1.5, 2.0] * 5, "grade": ["a", "b"] * 5}, "found 10 and 10 rows, expected at least 20 of each"),
    ],
)
def test_tables_that_cannot_be_compared_are_named(new, message):
    real = as_table({"load": np.random.default_rng(0).normal(size=60), "grade": ["a", "b", "c"] * 20})
    with pytest.raises(ValueError, match=message):
        tables.compare(real, as_table(new))


def test_a_target_that_is_not_there_is_named(parts):
    with pytest.raises(ValueError, match="target: found no column 'colour', expected one of load"):
        tables.compare(parts[0], parts[1], target="colour")


def test_the_command_prints_and_gives_json(tmp_path, capsys):
    for name, num_rows, seed in (("real", 60, 0), ("new", 50, 1), ("held", 50, 2)):
        write_table(tmp_path / f"{name}.csv", {k: v.astype(str) for k, v in frame_of(num_rows, seed).items()})
    words = ["compare", str(tmp_path / "real.csv"), str(tmp_path / "new.csv"), "--held-out", str(tmp_path / "held.csv")]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as caught:
            main([*words, "--quiet", *more])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        if not more:
            assert "50 new rows, and as many real ones in their place" in text
            assert "nearer to training than to held-out rows" in text
    found = json.loads(text)
    assert set(found) == {"num_rows", "figures", "by_column", "worst_pairs"}
    assert found["figures"]["copies of training rows"] == {"new": 0.0, "real": 0.0, "best": 0.0}


def test_json_has_null_for_what_is_not_known(parts):
    few = [part._replace(values=part.values[:40]) for part in parts]
    found = as_json(tables.compare(*few))
    assert found["figures"]["nearer to training than to held-out rows"]["real"] is None
    json.dumps(found, allow_nan=False)


def test_of_rows_that_are_all_of_one_level_nothing_is_learned():
    real = as_table({"T": np.random.default_rng(0).normal(size=60), "grade": ["A", "B"] * 30})
    told = with_categories(ReadOptions(), real.categories)
    new = as_table({"T": np.random.default_rng(1).normal(size=60), "grade": ["A"] * 60}, told)
    test, rows = samples_of([real, new])
    assert learned(rows, test, "grade") == 0.5
    assert np.isnan(learned(test, rows, "grade")), "of test rows of one level nothing can be said"
