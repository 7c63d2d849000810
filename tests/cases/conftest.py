"""Small files after situations that people report; they lie beside the repository, or beside the data."""

import os
from pathlib import Path

import pytest

from tests.real_data import FOLDER, present


@pytest.fixture(scope="session")
def cases():
    """The folder of the cases."""
    return present(Path(os.environ.get("AEJAX_CASES", FOLDER.parent / "cases")), "AEJAX_CASES")
