"""``python -m tests.campaigns NAME --long``: runs a campaign and prints a line with its figures."""

import argparse
import sys

import pytest

from tests.campaigns import cuts, edits, elastic, environment, fuzz, good, kills, races, soak


def _patched(function):
    def run(count):
        with pytest.MonkeyPatch.context() as monkeypatch:
            return function(monkeypatch, count)

    return run


# (campaign, attempts of the short form, of the long one); of saves-cut the cuts of each save, all if None
CAMPAIGNS = {
    "edits": (edits.edits, 120, 2400),
    "fuzz": (fuzz.fuzz, 140, 50_000),
    "good": (good.good, 100, 20_000),
    "full-disks": (environment.full_disks, 4, None),
    "surroundings": (environment.surroundings, None, None),
    "signals": (environment.signals, 3, 60),
    "clocks": (environment.clocks, 2, 20),
    "soak": (soak.soak, 20_000, 10_000_000),
    "saves-cut": (_patched(cuts.saves), 3, None),
    "trainings-cut": (_patched(cuts.trainings), 6, 600),
    "saves-at-once": (races.saves, 5, 300),
    "trainings-at-once": (races.trainings, 2, 200),
    "trainings-killed": (kills.trainings, 2, 160),
    "streams-killed": (kills.streams, 2, 40),
    "monitors-killed": (kills.monitors, 1, 40),
    "denoisers-killed": (kills.denoisers, 1, 20),
    "devices-changed": (elastic.elastic, 2, 50),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("name", choices=CAMPAIGNS)
    parser.add_argument("--long", action="store_true", help="as many attempts as are wanted")
    parser.add_argument("--count", type=int, help="so many attempts")
    options = parser.parse_args()
    campaign, short, long = CAMPAIGNS[options.name]
    figures = campaign(options.count or (long if options.long else short))
    print(figures)
    for fault in figures.faults[:20]:
        print(f"  {fault}")
    sys.exit(bool(figures.faults))


if __name__ == "__main__":
    main()
