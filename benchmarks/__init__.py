"""The cost of asyncio-pulse, measured beside a bare control in the same run: `python -m benchmarks`."""
