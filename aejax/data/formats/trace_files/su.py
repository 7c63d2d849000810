"""Seismic Unix, by obspy: 32-bit floats. Nothing marks such a file but its ending."""

import numpy as np

from aejax.data.formats.trace_files.registry import register
from aejax.data.formats.trace_files.streams import stream_format

register(stream_format("SU", "SU", (".su",), lambda first: not first, np.float32))
