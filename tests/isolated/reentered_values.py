"""Finalisers and hooks that change what is just being read, chosen or begun: what was read stays whole."""

from __future__ import annotations

import contextlib
import gc
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.lowlevel import Flow, SlowQueue
from asyncio_pulse.runtime.group_values import group_values

PLACES = 64
MOST_STRIKES = 30
strikes = 0
is_striking = False
action: Any = None


class Finalised:
    """Garbage in a cycle whose finaliser acts, and makes the next one."""

    def __init__(self) -> None:
        """Lead back to itself."""
        self.own = self

    def __del__(self) -> None:
        """Act, never inside itself."""
        global is_striking, strikes
        if action is not None and not is_striking and strikes < MOST_STRIKES:
            is_striking = True
            strikes += 1
            gc.set_threshold(700)
            action()
            gc.set_threshold(1)
            is_striking = False
            Finalised()


def read_while(act: Any, read: Any) -> None:
    """Read often enough, while each collection acts."""
    global action, strikes
    action, strikes = act, 0
    Finalised()
    gc.set_threshold(1)
    for _ in range(40):
        read()
    action = None
    gc.set_threshold(700)
    gc.collect()
    assert strikes > 0


def governor_with_few_rules(max_groups: int = 1000) -> _core.Governor:
    """Make one that measures, with the lowest thresholds."""
    governor = _core.Governor(0)
    governor.configure(
        poll_budget_us=(1, 1, 1, 1),
        operation_budget=(1, 1, 1, 1),
        slow_poll_threshold_us=1000,
        cpu_sample_interval_us=200,
        max_groups=max_groups,
        stall_threshold_us=1000,
        latency_target_us=1000,
    )
    return governor


def check_worst_polls() -> None:
    """Worse polls come while the list of them is made."""
    governor = governor_with_few_rules()
    made = 0

    def make_worse() -> None:
        nonlocal made
        made += 1
        task = _core.ManualTask(governor, _core.Options(group=f"{'long ' * 20} {made % 200}"))
        task.begin()
        task.end(1, 1_000_000 * made)

    for _ in range(PLACES):
        make_worse()

    def read() -> None:
        for poll in governor.worst_polls():
            assert poll["group"].startswith("long "), poll
        for group, _, _ in governor.groups():
            assert group.name.startswith(("long ", "(")), group.name

    read_while(make_worse, read)


def check_new_groups() -> None:
    """An account that goes to make room for a new group makes a task of that group: there is one, and it has both."""
    governor = governor_with_few_rules(max_groups=8)
    joined = 0

    def join(name: str) -> _core.ManualTask:
        return _core.ManualTask(governor, _core.Options(group=name))

    class Joining(_core.Account):
        def __del__(self) -> None:
            nonlocal joined
            if joined == 0:
                joined += 1
                join("new")

    for i in range(8):
        join(f"old {i}")
    for group, _, _ in governor.groups():
        group.set_account(Joining())
    join("new")
    assert joined == 1
    assert {group.name: group.tasks for group in group_values(governor.groups())}["new"] == 2


def check_flows() -> None:
    """Flows go while they are shown."""
    queue = SlowQueue[int]()

    def fill() -> None:
        for i in range(20):
            queue.enqueue(i, group=f"{'long ' * 20} {i}")

    def empty() -> None:
        queue.drain()
        # More idle flows than are remembered push out all others.
        for i in range(2000):
            queue.charge((2, f"other {i}"), 1)
        queue.drain()
        fill()

    def read() -> None:
        for flow in queue.flows():
            assert flow.group.startswith(("long ", "other ")), flow

    fill()
    read_while(empty, read)


def check_discipline() -> None:
    """A discipline empties the queue when it goes, after it has chosen."""
    queue = SlowQueue[int]()
    emptied = 0

    class Leaving:
        def choose(self, flows: list[Flow]) -> Flow:
            queue.algorithm = "lottery"  # type: ignore[assignment]
            return flows[0]

        def __del__(self) -> None:
            nonlocal emptied
            queue.drain()
            for i in range(2000):
                queue.charge((2, f"other {i}"), 1)
            emptied += 1

    for i in range(20):
        queue.algorithm = Leaving()  # type: ignore[assignment]
        queue.enqueue(i, group=f"{'long ' * 20} {i}")
        assert queue.process_batch(3) == []
    assert emptied == 20


def check_manual_polls() -> None:
    """A hook begins the poll that begins: it is refused, and what is polled in this thread is known afterwards."""
    governor = _core.Governor(0)
    task = _core.ManualTask(governor, _core.Options(group="by hand"))
    refused = 0

    class Hooks:
        def before_poll(self, *_: object) -> None:
            nonlocal refused
            for method, arguments in ((task.begin, ()), (task.end, (1, 1000))):
                with contextlib.suppress(RuntimeError):
                    method(*arguments)  # type: ignore[operator]
                    raise AssertionError("not refused")
                refused += 1

        def after_poll(self, *_: object) -> None:
            pass

        on_yield = on_completion = after_poll

    governor.set_hooks(Hooks())
    task.begin()
    task.end(1, 1000)
    assert refused == 2, refused
    assert _core.current() is None


check_worst_polls()
check_new_groups()
check_flows()
check_discipline()
check_manual_polls()
print("ok")
