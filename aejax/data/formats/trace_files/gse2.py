"""GSE2, by obspy: whole numbers of 32 bits, to which results are rounded."""

import numpy as np

from aejax.data.formats.trace_files.registry import register
from aejax.data.formats.trace_files.streams import stream_format

register(stream_format("GSE2", "GSE2", (".gse2", ".gse"), lambda first: first.startswith(b"WID2"), np.int32))
