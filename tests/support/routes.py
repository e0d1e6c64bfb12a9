"""Servers of unmodified applications, asked once for each path, plain or under `asyncio-pulse run`."""

from __future__ import annotations

import dataclasses
import http.client
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.running import PULSE, Ending, end_of
from tests.support.servers import PATIENCE_S, free_port, serving


@dataclasses.dataclass(frozen=True)
class Served:
    """What a server answered, and how it ended."""

    answers: list[Any]
    ending: Ending

    @property
    def routes(self) -> dict[str, int]:
        """The groups with a route's name, and the number of their requests."""
        assert self.ending.document is not None
        groups = [group for process in self.ending.document["processes"] for group in process["groups"]]
        counts: Counter[str] = Counter()
        for group in groups:
            if group["explicit"]:
                counts[group["name"]] += group["tasks"]
        return dict(counts)


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def serve(
    command: Sequence[str], paths: Sequence[str | Callable[[int], Any]], json_path: Path | None = None, *options: str
) -> Served:
    """Run a server on `{port}` and ask for each path, or by a function of the port; plain without a file for the report."""
    port = free_port()
    run = [sys.executable] if json_path is None else [*PULSE, "run", *options, "--json", json_path]
    with serving([*run, *(word.format(port=port) for word in command)], port) as process:
        answers = [path(port) if callable(path) else get(port, path) for path in paths]
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Served(answers, end_of(process.returncode, stdout, stderr, json_path))
