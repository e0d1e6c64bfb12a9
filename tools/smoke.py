"""Show that an installed asyncio-pulse works: its doctor answers, and a report names the line that blocks a small program.

Usage: PYTHON tools/smoke.py        with the Python that has asyncio-pulse installed; wheels are tested with it
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """\
import asyncio, time

async def blocks():
    time.sleep(0.3)

async def waits():
    for _ in range(20):
        await asyncio.sleep(0.01)

async def main():
    await asyncio.gather(waits(), blocks())
    print("ended")

asyncio.run(main())
"""


def run(directory: str, *arguments: str) -> tuple[str, str]:
    command = [sys.executable, "-m", "asyncio_pulse", *arguments]
    # The source tree would hide the installed package.
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    print(f"$ asyncio-pulse {' '.join(arguments)}", done.stdout, done.stderr, sep="\n")
    if done.returncode != 0:
        sys.exit(f"smoke: asyncio-pulse {' '.join(arguments)} ended with exit status {done.returncode}")
    return done.stdout, done.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        facts, _ = run(directory, "doctor")
        if "govern asyncio's loops" not in facts:
            sys.exit("smoke: the doctor does not find that asyncio's loops can be governed")
        Path(directory, "program.py").write_text(PROGRAM)
        output, report = run(directory, "run", "program.py")
        if output != "ended\n" or "program.py:4" not in report:
            sys.exit("smoke: the program did not end, or the report does not name the line that blocked it")


if __name__ == "__main__":
    main()
