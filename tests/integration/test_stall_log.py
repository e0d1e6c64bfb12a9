"""What the log says of stalls, what long polls are shown to have done, and what is no offence."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import greenlet
import pytest

import asyncio_pulse as pulse
from asyncio_pulse.policy.tier_policy import InterventionAction
from tests.support.loops import LoopFactory
from tests.support.servers import PATIENCE_S
from tests.support.traffic import burn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the class of a stall is unknown")

STALLS = "asyncio_pulse.stalls"


def governed(main: Callable[[], Coroutine[Any, Any, Any]], loop_factory: LoopFactory) -> pulse.TierManager:
    """Run a task of group "GET /" on a governed loop; give what is known of it afterwards."""
    managers = []

    async def start() -> None:
        managers.append(pulse.get_manager())
        await asyncio.sleep(0.06)
        await pulse.spawn(main(), group="GET /", name="the task")
        await asyncio.sleep(0.12)

    pulse.run(start(), loop_factory=loop_factory)
    assert managers[0].get_metrics().internal_errors == 0
    return managers[0]


def records(caplog: pytest.LogCaptureFixture, group: str = "GET /") -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.name == STALLS and f"group {group}" in each.getMessage()]


@pytest.mark.timing  # a busy machine may keep the watchdog from the GIL until the stall is over
def test_a_stall_is_logged_with_class_place_group_and_seconds(
    loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def block() -> None:
        time.sleep(0.4)

    governed(block, loop_factory)
    [record] = records(caplog)
    text = record.getMessage()
    assert record.levelno == logging.WARNING
    # By the loop's thread: never by one that could be in the way of a fork or of a handler's lock.
    assert record.threadName == threading.current_thread().name
    assert "blocked in a call" in text
    assert f"block ({__file__}:" in text
    assert text.endswith("group GET /, task the task")
    assert float(text.partition("stalled for ")[2].partition(" s")[0]) > 0.3


def test_a_loop_that_goes_round_is_not_said_to_have_stalled(caplog: pytest.LogCaptureFixture) -> None:
    def texts() -> set[str]:
        found = (record.getMessage() for record in records(caplog))
        return {
            text.partition("the loop ")[2].partition(" for ")[0] for text in found if "without ever waiting" in text
        }

    async def go_round() -> None:
        pulse.get_manager().update_config(pulse.TierConfig(stall_threshold_ms=50))
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not texts():
            # On a busy machine a turn may last longer than the threshold, and the time begins anew.
            for _ in range(1000):
                await asyncio.sleep(0)

    governed(go_round, asyncio.new_event_loop)
    assert texts() == {"was busy"}


@pytest.mark.timing  # both must be seen
def test_a_stall_after_going_round_is_no_going_round(caplog: pytest.LogCaptureFixture) -> None:
    """GIVEN a loop that goes round; WHEN it blocks just before that is told; THEN nothing without length is told."""

    async def go_round_and_block() -> None:
        pulse.get_manager().update_config(pulse.TierConfig(stall_threshold_ms=200))
        end = time.monotonic() + 1.95
        while time.monotonic() < end:
            await asyncio.sleep(0)
        # The watchdog sees a loop that has not waited for 2 s before it sees a turn that is longer than 200 ms.
        time.sleep(0.4)
        await asyncio.sleep(0)

    stalls = governed(go_round_and_block, asyncio.new_event_loop).report().stalls
    assert [stall for stall in stalls if stall.stall_class == "blocked"]
    spins = [stall for stall in stalls if stall.stall_class == "spinning"]
    assert all(stall.total_wall_ns > stall.count * 1_900_000_000 for stall in spins), spins


def test_stalls_of_one_place_are_logged_in_growing_intervals(
    loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    def texts() -> list[str]:
        return [each.getMessage() for each in records(caplog)]

    def is_summed_up() -> bool:
        return any("more there since this was last logged" in text for text in texts()[1:])

    async def block() -> None:
        end, times = time.monotonic() + PATIENCE_S, 0
        # On a busy machine the watchdog may miss some.
        while times < 7 or (not is_summed_up() and time.monotonic() < end):
            time.sleep(0.35)
            await asyncio.sleep(0.11)
            times += 1

    manager = governed(block, loop_factory)
    assert is_summed_up()
    assert 2 <= len(texts()) < 5
    assert sum(stall.count for stall in manager.report().stalls if stall.group == "GET /") > len(texts())


def test_a_handler_of_the_log_that_raises_or_uninstalls_harms_nobody(loop_factory: LoopFactory) -> None:
    seen = []

    class Unfriendly(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)
            pulse.uninstall()

    async def main() -> str:
        end = time.monotonic() + PATIENCE_S
        while not seen and time.monotonic() < end:
            await asyncio.sleep(0.06)
            # On a busy machine the watchdog may miss one.
            time.sleep(0.4)
            await asyncio.sleep(0.12)
        return "done"

    handler = Unfriendly()
    logging.getLogger(STALLS).addHandler(handler)
    try:
        assert pulse.run(main(), loop_factory=loop_factory) == "done"
    finally:
        logging.getLogger(STALLS).removeHandler(handler)
    assert seen


@pytest.mark.timing  # one poll is sampled, and a pause of the machine is a part of it
@pytest.mark.parametrize("ms", [60, 500])
def test_importing_is_no_offence(
    ms: int,
    loop_factory: LoopFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = f"imported_{ms}_{loop_factory.__module__.partition('.')[0]}"
    source = "import time\nend = time.thread_time() + {}\nwhile time.thread_time() < end: pass\n"
    (tmp_path / f"{name}.py").write_text(source.format(ms / 1000))
    monkeypatch.syspath_prepend(str(tmp_path))

    async def serve() -> None:
        __import__(name)

    manager = governed(serve, loop_factory)
    [group] = [group for group in manager.groups() if group.name == "GET /"]
    assert (group.violations, group.tier) == (0, InterventionAction.MONITOR)
    assert "GET /" in {poll.group for poll in manager.report().worst_polls}
    assert [each for each in records(caplog) if each.levelno >= logging.WARNING] == []
    if ms > 200:
        assert {stall.stall_class for stall in manager.report().stalls if stall.group == "GET /"} == {"importing"}

    async def compute() -> None:
        burn(ms)

    # The very same without an import is one.
    [group] = [group for group in governed(compute, loop_factory).groups() if group.name == "GET /"]
    assert (group.violations, group.tier) == (1, InterventionAction.WARN)


@pytest.mark.timing  # one poll is sampled, and a pause of the machine is a part of it
def test_a_long_poll_is_named_by_where_it_was_for_most_of_its_time(loop_factory: LoopFactory) -> None:
    def early() -> None:
        burn(500)

    def late() -> None:
        burn(1100)

    async def work() -> None:
        early()
        late()

    manager = governed(work, loop_factory)
    [poll] = [poll for poll in manager.report().worst_polls if poll.group == "GET /"]
    [stall] = [stall for stall in manager.report().stalls if stall.group == "GET /"]
    assert "late" in {frame.function.rpartition(".")[2] for frame in poll.stack}
    assert "late" in {frame.function.rpartition(".")[2] for frame in stall.stack}


@pytest.mark.timing
def test_what_a_poll_did_at_its_beginning_does_not_hide_what_it_did_then(loop_factory: LoopFactory) -> None:
    def early() -> None:
        time.sleep(0.06)

    def late() -> None:
        time.sleep(0.15)

    async def work() -> None:
        for pause in (0.11, 0.13, 0.15, 0.17, 0.19, 0.21):
            early()
            late()
            await asyncio.sleep(pause)

    manager = governed(work, loop_factory)
    stalls = [stall for stall in manager.report().stalls if stall.group == "GET /"]
    assert {any(frame.function.endswith("late") for frame in stall.stack) for stall in stalls} == {True}


@pytest.mark.timing
@pytest.mark.parametrize(
    ("blocked_s", "computed_ms", "stall_class"), [(0.15, 800, "on-cpu"), (0.8, 150, "blocked")], ids=str
)
def test_a_long_poll_is_of_the_class_that_it_was_for_most_of_its_time(
    blocked_s: float, computed_ms: float, stall_class: str, loop_factory: LoopFactory
) -> None:
    def shorter_first() -> None:
        steps: list[Callable[[], object]] = [lambda: time.sleep(blocked_s), lambda: burn(computed_ms)]
        for step in steps if stall_class == "on-cpu" else reversed(steps):
            step()

    took_s: list[float] = []

    async def work() -> None:
        for _ in range(3):
            began = time.monotonic()
            shorter_first()
            took_s.append(time.monotonic() - began)
            await asyncio.sleep(0.1)

    for _ in range(4):
        took_s.clear()
        manager = governed(work, loop_factory)
        if max(took_s) < 1.2 * (blocked_s + computed_ms / 1000):
            break
    else:
        pytest.skip("a poll that has no processor for long is of the class 'processor', and rightly so")
    assert {stall.stall_class for stall in manager.report().stalls if stall.group == "GET /"} == {stall_class}


@pytest.mark.timing
def test_a_loop_that_waits_for_a_thread_to_begin_waits_for_the_gil(loop_factory: LoopFactory) -> None:
    def crunch(end: float) -> None:
        while time.monotonic() < end:
            sum(range(1000))

    async def work() -> None:
        for _ in range(3):
            end = time.monotonic() + 0.8
            # Each one must begin to run before the next one may be started.
            threads = [threading.Thread(target=crunch, args=(end,)) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)

    manager = governed(work, loop_factory)
    starting = [
        stall
        for stall in manager.report().stalls
        if any(frame.function == "Thread.start" for frame in stall.stack) and stall.group == "GET /"
    ]
    assert {stall.stall_class for stall in starting} == {"gil"}


@pytest.mark.timing
def test_a_loop_that_gets_the_gil_late_in_its_selector_has_stalled() -> None:
    """Only the selectors of asyncio's own loops can be seen."""
    values = [str(number * 7_919 % 1_000_003) for number in range(600_000)]
    beats = [time.monotonic()]

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.005)
            beats.append(time.monotonic())

    async def work() -> None:
        beating = asyncio.create_task(beat())
        for _ in range(8):
            # One call of C code, which keeps the GIL.
            await asyncio.to_thread(sorted, values)
            await asyncio.sleep(0.1)
        beating.cancel()

    manager = governed(work, asyncio.new_event_loop)
    late = [after - before for before, after in itertools.pairwise(beats) if after - before > 0.16]
    assert late, "the thread never kept the GIL for long"
    found = [stall for stall in manager.report().stalls if stall.stall_class == "gil"]
    assert sum(stall.count for stall in found) >= 0.7 * len(late)
    assert manager.report().loop_metrics[0].late_ns / 1e9 >= 0.7 * sum(each - 0.025 for each in late)


@pytest.mark.timing  # one poll is sampled, and a pause of the machine is a part of it
def test_code_of_the_program_is_seen_through_a_greenlet(loop_factory: LoopFactory) -> None:
    # As SQLAlchemy does: what runs in the greenlet does not stand on the task's frames.
    async def handle() -> None:
        greenlet.greenlet(burn).switch(400)

    manager = governed(handle, loop_factory)
    [poll] = [poll for poll in manager.report().worst_polls if poll.group == "GET /"]
    assert poll.stack[0].function == "burn"
    assert poll.stack[-1].function.endswith("handle")
    assert (poll.stack[-1].filename, poll.stack[-1].line) == (__file__, handle.__code__.co_firstlineno + 1)


@pytest.mark.timing  # one poll is sampled, and a pause of the machine is a part of it
def test_code_of_the_program_is_seen_however_deep_the_library(loop_factory: LoopFactory) -> None:
    scope: dict[str, Any] = {"burn": burn}
    source = "def descend(depth):\n    return descend(depth - 1) if depth else burn(400)\n"
    exec(compile(source, "/venv/lib/site-packages/library.py", "exec"), scope)

    async def handle() -> None:
        scope["descend"](120)

    manager = governed(handle, loop_factory)
    [poll] = [poll for poll in manager.report().worst_polls if poll.group == "GET /"]
    # The measuring `burn` is the program's too: take it away.
    assert any(frame.function.endswith("descend") for frame in poll.stack)
    assert len(poll.stack) <= 50


@pytest.mark.timing  # one poll is sampled, and a pause of the machine is a part of it
def test_a_thread_that_computes_without_the_gil_is_not_named(loop_factory: LoopFactory) -> None:
    ours, theirs = socket.socketpair()
    over = threading.Event()

    def feed() -> None:
        while not over.is_set():
            theirs.send(b"x")
            time.sleep(0.002)

    def compute_in_c() -> None:
        while not over.is_set():
            hashlib.pbkdf2_hmac("sha256", b"p", b"s", 300_000)

    async def read() -> None:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            ours.recv(1)

    threads = [threading.Thread(target=feed), threading.Thread(target=compute_in_c)]
    for thread in threads:
        thread.start()
    try:
        manager = governed(read, loop_factory)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        ours.close()
        theirs.close()
    stalls = [stall for stall in manager.report().stalls if stall.group == "GET /"]
    assert stalls
    assert not any("compute_in_c" in stall.culprit for stall in stalls)
