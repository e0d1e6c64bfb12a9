"""The slow queue on its own: what it refuses, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncio_pulse.lowlevel import SlowQueue


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"algorithm": "fifo"},
            ValueError,
            "algorithm must be credit_based, lottery or deficit_round_robin, got 'fifo'",
        ),
        ({"algorithm": 5}, TypeError, "algorithm must be a SchedulingAlgorithm or a Discipline, got 5"),
        ({"max_size": 0}, ValueError, "max_size must be 1 to 100000, got 0"),
        ({"max_size": 100_001}, ValueError, "max_size must be 1 to 100000, got 100001"),
        ({"seed": -1}, ValueError, "seed must be 0 to 18446744073709551615, got -1"),
        ({"seed": 1.5}, TypeError, "integer"),
        ({"starvation_threshold_ms": 0}, ValueError, "starvation_threshold_ms must be at least 1, got 0"),
        ({"quantum_us": (1, 2, 3)}, TypeError, "quantum_us|sequence|tuple"),
        ({"quantum_us": (1, 2, 3, 0)}, ValueError, "quantum_us must be four numbers from 1 to 10000000, got 0"),
    ],
    ids=str,
)
def test_bad_settings_are_named(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SlowQueue(**settings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda queue: queue.enqueue(1, priority=4), ValueError, "priority must be 0 to 3, got 4"),
        (lambda queue: queue.enqueue(1, group=5), TypeError, "group must be a str, got 5"),
        (lambda queue: queue.enqueue(1, now_ns=-1), ValueError, "now_ns must be 0 to 9223372036854775807, got -1"),
        (lambda queue: queue.enqueue(1, cost_us=2**32), ValueError, "cost_us must be 0 to 4294967295, got 4294967296"),
        (lambda queue: queue.process_batch(-1), ValueError, "n must be at least 0, got -1"),
        (lambda queue: queue.charge((4, ""), 5), ValueError, "priority must be 0 to 3, got 4"),
        (lambda queue: queue.charge((0, b""), 5), TypeError, "group must be a str, got b''"),
        (lambda queue: queue.charge((0, ""), -5), ValueError, "cpu_us must be 0 to 9223372036854775807, got -5"),
        (lambda queue: queue.charge((0, ""), None), TypeError, "cpu_us must be a whole number"),
        (lambda queue: delattr(queue, "algorithm"), AttributeError, "algorithm cannot be deleted"),
    ],
)
def test_bad_input_is_named(call: Callable[[Any], object], error: type[Exception], message: str) -> None:
    queue = SlowQueue[int]()
    with pytest.raises(error, match=message):
        call(queue)
    assert (len(queue), queue.flows()) == (0, [])
