"""The laws once more, under the switches that people who know JAX turn on first, each in a process of its own.

JAX reads its switches from the environment. Every law is written once, in ``tests/laws``; what runs here of them is
what a switch can break, for every model of the registry.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = "the_same_key or sweep_of_ensembles or resuming"
FUNCTIONS = "float32 or tasks_take"
SWITCHES = {
    ("JAX_ENABLE_X64", "1"): f"{RUNS} or {FUNCTIONS}",
    # Uncompiled, so that a NaN that a later step hides is seen as well.
    ("JAX_DEBUG_NANS", "1"): f"{RUNS} or {FUNCTIONS} or missing_values",
    ("JAX_NUMPY_RANK_PROMOTION", "raise"): f"{RUNS} or {FUNCTIONS}",
    ("JAX_TRANSFER_GUARD", "disallow"): f"{RUNS} or {FUNCTIONS}",
    ("JAX_NUM_CPU_DEVICES", "8"): RUNS,
}


@pytest.mark.switches
@pytest.mark.parametrize("switch", SWITCHES, ids="=".join)
def test_the_laws_hold_under(switch):
    name, value = switch
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-k", SWITCHES[switch]]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/laws", *options],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, name: value},
    )
    assert found.returncode == 0, found.stdout + found.stderr
