"""Web servers in processes of their own, asked over the loopback until each of their workers has answered."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.running import PULSE, Ending, end_of, started

PATIENCE_S = 30


@contextlib.contextmanager
def serving(command: list[str | Path], port: int) -> Iterator[subprocess.Popen[str]]:
    with started(command) as process:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        yield process


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def request(port: int) -> int:
    """Ask the service for the id of the process that answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S) as response:
        return int(response.read())


def request_until_all_answer(port: int, processes: int) -> int:
    """Send requests, eight at a time, until so many processes have answered; return how many requests it took."""
    answers: list[int] = []
    deadline = time.monotonic() + PATIENCE_S
    with ThreadPoolExecutor(8) as executor:
        while len(set(answers)) < processes:
            assert time.monotonic() < deadline, f"only {set(answers)} answered"
            answers += executor.map(request, [port] * 8)
    return len(answers)


def serve(server: list[str], port: int, json_path: Path, number: signal.Signals, processes: int) -> tuple[Ending, int]:
    with serving([*PULSE, "run", "--json", json_path, *server], port) as process:
        requests = request_until_all_answer(port, processes)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return end_of(process.returncode, stdout, stderr, json_path), requests
