"""Frozen values, no I/O."""
