"""The errors of columns and pairs of columns are those of SDMetrics."""

import numpy as np
import pandas as pd
import pytest
import sdmetrics.column_pairs as pairs
import sdmetrics.single_column as single

from aejax.data.formats.tables import as_table
from aejax.tables.likeness.samples import samples_of
from aejax.tables.likeness.shapes import column_errors, pair_errors
from tests.tables.test_likeness import frame_of


def test_errors_of_columns_and_pairs_are_the_same():
    frames = [pd.DataFrame(frame_of(num_rows, seed)) for num_rows, seed in ((1000, 0), (700, 1))]
    frames[1].loc[:20, "heat"] = np.nan
    real, new = samples_of([as_table(frame) for frame in frames])
    columns, errors = column_errors(real, new), pair_errors(real, new)
    for i, first in enumerate(real.names):
        metric = single.TVComplement if real.is_category[i] else single.KSComplement
        assert columns[i] == pytest.approx(1 - metric.compute(*(frame[first] for frame in frames)), abs=1e-9)
        for j, second in enumerate(real.names[:i]):
            both = [frame[[first, second]].copy() for frame in frames]
            numbers = [real.names[k] for k in (i, j) if not real.is_category[k]]
            if len(numbers) == 2:
                score = pairs.CorrelationSimilarity.compute(*both)
            else:
                score = pairs.ContingencySimilarity.compute(*both, continuous_column_names=numbers)
            assert errors[i, j] == pytest.approx(1 - score, abs=1e-9), (first, second)
