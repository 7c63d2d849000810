"""A graph as StableHLO: what ``jax.export`` writes, and JAX alone reads."""

from pathlib import Path

import jax
import numpy as np
from jax import export

from aejax.data.formats.libraries import library
from aejax.export.graphs import Graph, raw_rows

# Of one export; those that a machine does not have cost it nothing.
PLATFORMS = ("cpu", "cuda")


def write(graph: Graph, num_columns: int, path: Path) -> None:
    """Writes a graph for any number of rows.

    Args:
        graph: the Graph.
        num_columns: of the raw rows.
        path: the file.

    Raises:
        ImportError: the extra is not installed.
    """
    library("flatbuffers", "StableHLO", "stablehlo")  # with which JAX writes and reads the file
    with jax.enable_x64(True):
        exported = export.export(jax.jit(graph.whole), platforms=PLATFORMS)(raw_rows(num_columns))
        path.write_bytes(exported.serialize())


def run(path: Path, rows: np.ndarray) -> list[np.ndarray]:
    """What a written graph makes of raw rows.

    Args:
        path: the file.
        rows: (n, columns) float64.

    Returns:
        The outputs.
    """
    with jax.enable_x64(True):
        return [np.asarray(output) for output in export.deserialize(bytearray(path.read_bytes())).call(rows)]
