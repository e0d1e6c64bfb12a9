"""Hooks and log handlers may wait for threads that ask us, and may fail: neither stops anything of ours."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.lowlevel import PreemptionHooks, process_report
from asyncio_pulse.metrics.model import TierChange
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS
from asyncio_pulse.runtime import settings
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.lock import LOCK
from tests.support.loops import LoopFactory
from tests.support.offenders import GROUP, SLICE_US, burn, offend, strict_config

PATIENCE_S = 10
QUICKLY_DOWN = strict_config(
    idle_decay_ms=100,
    promotion_window_ms=10,
    demotion_hysteresis_ms=0,
    cooldown_duration_ms=0,
    tier_policies=tuple(
        TierPolicyBuilder(tier).promotion_violations(1).demotion_min_duration_ms(10).build()
        for tier in (InterventionAction.MONITOR, InterventionAction.WARN, InterventionAction.YIELD)
    )
    + BALANCED_TIERS[3:],
    max_tier=InterventionAction.WARN,
)


class Asking(PreemptionHooks):
    """Hooks, and the emit of a log handler, that wait for the report of another thread."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, bool]] = []

    def ask(self, who: str) -> None:
        asking = threading.Thread(target=process_report, daemon=True)
        asking.start()
        asking.join(PATIENCE_S)
        self.answers.append((who, not asking.is_alive()))

    def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
        self.ask(f"hook {change.before} {change.after}")

    def emit(self, record: logging.LogRecord) -> None:
        self.ask(f"log {record.getMessage()}")


class Handler(logging.Handler):
    def __init__(self, emit: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._emit = emit

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the handler's own lock: the thread that it waits for may have something to log, too.
        self._emit(record)
        return True


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[logging.LogRecord], None]], None]]:
    """Hand the records of our loggers to a function."""
    logger = logging.getLogger("asyncio_pulse")
    handlers: list[Handler] = []

    def add(emit: Callable[[logging.LogRecord], None]) -> None:
        handlers.append(Handler(emit))
        logger.addHandler(handlers[-1])

    level = logger.level
    logger.setLevel(logging.INFO)
    yield add
    logger.setLevel(level)
    for handler in handlers:
        logger.removeHandler(handler)


def lower_the_cap() -> None:
    pulse.get_manager().update_config(strict_config(max_tier=InterventionAction.MONITOR))


def leave_it_to_the_end() -> None:
    """The loop is added up when it is closed."""


@pytest.mark.parametrize("look", [lower_the_cap, process_report, leave_it_to_the_end], ids=lambda look: look.__name__)
def test_who_is_told_may_wait_for_a_thread_that_asks(
    look: Callable[[], object], loop_factory: LoopFactory, handle: Callable[..., None]
) -> None:
    asking = Asking()

    async def main() -> None:
        await offend(tier=InterventionAction.WARN)
        pulse.get_manager().hooks.register(asking)
        handle(asking.emit)
        # Let in no poll, which would let the group down itself.
        time.sleep(0.15)
        look()
        await asyncio.sleep(0)

    pulse.run(main(), config=QUICKLY_DOWN, loop_factory=loop_factory)
    assert [who for who, _ in asking.answers if who == "hook 1 0"]
    assert [who for who, _ in asking.answers if "log" in who and f"group {GROUP} went from Warn to Monitor" in who]
    assert all(is_answered for _, is_answered in asking.answers)


def test_a_warning_of_the_configuration_is_no_exception(
    loop_factory: LoopFactory, handle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "_said", set())
    monkeypatch.setenv(settings.PROFILE_VARIABLE, "gentle")
    asking = Asking()
    handle(asking.emit)
    pulse.run(asyncio.sleep(0), loop_factory=loop_factory)
    [(who, is_answered)] = asking.answers
    assert "the defaults hold" in who
    assert is_answered


def test_a_log_handler_that_fails_ends_no_decisions(
    loop_factory: LoopFactory, handle: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[TierChange] = []

    class Listening(PreemptionHooks):
        def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
            told.append(change)

    def fail(record: logging.LogRecord) -> None:
        raise ZeroDivisionError("a full disk")

    async def main() -> None:
        manager = pulse.get_manager()
        manager.hooks.register(Listening())
        handle(fail)
        for group in ("first", "second"):
            await offend(group)
        time.sleep(0.3)  # a stall, whose record fails likewise
        await asyncio.sleep(0.01)
        await offend("third")
        assert {change.group for change in told if change.account == "group"} == {"first", "second", "third"}
        assert manager.get_metrics().internal_errors == 0

    pulse.run(main(), config=strict_config(stall_threshold_ms=50), loop_factory=loop_factory)
    assert "a full disk" in capfd.readouterr().err


def test_what_raises_in_the_log_of_a_faulty_hook_reaches_nobody(
    loop_factory: LoopFactory, handle: Callable[..., None]
) -> None:
    class Faulty(PreemptionHooks):
        def before_poll(self, *arguments: Any, **kwargs: Any) -> None:
            raise LookupError("a fault of the hook")

    def fail(record: logging.LogRecord) -> None:
        raise ZeroDivisionError("a full disk")

    async def main() -> None:
        handle(fail)
        pulse.get_manager().hooks.register(Faulty())
        await asyncio.create_task(asyncio.sleep(0))
        assert len(pulse.get_manager().hooks) == 0
        assert pulse.get_manager().get_metrics().internal_errors == 0

    pulse.run(main(), loop_factory=loop_factory)


def test_it_is_told_after_the_outermost_block_in_order_and_by_its_own_thread() -> None:
    told: list[tuple[int, bool]] = []

    def tell(number: int) -> None:
        told.append((number, LOCK._is_owned()))  # type: ignore[attr-defined]

    def pass_through() -> None:
        with AFTERWARDS:
            pass

    with concurrent.futures.ThreadPoolExecutor(1) as executor, AFTERWARDS, LOCK:
        AFTERWARDS.call(lambda: tell(1))
        with AFTERWARDS, LOCK:
            AFTERWARDS.call(lambda: tell(2))
        executor.submit(pass_through).result(PATIENCE_S)
        assert told == []
    AFTERWARDS.call(lambda: tell(3))
    assert told == [(1, False), (2, False), (3, False)]


def test_what_is_told_may_be_interrupted() -> None:
    told: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def tell() -> None:
        with AFTERWARDS, LOCK:
            AFTERWARDS.call(interrupt)
            AFTERWARDS.call(lambda: told.append("told with the next"))

    with pytest.raises(KeyboardInterrupt):
        tell()
    assert LOCK.acquire(blocking=False)
    LOCK.release()
    with AFTERWARDS, LOCK:
        pass
    assert told == ["told with the next"]


class OnlyNamed(Coroutine[Any, Any, None]):
    """A coroutine written as a class, with a `__name__` and no `__qualname__`."""

    __name__ = "only_named"

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.coroutine = coroutine

    def send(self, value: Any) -> Any:
        return self.coroutine.send(value)

    def throw(self, *exception: Any) -> Any:
        return self.coroutine.throw(*exception)

    def close(self) -> None:
        self.coroutine.close()

    def __await__(self) -> Generator[Any, None, None]:
        return self.coroutine.__await__()


def test_who_has_only_a_name_ends_no_decisions(loop_factory: LoopFactory) -> None:
    async def break_the_budget() -> None:
        burn(10 * SLICE_US)
        await asyncio.sleep(0)

    async def main() -> list[int]:
        manager = pulse.get_manager()
        await asyncio.create_task(OnlyNamed(break_the_budget()))
        waiting = asyncio.create_task(OnlyNamed(asyncio.sleep(60)))
        await asyncio.sleep(0)
        assert "only_named" in [info.coroutine for info in manager.tasks()]
        waiting.cancel()
        await pulse.spawn(break_the_budget(), group=GROUP)
        return [change.after for change in manager.audit() if change.name == GROUP]

    assert pulse.run(main(), config=QUICKLY_DOWN, loop_factory=loop_factory)
