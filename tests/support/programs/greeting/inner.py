"""What `python -m greeting.inner` runs."""

import asyncio
import sys


async def main() -> None:
    print("hello from", __name__, __package__, sys.argv[1:])


asyncio.run(main())
