"""Requests reports from a service, and its health meanwhile: `python -I web_client.py PORT`; needs only Python.

Prints the seconds of each request for /health as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

REPORTS = 10
HEALTHS = 80
PAUSE_S = 0.01


async def ask(port: int, path: str, count: int) -> list[float]:
    """Send requests over one connection, with a pause after each, and time them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(f"{path} answered with {head[:40]!r}")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_S)
    writer.close()
    return seconds


async def main(port: int) -> list[float]:
    """Request both paths at once, and return the seconds of /health."""
    return (await asyncio.gather(ask(port, "/health", HEALTHS), ask(port, "/report", REPORTS)))[0]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1])))))
