"""Runs cut as finely as they can be."""

from aejax.training import driver, pace


def one_step_at_a_time(monkeypatch):
    """Parts of one step, or one block of validation rows, each of them reported."""
    monkeypatch.setattr(pace.Pace, "next_part", lambda self, step: (step + 1, 1))
    monkeypatch.setattr(driver, "_SECONDS_BETWEEN_REPORTS", 0.0)
