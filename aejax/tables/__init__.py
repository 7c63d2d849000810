"""The main job on a table of named columns, in its own units: train, encode, reconstruct, detect, generate."""

from aejax.tables.application import detect, encode, evaluate, generate, reconstruct
from aejax.tables.training import Split, split_rows, train

__all__ = ["Split", "detect", "encode", "evaluate", "generate", "reconstruct", "split_rows", "train"]
