"""Small files that stand for kinds of faults; they lie beside the repository, and are skipped where they are not."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2].parent / "shared" / "cases"


@pytest.fixture(scope="session")
def cases():
    """The folder of the cases."""
    folder = Path(os.environ.get("AEJAX_CASES", BESIDE))
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder}: the cases are missing, expected them in CI; set AEJAX_CASES")
        pytest.skip(f"{folder}: the cases are not here; set AEJAX_CASES")
    return folder
