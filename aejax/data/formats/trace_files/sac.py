"""SAC, one trace a file, by obspy: 32-bit floats, whose headers stay."""

import numpy as np

from aejax.data.formats.trace_files.registry import register
from aejax.data.formats.trace_files.streams import stream_format

_HEADER, _VERSION = 632, 304


def _begins(first: bytes) -> bool:
    """By the version of the header, 6 or 7, in either order of bytes."""
    version = first[_VERSION : _VERSION + 4]
    return len(first) >= _HEADER and any(int.from_bytes(version, order) in (6, 7) for order in ("big", "little"))


register(stream_format("SAC", "SAC", (".sac",), _begins, np.float32))
