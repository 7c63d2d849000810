"""Campaigns: faults made on purpose, by the hundred.

``python -m tests.campaigns NAME --long`` takes the figures of ``docs/reliability.md`` again.
"""
