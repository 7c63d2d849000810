import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cases():
    """The folder of small inputs that fail in other tools; see its README."""
    path = Path(os.environ.get("AEJAX_CASES", Path(__file__).parents[2] / "../shared/cases"))
    if not path.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{path} is not there; set AEJAX_CASES")
        pytest.skip(f"{path} is not there; set AEJAX_CASES")
    return path
