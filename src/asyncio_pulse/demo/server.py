"""The demo's server: real uvicorn in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["DemoError", "Server", "find_free_port", "stop_process", "uvicorn_arguments"]

HOST = "127.0.0.1"

START_PATIENCE_S = 30.0
STOP_PATIENCE_S = 10.0


class DemoError(Exception):
    """The demo cannot continue. The text gives the reason in one line."""


def stop_process(process: subprocess.Popen[str]) -> None:
    """Terminate a process, kill it if it does not end in time, and wait until it is gone."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def uvicorn_arguments(port: int, loop: str, application: str = "asyncio_pulse.demo.app:app") -> list[str]:
    """Return the arguments after `python -m` that serve the demo's application, or another, on "asyncio" or "uvloop"."""
    arguments = ["uvicorn", application, "--port", str(port), "--loop", loop]
    # Kept connections of a client must outlive a calm second; uvicorn's default is 5 s.
    return [*arguments, "--timeout-keep-alive", "120", "--log-level", "warning", "--no-access-log"]


class Server:
    """A server on loopback, from `__enter__` until `stop` or `__exit__`."""

    def __init__(self, arguments: Sequence[str], *, port: int, log_path: Path, environment: Mapping[str, str]) -> None:
        """Prepare; nothing runs before `__enter__`.

        Args:
            arguments: The arguments after `python -m`.
            port: The port on which the server will listen.
            log_path: Receives all output of the server.
            environment: Additional environment variables for the server.
        """
        self.port = port
        self.log_path = log_path
        self._command = [sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str] | None = None

    @property
    def process_id(self) -> int:
        """Process id of the server; 0 before it was started."""
        return self._process.pid if self._process else 0

    def cpu_s(self) -> float | None:
        """Return the CPU time of the running server so far, seconds; None where there is no /proc."""
        try:
            fields = Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        # utime and stime, the fields 14 and 15 of proc(5).
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        """Start the server, and wait until it accepts connections."""
        with self.log_path.open("w") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True, env=self._environment
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            stop_process(self._process)
            raise
        return self

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"the server ended at once with code {process.returncode}; see {self.log_path}")
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
                return
            time.sleep(0.05)
        raise DemoError(f"the server did not listen within {START_PATIENCE_S:g} s; see {self.log_path}")

    def stop(self) -> None:
        """Stop the server if it still runs, as a service manager would."""
        if self._process is not None:
            stop_process(self._process)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server if it still runs."""
        self.stop()
