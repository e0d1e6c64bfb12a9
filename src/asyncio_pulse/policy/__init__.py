"""Decisions: pure functions and values, without asyncio, clocks, input or output."""
