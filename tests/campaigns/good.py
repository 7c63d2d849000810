"""Good files, written in every dialect: each is read as it was meant, or refused; none is misread."""

import io

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from aejax.data.formats.tables import read_table
from tests.campaigns.figures import Figures
from tests.properties.test_csv import files


def good(count):
    """Reads so many tables, of text with all separators, marks, encodings, quotes and gaps."""
    figures = Figures("good files")

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(files())
    def read(file):
        names, rows, data, has_header = file
        try:
            table = read_table(io.BytesIO(data))
            assert table.has_header == has_header
            assert list(table.columns) == names or not has_header
            np.testing.assert_array_equal(table.values, np.array(rows, float))
            figures.add("read as it was meant")
        except ValueError:  # such as a header of which most names are words for a missing value
            figures.add("refused in a sentence")
        except AssertionError as error:
            figures.fault(f"{data[:80]!r}: {str(error)[:200]}")

    read()
    return figures
