"""Columns of a table: their scales, and values that stand for missing ones."""
