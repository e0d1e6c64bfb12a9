"""Prints what a program can see of how it was started."""

import asyncio
import os
import sys


async def main() -> None:
    print(sys.argv, __name__, os.path.basename(__file__), sys.modules["__main__"].__dict__ is globals())
    print(sys.path, sys.flags, sys.warnoptions)
    print(sys.stdin.read())


asyncio.run(main())
