"""Integrations with frameworks: one module per framework, imported only by programs that use it."""
