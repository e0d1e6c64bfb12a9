"""`asyncio-pulse doctor`: what works here, what does not, and why."""
