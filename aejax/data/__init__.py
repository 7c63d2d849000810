"""Data: synthetic processes with known optimum, files, scalers."""
