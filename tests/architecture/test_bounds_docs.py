"""The table of bounds says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asyncio_pulse.integrations import request_rules, route_templates
from asyncio_pulse.metrics import slow_queue
from asyncio_pulse.policy import breaker, group_names, log_limit
from asyncio_pulse.policy.slow_queue import SETTINGS as SLOW_QUEUE_SETTINGS
from asyncio_pulse.policy.tier_config import SETTINGS
from asyncio_pulse.runtime import events, ledger, sums

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "bounds.md").read_text()
NATIVE = ROOT / "src" / "asyncio_pulse" / "_native"


def row(start: str) -> str:
    [line] = [line for line in TEXT.splitlines() if line.startswith(f"| {start}")]
    return line


def constant(file: str, name: str) -> int:
    found = re.search(rf"\b{name} = (\d+)", (NATIVE / file).read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("start", "bound"),
    [
        ("groups of one loop", SETTINGS["max_groups"].default),
        ("groups of loops that are gone", ledger.MOST_GROUPS),
        ("worst polls and stalls, one loop", constant("model/worst.h", "PULSE_WORST_PLACES")),
        ("worst polls and stalls in a report", sums.MOST_PLACES),
        ("changes of tier, one loop", SETTINGS["audit_size"].default),
        ("changes of tier in a report", sums.MOST_CHANGES),
        ("tasks in a report", sums.MOST_TASKS),
        ("events", events.MOST_WAITING),
        ("kinds of log records", log_limit.MOST_REMEMBERED),
        ("places where preemption was refused", constant("preempt/record.c", "MOST_PLACES")),
        ("pairs of tasks kept waiting", constant("park/kept_waiting.c", "MOST_PAIRS")),
        ("pairs of tasks kept waiting", slow_queue.MOST_KEPT_WAITING),
        ("resumptions that wait", SLOW_QUEUE_SETTINGS["max_slow_queue_size"].default),
        ("idle flows", constant("queue/records.h", "PULSE_QUEUE_IDLE_FLOWS")),
        ("releases that a circuit breaker", breaker.MOST_BUCKETS + 1),
        ("groups made by the middleware", request_rules.MAX_GROUPS.default),
        ("paths that the middleware", route_templates.MOST_PATHS),
        ("paths that the middleware", route_templates.LONGEST_KEY),
    ],
)
def test_a_bound_is_the_one_in_force(start: str, bound: int) -> None:
    assert re.search(rf"\b{bound:,}\b", row(start))


def test_names_have_one_bound() -> None:
    assert constant("base/text.h", "PULSE_LONGEST_TEXT") == group_names.MAX_GROUP_NAME_LENGTH
    assert f"cut to {group_names.MAX_GROUP_NAME_LENGTH} characters" in TEXT
