"""Spikes, constants, kinds of columns and conditions of the tables of cases: the right values, by short trainings."""

import functools

import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.formats.tables import read_table
from aejax.reports.detections import detection_summary
from aejax.reports.results import summary
from aejax.tables.config import TrainConfig


class Trained:
    """A run on one of the cases, with what was said, and new tables of the same case."""

    def __init__(self, folder, out, name, **options):
        self.folder, self.notes = folder, []
        config = TrainConfig(**{"num_epochs": 40, **options})
        self.run = tables.train(read_table(str(folder / name)), config, out, notice=self.notes.append)
        self.summary = summary(self.run, aejax.load(tables.record_folder(out)))

    def detect(self, name, **options):
        table = read_table(self.folder / name, columns=self.run.source.columns)
        self.said = []
        return tables.detect(self.run, table, notice=self.said.append, **options)


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory):
    @functools.cache
    def train(case, name, **options):
        return Trained(cases / "tables" / case, tmp_path_factory.mktemp("run") / "run", name, **options)

    return train


def noted(notes, *words):
    return [note for note in notes if all(word in note for word in words)]


def test_a_plain_table_is_found_in_order(trained):
    base = trained("00-base", "train.csv")
    assert not noted(base.notes, "gross") + noted(base.notes, "stand out") + noted(base.notes, "always")
    found = base.detect("new.csv")
    assert 0.002 < found["is_anomaly"].mean() < 0.03
    assert set(found["reason"]) == {"", "score"}
    np.testing.assert_array_equal(found["reason"] == "score", found["is_anomaly"])


def test_spikes_leave_the_detection_as_it_is_on_clean_rows(trained):
    """A fault of +25 in the second half; 18 of 2,000 training rows hold a value times a million."""
    spiked, clean = (trained("22-outliers", f"train_{which}.csv", num_epochs=120) for which in ("outliers", "clean"))
    for fitted in (spiked, clean):
        flagged = fitted.detect("new_fault.csv")["is_anomaly"]
        assert flagged[1000:].mean() > 0.98
        assert flagged[:1000].mean() < 0.03
    assert spiked.run.config.latent_dim == clean.run.config.latent_dim
    assert spiked.run.profile.num_gross.tolist() == [3] * 6
    assert len(noted(spiked.notes, "3 value(s) outside", "gross errors")) == 6
    assert "without 18 gross errors" in spiked.summary
    assert not clean.run.profile.num_gross.any()
    with_spikes = spiked.run, read_table(str(spiked.folder / "train_outliers.csv"))
    assert tables.evaluate(*with_spikes)["explained_variance"] > 0.9


def test_rows_that_stand_out_are_counted(trained):
    contaminated = trained("27-contaminated", "train.csv")
    assert noted(contaminated.notes, "about 5 % of the training rows stand out")
    assert contaminated.run.profile.standing_out == pytest.approx(0.05, abs=0.01)


def test_a_constant_that_changes_is_an_alarm_and_its_rounding_is_none(trained):
    constants = trained("19-constants", "train.csv")
    assert len(noted(constants.notes, "is always")) == 4
    assert constants.detect("new.csv")["is_anomaly"].mean() < 0.03
    assert constants.detect("new_rated_rounding.csv")["is_anomaly"].mean() < 0.03
    found = constants.detect("new_leak_doubled.csv")
    assert found["is_anomaly"].all()
    assert all("leak_mol was always 0.0001 in training" in reason for reason in found["reason"])
    by_constant = found["reason"] == "leak_mol was always 0.0001 in training"
    assert (found["top_sensor"][by_constant] == "leak_mol").all()
    assert "leak_mol was always 0.0001 in training (1000 rows)" in detection_summary(found)
    drawn = tables.generate(constants.run, 100)
    for name, value in {"leak_mol": 1e-4, "setpoint": 60, "trip": 0, "rated_W": 3e6}.items():
        np.testing.assert_array_equal(drawn[name], value)


def test_a_label_of_zeros_is_pointed_out_and_does_not_decide(trained):
    labelled = trained("01-label-column", "normal.csv")
    assert noted(labelled.notes, "'anomaly' is always 0")
    assert noted(labelled.notes, "'changepoint' is always 0")
    found = labelled.detect("new.csv")
    table = read_table(str(labelled.folder / "new.csv"))
    is_labelled = table.values[:, -2] == 1
    without = tables.detect(labelled.run, table._replace(values=np.where([*[True] * 6, False, False], table.values, 0)))
    np.testing.assert_array_equal(found["score"], without["score"])
    assert 0.2 < is_labelled.mean() < 0.4
    assert found["is_anomaly"][is_labelled].mean() < 0.03
    assert ["does not decide" in reason for reason in found["reason"]] == is_labelled.tolist()
    assert set(found["top_sensor"]) <= set(labelled.run.columns[:-2])


def test_generated_rows_are_of_the_kinds_of_the_columns(trained):
    kinds = trained("20-types", "train.csv")
    assert noted(kinds.notes, "few values: pump_on (0, 1), grade (1, 2, 5)", "whole number: trips (at least 0)")
    assert noted(kinds.notes, "flow (at least 0)", "valve_pct (0 to 100)")
    drawn = tables.generate(kinds.run, 4000)
    real = dict(zip(kinds.run.columns, read_table(str(kinds.folder / "train.csv")).values.T, strict=True))
    for name in ("pump_on", "grade"):
        assert set(drawn[name]) == set(real[name])
        for value in set(real[name]):
            # A number that is cut into values: their shares are near (docs/limits.md), not equal.
            assert (drawn[name] == value).mean() == pytest.approx((real[name] == value).mean(), abs=0.15)
    assert (drawn["trips"] % 1 == 0).all()
    assert drawn["trips"].min() >= 0
    assert drawn["flow"].min() >= 0
    assert drawn["valve_pct"].min() >= 0
    assert drawn["valve_pct"].max() <= 100
    kinds.detect("new_grade.csv")
    assert noted(kinds.said, "'grade'", "500 rows hold 3, not seen in training (1, 2, 5)")


@pytest.mark.parametrize(
    ("value", "words"),
    [(20.0, None), (300.0, None), (150.0, "far from any training row"), (400.0, "outside"), (-999.0, "outside")],
)
def test_conditions_unlike_those_of_training_are_said(trained, value, words):
    conditional = trained("30-conditional", "train.csv", model="conditional_vae", condition_columns=("T_amb",))
    said = []
    tables.generate(conditional.run, 3, {"T_amb": value}, notice=said.append)
    assert bool(said) == bool(words)
    assert len(noted(said, "T_amb", words or "")) == len(said)
    table = read_table(str(conditional.folder / "train.csv"))
    rows = table.values[:50].copy()
    rows[7, table.columns.index("T_amb")] = value
    found = tables.detect(conditional.run, table._replace(values=rows), notice=said.append)
    assert ((words or "no") in found["reason"][7]) == bool(words)
    assert not any(reason not in ("", "score") for reason in np.delete(found["reason"], 7))


def test_a_rate_that_the_calibration_rows_cannot_support_is_said(trained):
    base = trained("00-base", "train.csv")
    base.detect("new.csv", false_alarm_rate=0.0005)
    assert noted(base.said, "400 calibration rows are too few for a false alarm rate of 0.0005")
    base.detect("new.csv", false_alarm_rate=0.01)
    assert not base.said


def test_a_split_that_leaves_nothing_leaves_no_folder_and_its_remedy_works(cases, tmp_path):
    """Trailing rows without a value, which a split by time would calibrate on."""
    table = read_table(str(cases / "tables" / "00-base" / "train.csv"))
    values = table.values[:300].copy()
    values[200:] = np.nan
    table = table._replace(values=values, labels={})
    config = TrainConfig(split="time", num_epochs=1)
    with pytest.raises(ValueError, match="leave out the empty rows, or take --split random"):
        tables.train(table, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    tables.train(table, TrainConfig(num_epochs=1), tmp_path / "run")
