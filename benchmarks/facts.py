"""The conditions of a result: the machine, the interpreter, the libraries, the day."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from asyncio_pulse import _core

__all__ = ["collect_facts"]

LIBRARIES = ("asyncio-pulse", "uvloop", "trio", "aiodebug", "aiocop", "uvicorn", "fastapi", "httptools")


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    if description.exists():
        for line in description.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def collect_facts() -> dict[str, Any]:
    """Describe this machine and this moment."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "clock": _core.clock_info(),
        "libraries": {library: _version(library) for library in LIBRARIES},
    }
