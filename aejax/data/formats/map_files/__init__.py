"""Formats of maps S(Q, E): one format a file. A file that is put here is found; nothing else has to be told."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
