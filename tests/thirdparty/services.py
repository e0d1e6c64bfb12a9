"""Real services of the machine's packages, each with a port and a temporary directory of its own.

Redis and PostgreSQL come with `apt-get install redis-server postgresql`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

START_SECONDS = 60.0
STOP_SECONDS = 20.0


def _program(name: str, package: str) -> str:
    # Debian keeps PostgreSQL's programs out of PATH.
    beside_path = sorted(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *reversed(beside_path)]))
    if found is None:
        pytest.skip(f"{name} is missing; on Debian it comes with: apt-get install {package}")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(port: int, question: bytes) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(question)
        return bool(connection.recv(1))
    return False


@contextlib.contextmanager
def _running(
    command: list[str], is_ready: Callable[[], bool], stop: signal.Signals, user: str | None = None
) -> Iterator[None]:
    process = subprocess.Popen(
        command, user=user, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start: {process.poll()}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis that keeps nothing; its URL."""
    program, port = _program("redis-server", "redis-server"), _free_port()
    with tempfile.TemporaryDirectory() as directory:
        options = {"bind": "127.0.0.1", "port": str(port), "dir": directory, "save": "", "appendonly": "no"}
        command = [program, *(word for name, value in options.items() for word in (f"--{name}", value))]
        with _running(command, lambda: _answers(port, b"PING\r\n"), signal.SIGTERM):
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Run a PostgreSQL whose only user is `pulse`; where it is, as user@host:port/database."""
    initdb, postgres = _program("initdb", "postgresql"), _program("postgres", "postgresql")
    # It refuses to run as root; Debian's package brings the user.
    user = "postgres" if os.geteuid() == 0 else None
    port = _free_port()
    with tempfile.TemporaryDirectory() as directory:
        if user is not None:
            shutil.chown(directory, user)
        data = os.path.join(directory, "data")
        initialise = [initdb, "-D", data, "-U", "pulse", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initialise, user=user, cwd=directory, check=True, capture_output=True, timeout=START_SECONDS)
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        command = [postgres, "-D", data, *(word for name in settings for word in ("-c", f"{name}={settings[name]}"))]
        # An SSLRequest is answered with one letter.
        with _running(command, lambda: _answers(port, b"\0\0\0\x08\x04\xd2\x16\x2f"), signal.SIGINT, user):
            yield f"pulse@127.0.0.1:{port}/postgres"
