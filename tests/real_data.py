"""Files outside of the repository: where they are, and what a test does without them."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("AEJAX_DATA", "../shared/data"))


def present(path, named_by="AEJAX_DATA"):
    """The path; where nothing is there the test is skipped by its name, or fails in CI."""
    if not path.exists():
        absent = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        absent(f"{path} is absent: {named_by} names its folder")
    return path
