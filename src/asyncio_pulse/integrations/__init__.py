"""What ties frameworks to asyncio-pulse; each framework is a module of its own, imported by whoever uses it."""
