"""What asyncio-pulse costs, measured beside a bare control in the same run: `python -m benchmarks`."""
