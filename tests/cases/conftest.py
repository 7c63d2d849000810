"""Small files after situations that people report; they lie beside the repository, or beside the data."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cases():
    """The folder of the cases."""
    beside_data = Path(os.environ.get("AEJAX_DATA", "../shared/data")).parent / "cases"
    folder = Path(os.environ.get("AEJAX_CASES", beside_data))
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is not there: AEJAX_CASES names the folder of the cases")
        pytest.skip(f"{folder} is not there: AEJAX_CASES names the folder of the cases")
    return folder
