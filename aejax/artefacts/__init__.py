"""Folders that are whole or not there: what is kept of a result."""
