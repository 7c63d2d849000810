"""The campaigns in their short form."""

import pytest

from tests.campaigns import cuts, edits, elastic, environment, fuzz, good, kills, races, soak

pytestmark = pytest.mark.slow


def assert_no_faults(figures):
    assert figures.faults == [], str(figures)
    assert figures.count > 0


def test_edits():
    assert_no_faults(edits.edits(120))


def test_fuzz():
    assert_no_faults(fuzz.fuzz(140))


def test_good_files():
    assert_no_faults(good.good(100))


def test_full_disks():
    assert_no_faults(environment.full_disks(4))


def test_surroundings():
    assert_no_faults(environment.surroundings(None))


def test_clocks_that_jump():
    assert_no_faults(environment.clocks(1))


def test_signals():
    assert_no_faults(environment.signals(3))


def test_soak():
    assert_no_faults(soak.soak(20_000))


@pytest.mark.parametrize("kind", ["mixture", "table monitor"])
def test_saves_cut(monkeypatch, kind):
    assert_no_faults(cuts.saves(monkeypatch, 40, [kind]))


def test_trainings_cut(monkeypatch):
    assert_no_faults(cuts.trainings(monkeypatch, 3))


def test_saves_at_once():
    assert_no_faults(races.saves(4))


def test_trainings_at_once():
    assert_no_faults(races.trainings(3))


@pytest.mark.parametrize("campaign", [kills.trainings, kills.streams, kills.monitors, kills.denoisers])
def test_processes_killed(campaign):
    assert_no_faults(campaign(1))


def test_runs_go_on_with_other_devices():
    assert_no_faults(elastic.elastic(2))
