"""Numbers of pyarrow as arrays of NumPy."""

from typing import Any

import numpy as np


def as_float64(column: Any) -> np.ndarray:
    """A column of pyarrow as an array of its own.

    ``to_numpy`` imports pandas wherever that is installed, which takes a third of a second.

    Args:
        column: an Array or ChunkedArray of n numbers of any type.

    Returns:
        (n,) float64, NaN where missing. A whole number above 2^53 is rounded to what float64 holds.

    Example:
        >>> import pyarrow
        >>> as_float64(pyarrow.chunked_array([[1, None], [3]]))
        array([ 1., nan,  3.])
    """
    import pyarrow as arrow

    column = column.cast(arrow.float64(), safe=False)
    values = np.empty(len(column))
    begin = 0
    for chunk in getattr(column, "chunks", [column]):
        part = values[begin : begin + len(chunk)]
        bits, numbers = chunk.buffers()
        if len(chunk):
            part[:] = np.frombuffer(numbers, np.float64, len(chunk), 8 * chunk.offset)
        if chunk.null_count:
            are_there = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
            part[are_there[chunk.offset : chunk.offset + len(chunk)] == 0] = np.nan
        begin += len(chunk)
    return values
