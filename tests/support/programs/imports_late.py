"""Loads a server after the last loop of the program was created. Its argument is a module that it does without."""

import asyncio
import sys

sys.modules.update(dict.fromkeys(sys.argv[1:]))


async def main() -> bool:
    from uvicorn.server import Server

    return hasattr(Server.startup, "__asyncio_pulse__")


async def again() -> bool:
    return await main()


print("uvicorn.server" in sys.modules, asyncio.run(main()), asyncio.run(again()))
