"""Masters of servers, which run no loop themselves, survive the signal that asks their workers for a report."""

from __future__ import annotations

import signal

import pytest

from tests.support.running import PULSE
from tests.support.servers import PATIENCE_S, free_port, request_until_all_answer, serving

SERVERS = {
    "hypercorn": ["web:app", "--workers", "2", "--bind", "127.0.0.1:{port}"],
    "granian": ["web:app", "--workers", "2", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_master_answers_and_its_workers_go_on(server: str) -> None:
    pytest.importorskip(server)
    port = free_port()
    arguments = [each.format(port=port) for each in SERVERS[server]]
    with serving([*PULSE, "run", "-m", server, *arguments], port) as process:
        request_until_all_answer(port, 2)
        process.send_signal(signal.SIGUSR2)
        request_until_all_answer(port, 2)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert f"asyncio-pulse: process {process.pid} has run no event loop so far\n" in stderr
    assert "asyncio-pulse: 2 processes, 2 event loops\n" in stderr
