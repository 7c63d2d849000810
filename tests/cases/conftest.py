"""Small files after situations that people report; they lie beside the repository."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cases():
    """The folder of the cases."""
    folder = Path(os.environ.get("AEJAX_CASES", Path(__file__).parents[3] / "shared" / "cases"))
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is not there: AEJAX_CASES names the folder of the cases")
        pytest.skip(f"{folder} is not there: AEJAX_CASES names the folder of the cases")
    return folder
