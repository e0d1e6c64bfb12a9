"""What was measured: immutable values, and the exporters that carry them elsewhere."""
