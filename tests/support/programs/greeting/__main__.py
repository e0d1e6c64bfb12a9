"""What `python -m greeting` runs."""

import asyncio
import sys


async def main() -> None:
    print("hello from", __name__, __package__, sys.argv[1:])


asyncio.run(main())
