"""Decisions: pure functions and values. No asyncio, no clock reading, no input or output."""
