"""A run as graphs that are used without aejax: raw rows in, codes, rows or verdicts out."""

from aejax.export.checking import Difference
from aejax.export.folder import FORMATS, export_run
from aejax.export.monitors import export_monitor

__all__ = ["FORMATS", "Difference", "export_monitor", "export_run"]
