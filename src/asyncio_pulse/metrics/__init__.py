"""Measurements: immutable values, and the exporters that publish them."""
