"""Preemption beside other users of signals: none of theirs is lost, late or taken."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.runtime import preemption
from tests.support.loops import LoopFactory
from tests.support.preempting import (
    AT_ONCE_US,
    MANY,
    compute_until,
    endanger,
    preemptions,
    refused,
    run_preempting,
    until_preempted,
)


def test_signals_of_the_program_do_not_wait_for_who_was_left(loop_factory: LoopFactory) -> None:
    own = signal.SIGRTMIN + 7
    sent: list[int] = []
    # How many were sent when the last one was handled: two that come together are handled once.
    handled = [0]
    main_thread = threading.main_thread().ident or 0

    def send(enough: asyncio.Event) -> None:
        while not enough.is_set():
            sent.append(own)
            signal.pthread_kill(main_thread, own)
            # Meanwhile the main thread waits for the GIL, and its time is over: it sees both signals at once, and ours,
            # which has the lower number, leaves.
            end = time.perf_counter() + 0.003
            while time.perf_counter() < end:
                pass

    async def main() -> None:
        stop, enough = asyncio.Event(), asyncio.Event()
        late: set[int] = set()
        task = pulse.spawn(compute_until(stop), preemptible=True)
        thread = threading.Thread(target=send, args=(enough,))
        thread.start()
        # On a busy machine most of the time is others'.
        while len(sent) < 100 or (preemptions() <= 10 and len(sent) < 2_000):
            await asyncio.sleep(0)
            count = len(sent)
            for _ in range(10):
                pass
            if handled[0] < count:
                late.add(count)
        enough.set()
        await asyncio.to_thread(thread.join)
        stop.set()
        await task
        assert preemptions() > 10
        # The sender may lose the GIL between noting and sending.
        assert len(late) <= len(sent) // 50

    earlier = signal.signal(own, lambda number, frame: handled.__setitem__(0, len(sent)))
    try:
        # Longer than a thread may keep the GIL from another one.
        run_preempting(main(), loop_factory, poll_budget_us=7_000)
    finally:
        signal.signal(own, earlier)


def test_signals_of_the_loop_are_not_lost_in_bursts(loop_factory: LoopFactory) -> None:
    handled: list[int] = []
    lost: list[int] = []

    def send() -> None:
        for number in range(150):
            time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)
            end = time.monotonic() + 2
            while len(handled) <= number - len(lost) and time.monotonic() < end:
                time.sleep(0.001)
            if time.monotonic() >= end:
                lost.append(number)
                return

    async def main() -> None:
        async def refused_often(thread: threading.Thread) -> None:
            while thread.is_alive():
                max(range(100), key=lambda number: sum([number for _ in range(100)]))
                await asyncio.sleep(0)

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, handled.append, 1)
        thread = threading.Thread(target=send)
        thread.start()
        await pulse.spawn(refused_often(thread), preemptible=True)
        thread.join()
        loop.remove_signal_handler(signal.SIGUSR1)
        assert refused("c_code") > 1000
        assert not lost

    run_preempting(main(), loop_factory, poll_budget_us=50)


def test_a_handler_that_the_program_sets_later_is_left_alone(loop_factory: LoopFactory) -> None:
    strays: list[int] = []

    async def main() -> None:
        async def computing() -> None:
            for _ in range(1_500_000):
                pass

        await pulse.spawn(computing(), preemptible=True)
        assert preemptions() > 0
        earlier = signal.signal(signal.SIGURG, lambda number, frame: strays.append(number))
        try:
            for _ in range(3):
                await pulse.spawn(computing(), preemptible=True)
            few, before = len(strays), preemptions()
            await pulse.spawn(computing(), preemptible=True)
            assert preemptions() > before
            # Until it was noticed, in the first poll that nobody left.
            assert len(strays) == few <= 10
            assert signal.getsignal(signal.SIGURG) is not signal.SIG_DFL
        finally:
            signal.signal(signal.SIGURG, signal.SIG_DFL if earlier is _core.on_preempt_signal else earlier)

    run_preempting(main(), loop_factory)


def test_the_signal_is_given_back_after_a_stop_in_another_thread(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        task = pulse.spawn(compute_until(stop), preemptible=True)
        await until_preempted(3)
        number = _core.preemption_facts()["signal_number"]
        assert signal.getsignal(number) is _core.on_preempt_signal
        # So does the watchdog, if the collector finds the last governed loop there.
        thread = threading.Thread(target=preemption.stop)
        thread.start()
        thread.join()
        for _ in range(MANY):
            pass
        left = signal.getsignal(number)
        stop.set()
        await task
        assert left is signal.SIG_DFL

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


def test_signals_of_the_loop_are_not_lost_while_one_is_never_left(
    loop_factory: LoopFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    handled: list[int] = []

    async def main() -> None:
        async def guarded() -> None:
            with pulse.no_preempt():
                # A signal of ours each time; some 280 fill what wakes asyncio's loop.
                while pulse.get_manager().governor.preemption_record()["gave_up"] < 400:
                    pass
                signal.raise_signal(signal.SIGUSR1)

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, handled.append, 1)
        await pulse.spawn(guarded(), preemptible=True)
        while not handled:
            await asyncio.sleep(0.001)
        loop.remove_signal_handler(signal.SIGUSR1)

    run_preempting(asyncio.wait_for(main(), 60), loop_factory, poll_budget_us=AT_ONCE_US, max_tier="monitor")
    assert handled == [1]
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("timer", "number"),
    [(signal.ITIMER_REAL, signal.SIGALRM), (signal.ITIMER_PROF, signal.SIGPROF)],
    ids=["lower number than ours", "higher"],
)
def test_interval_timers_tick_on(loop_factory: LoopFactory, timer: int, number: signal.Signals) -> None:
    ticks: list[str] = []

    def tick(_number: int, frame: FrameType | None) -> None:
        assert frame is not None
        ticks.append(frame.f_code.co_name)

    async def computing() -> None:
        for _ in range(10_000):
            pass

    earlier = signal.signal(number, tick)
    signal.setitimer(timer, 0.001, 0.001)
    try:
        endanger(computing, loop_factory)
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, earlier)
    assert len(ticks) > 10
    assert "computing" in ticks


def test_a_handler_that_raises_does_so_where_the_task_is(loop_factory: LoopFactory) -> None:
    class AlarmError(Exception):
        pass

    caught = 0

    def alarm(_number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is limited.__code__:
            raise AlarmError
        # In the middle of something else, such as the loop.
        signal.setitimer(signal.ITIMER_REAL, 0.0002)

    async def limited() -> None:
        nonlocal caught
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            while True:
                pass
        except AlarmError:
            caught += 1

    earlier = signal.signal(signal.SIGALRM, alarm)
    try:
        endanger(limited, loop_factory, tasks=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    assert caught > 10


def test_subprocesses_run_and_are_waited_for(loop_factory: LoopFactory) -> None:
    async def computing() -> None:
        for _ in range(3_000):
            pass

    async def main() -> None:
        async def repeat(done: asyncio.Event) -> None:
            while not done.is_set():
                await computing()

        async def through_the_loop(code: int) -> None:
            script = f"import sys, signal; assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL; sys.exit({code})"
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
            assert await child.wait() == code

        async def waiting(code: int) -> None:
            # Interrupted while it waits: it goes on waiting.
            done = subprocess.run(["sh", "-c", f"sleep 0.02; echo {code}; exit {code}"], stdout=-1, check=False)
            assert (done.returncode, done.stdout) == (code, b"%d\n" % code)

        done = asyncio.Event()
        hogs = [pulse.spawn(repeat(done), preemptible=True) for _ in range(2)]
        for code in range(3):
            await asyncio.gather(through_the_loop(code), through_the_loop(code + 10))
            await pulse.spawn(waiting(code), preemptible=True)
        while preemptions() <= MANY:
            await asyncio.sleep(0)
        done.set()
        await asyncio.gather(*hogs)

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


def test_a_descriptor_that_nobody_reads_is_not_told_of(
    loop_factory: LoopFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python's own handler takes a lock to tell of it, for which the main thread waited for ever if it had the lock."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"\0" * 4096)
        except BlockingIOError:
            break
    # Room for some signals.
    os.read(reader, 4096)

    async def main() -> None:
        # The loops set one of their own when they begin to run.
        signal.set_wakeup_fd(writer)
        others = [pulse.spawn(compute(), preemptible=True) for _ in range(3)]
        await until_preempted(6_000)
        for other in others:
            other.cancel()
        signal.set_wakeup_fd(-1)

    async def compute() -> None:
        while True:
            pass

    try:
        run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)
        with pytest.raises(BlockingIOError):
            os.write(writer, b"\0" * 4096)
    finally:
        os.close(reader)
        os.close(writer)
    assert "wakeup" not in capfd.readouterr().err
