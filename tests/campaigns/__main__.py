"""``python -m tests.campaigns NAME --long``: runs a campaign and prints a line with its figures."""

import argparse
import sys

import pytest

from tests.campaigns import cuts, edits, kills, races


def _with_patch(function, *arguments, **options):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return function(monkeypatch, *arguments, **options)


# (short, long)
CAMPAIGNS = {
    "edits": (lambda: edits.edits(120), lambda: edits.edits(2400)),
    "saves-cut": (lambda: _with_patch(cuts.saves, 3), lambda: _with_patch(cuts.saves)),
    "trainings-cut": (lambda: _with_patch(cuts.trainings, 6), lambda: _with_patch(cuts.trainings, 600)),
    "saves-at-once": (lambda: races.saves(5), lambda: races.saves(300)),
    "trainings-at-once": (lambda: races.trainings(2), lambda: races.trainings(200)),
    "trainings-killed": (lambda: kills.trainings(2), lambda: kills.trainings(200)),
    "monitors-killed": (lambda: kills.monitors(1), lambda: kills.monitors(40)),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("name", choices=CAMPAIGNS)
    parser.add_argument("--long", action="store_true", help="as many attempts as docs/reliability.md says")
    options = parser.parse_args()
    figures = CAMPAIGNS[options.name][options.long]()
    print(figures)
    for fault in figures.faults[:20]:
        print(f"  {fault}")
    sys.exit(bool(figures.faults))


if __name__ == "__main__":
    main()
