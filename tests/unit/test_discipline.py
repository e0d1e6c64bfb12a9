"""Disciplines in Python: what they are shown and may decide, and what becomes of one that fails."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from asyncio_pulse.config import SchedulingAlgorithm
from asyncio_pulse.lowlevel import Discipline, Flow, SlowQueue

MS = 1_000_000


class Choosing:
    """Does what the test says."""

    def __init__(self, choose: Callable[[Sequence[Flow]], Any]) -> None:
        self._choose = choose
        self.calls = 0

    def choose(self, flows: Sequence[Flow], /) -> Any:
        self.calls += 1
        return self._choose(flows)


def last_group(flows: Sequence[Flow]) -> Flow:
    return max(flows, key=lambda flow: flow.group)


def queue_with(discipline: Discipline, groups: str = "abc") -> SlowQueue[str]:
    queue: SlowQueue[str] = SlowQueue(discipline)
    for number in range(3):
        for group in groups:
            assert queue.enqueue(f"{group}{number}", group=group, now_ns=0)
    return queue


def test_it_chooses_among_the_flows_that_wait() -> None:
    discipline = Choosing(last_group)
    assert isinstance(discipline, Discipline)
    queue = queue_with(discipline)
    assert queue.algorithm is discipline
    assert queue.process_batch(9, now_ns=0) == ["c0", "c1", "c2", "b0", "b1", "b2", "a0", "a1", "a2"]
    assert queue.process_batch(1, now_ns=0) == []
    assert discipline.calls == 9


def test_it_is_shown_what_it_needs() -> None:
    shown: list[Flow] = []

    def look(flows: Sequence[Flow]) -> Flow:
        shown[:] = flows
        return flows[0]

    queue = queue_with(Choosing(look), "ab")
    queue.process_batch(2, now_ns=5)
    assert sorted(shown) == [Flow((2, "a", 2, 1, 0, 0)), Flow((2, "b", 3, 0, 5, 0))]


def test_what_goes_before_disciplines_goes_before_this_one() -> None:
    discipline = Choosing(last_group)
    queue = queue_with(discipline)
    queue.enqueue("urgent", group="a", urgent=True, now_ns=0)
    queue.enqueue("holder", group="a", holder=True, now_ns=0)
    assert queue.process_batch(2, now_ns=0) == ["urgent", "holder"]
    assert queue.process_batch(1, now_ns=2_000 * MS) == ["b0"]  # rescued: c would be next, and a was served just now
    assert discipline.calls == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda flows: None,
        lambda flows: "a",
        lambda flows: tuple(flows[0]),
        lambda flows: Flow((2, "nobody", 1, 0, 0, 0)),
        lambda flows: Flow((7, "a", 1, 0, 0, 0)),
        lambda flows: Flow((-(2**70), "a", 1, 0, 0, 0)),
        lambda flows: Flow((2, None, 1, 0, 0, 0)),
        lambda flows: Flow((0, "a", 1, 0, 0, 0)),
    ],
    ids=["nothing", "name", "tuple", "unknown", "priority", "huge", "no group", "not waiting"],
)
def test_nonsense_ends_it(answer: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    discipline = Choosing(answer)
    queue = queue_with(discipline)
    assert queue.process_batch(9, now_ns=0) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert (queue.algorithm, discipline.calls) == (SchedulingAlgorithm.CREDIT_BASED, 1)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("asyncio_pulse.slow_queue", logging.ERROR)
    assert record.getMessage().startswith(f"choose of {discipline!r} returned ")


def test_an_exception_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    def fail(flows: object) -> None:
        raise LookupError("no such flow")

    queue = queue_with(Choosing(fail))
    assert len(queue.process_batch(9, now_ns=0)) == 9
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
    assert record.exc_info[1].__traceback__ is not None


def test_ctrl_c_is_not_its_fault_and_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def interrupted(flows: object) -> None:
        raise KeyboardInterrupt

    discipline = Choosing(interrupted)
    queue = queue_with(discipline)

    def release() -> None:
        # The signal's handler runs before the result gets anywhere: what was released goes with it, as in any function.
        queue.process_batch(1, now_ns=0)
        # On 3.14 it runs at the end of a loop's body, not of a call.
        for _ in range(2):
            pass

    with pytest.raises(KeyboardInterrupt):
        release()
    assert queue.algorithm is discipline
    assert not caplog.records
    assert len(queue) == 8


def test_it_may_use_the_queue_while_it_chooses(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[str] = []

    def drain(flows: Sequence[Flow]) -> Flow:
        queue.enqueue("d0", group="d", now_ns=0)
        taken.extend(queue.drain())
        return flows[0]

    queue = queue_with(Choosing(drain))
    assert queue.process_batch(9, now_ns=0) == []
    assert len(taken) == 10
    assert "no flow that waits" in caplog.text


def test_it_may_be_replaced_while_it_chooses(caplog: pytest.LogCaptureFixture) -> None:
    other = Choosing(last_group)

    def replace(flows: Sequence[Flow]) -> None:
        queue.algorithm = other

    queue = queue_with(Choosing(replace))
    assert queue.process_batch(2, now_ns=0)[1] == "c0"
    assert queue.algorithm is other
    assert not caplog.records


def test_a_native_algorithm_takes_its_place() -> None:
    queue = queue_with(Choosing(last_group))
    queue.algorithm = SchedulingAlgorithm.LOTTERY
    assert queue.algorithm == "lottery"
    assert sorted(queue.process_batch(9, now_ns=0)) == sorted(
        f"{group}{number}" for group in "abc" for number in range(3)
    )
