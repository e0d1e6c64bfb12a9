"""Installing governs a loop, whichever, and whenever; uninstalling leaves it as it was."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import errors
from asyncio_pulse.lowlevel import GovernedCoroutine
from tests.support.loops import Loop, LoopFactory


async def steps(count: int) -> int:
    for _ in range(count):
        await asyncio.sleep(0)
    return count


def is_governed(task: asyncio.Task[Any] | None) -> bool:
    return isinstance(task and task.get_coro(), GovernedCoroutine)


def test_on_a_loop_that_does_not_run_yet(any_loop: Loop) -> None:
    manager = pulse.install(loop=any_loop)
    assert any_loop.run_until_complete(steps(3)) == 3
    metrics = manager.get_metrics()
    assert (metrics.polls, metrics.tasks, metrics.tasks_alive) == (4, 1, 0)
    pulse.uninstall(loop=any_loop)


def test_on_the_running_loop(any_loop: Loop) -> None:
    async def main() -> tuple[int, bool]:
        manager = pulse.install()
        assert pulse.get_manager() is manager
        await asyncio.create_task(steps(3))
        pulse.uninstall()
        return manager.get_metrics().polls, is_governed(asyncio.current_task())

    # The main task was there before: it is not governed.
    assert any_loop.run_until_complete(main()) == (4, False)


def test_on_a_loop_in_another_thread(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        manager = pulse.install(loop=loop)
        future = asyncio.run_coroutine_threadsafe(steps(5), loop)
        assert future.result(timeout=10) == 5
        assert manager.get_metrics().polls == 6
        pulse.uninstall(loop=loop)
        assert asyncio.run_coroutine_threadsafe(steps(5), loop).result(timeout=10) == 5
        assert manager.get_metrics().polls == 6
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_twice_is_once(any_loop: Loop) -> None:
    manager = pulse.install(loop=any_loop)
    factory = any_loop.get_task_factory()
    assert pulse.install(loop=any_loop) is manager
    assert any_loop.get_task_factory() is factory
    any_loop.run_until_complete(steps(1))
    assert manager.get_metrics().polls == 2
    pulse.uninstall(loop=any_loop)
    assert any_loop.get_task_factory() is None
    pulse.uninstall(loop=any_loop)
    assert any_loop.get_task_factory() is None


def test_a_configuration_given_again_takes_effect(any_loop: Loop) -> None:
    manager = pulse.install(pulse.TierConfig(poll_budget_us=500), loop=any_loop)
    assert pulse.install(loop=any_loop).config.poll_budget_us == 500
    assert pulse.install(pulse.TierConfig(poll_budget_us=700), loop=any_loop) is manager
    assert manager.config.poll_budget_us == 700

    async def main() -> int:
        return pulse.current().budget.cpu_us

    assert any_loop.run_until_complete(main()) == 700
    pulse.uninstall(loop=any_loop)


@pytest.mark.parametrize("config", [42, {"poll_budget_us": 1}, "/no/such/file.toml"])
def test_a_bad_configuration_changes_nothing(any_loop: Loop, config: Any) -> None:
    with pytest.raises(pulse.ConfigError):
        pulse.install(config, loop=any_loop)
    assert any_loop.get_task_factory() is None
    manager = pulse.install(loop=any_loop)
    with pytest.raises(pulse.ConfigError):
        pulse.install(config, loop=any_loop)
    assert manager.config == pulse.TierConfig()
    pulse.uninstall(loop=any_loop)


def test_installed_again_it_counts_anew(any_loop: Loop) -> None:
    first = pulse.install(loop=any_loop)
    any_loop.run_until_complete(steps(1))
    pulse.uninstall(loop=any_loop)
    any_loop.run_until_complete(steps(100))
    second = pulse.install(loop=any_loop)
    any_loop.run_until_complete(steps(2))
    assert second is not first
    assert (first.get_metrics().polls, second.get_metrics().polls) == (2, 3)
    pulse.uninstall(loop=any_loop)


def test_tasks_that_exist_go_on_unmeasured(any_loop: Loop) -> None:
    async def main() -> list[object]:
        woken = asyncio.Event()

        async def waits() -> str:
            await woken.wait()
            return "woken"

        manager = pulse.install()
        tasks = [asyncio.create_task(waits()) for _ in range(3)]
        await asyncio.sleep(0)
        polls = manager.get_metrics().polls
        not_started = asyncio.create_task(steps(2))
        pulse.uninstall()
        tasks[0].cancel()
        woken.set()
        results = await asyncio.gather(*tasks[1:], not_started)
        await asyncio.wait(tasks)
        return [*results, tasks[0].cancelled(), polls, manager.get_metrics().polls]

    assert any_loop.run_until_complete(main()) == ["woken", "woken", 2, True, 3, 3]


@pytest.mark.parametrize("ask", [pulse.install, pulse.uninstall, pulse.get_manager])
def test_without_a_loop_it_says_so(ask: Callable[[], object]) -> None:
    with pytest.raises(errors.NotGovernedError, match=r"no running event loop: .* loop=; .* IPython's prompt"):
        ask()


def test_what_needs_a_governed_loop_says_so(any_loop: Loop) -> None:
    with pytest.raises(errors.NotGovernedError, match=r"not governed; call asyncio_pulse.install\(\)"):
        pulse.get_manager(loop=any_loop)

    async def main() -> None:
        coro = steps(1)
        with pytest.raises(errors.NotGovernedError, match=r"spawn\(\) needs a governed event loop"):
            pulse.spawn(coro)
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
        with pytest.raises(errors.NotGovernedError, match="not governed"):
            pulse.get_manager()

    any_loop.run_until_complete(main())
    coro = steps(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        pulse.spawn(coro)
    coro.close()


def test_on_a_closed_loop(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.close()
    manager = pulse.install(loop=loop)
    assert pulse.get_manager(loop=loop) is manager
    coro = steps(1)
    with pytest.raises(RuntimeError, match="closed"):
        loop.create_task(coro)
    coro.close()
    pulse.uninstall(loop=loop)
    assert loop.get_task_factory() is None


def test_a_governed_loop_that_is_closed_and_dropped_is_collected(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    manager = pulse.install(loop=loop)
    loop.run_until_complete(steps(4))
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
    assert manager.get_metrics().polls == 5
    assert repr(manager).startswith("<TierManager worker=")


def test_the_earlier_factory_of_a_loop_that_is_gone_is_let_go(loop_factory: LoopFactory) -> None:
    def earlier(loop: Loop, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **keywords)

    loop = loop_factory()
    loop.set_task_factory(earlier)
    pulse.install(loop=loop)
    loop.run_until_complete(steps(1))
    loop.close()
    gone = weakref.ref(earlier)
    del loop, earlier
    gc.collect()
    assert gone() is None


def test_a_new_loop_in_the_place_of_an_old_one_is_not_governed(loop_factory: LoopFactory) -> None:
    for _ in range(50):
        loop = loop_factory()
        with pytest.raises(errors.NotGovernedError):
            pulse.get_manager(loop=loop)
        pulse.install(loop=loop)
        loop.close()


def test_governed_loops_are_made(loop_factory: LoopFactory) -> None:
    make = pulse.new_event_loop if loop_factory is asyncio.new_event_loop else pulse.new_uvloop_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        assert type(runner.get_loop()) is type(make_and_close(loop_factory))
        runner.run(steps(2))
        assert pulse.get_manager(loop=runner.get_loop()).get_metrics().polls == 3


def make_and_close(make: LoopFactory) -> Loop:
    loop = make()
    loop.close()
    return loop


def test_run(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[type[Loop], bool, bool, int]:
        loop = asyncio.get_running_loop()
        return type(loop), loop.get_debug(), is_governed(asyncio.current_task()), pulse.current().budget.cpu_us

    made = make_and_close(loop_factory)
    config = pulse.TierConfig(poll_budget_us=900)
    assert pulse.run(main(), config=config, debug=True, loop_factory=loop_factory) == (type(made), True, True, 900)
    coro = main()
    with pytest.raises(pulse.ConfigError):
        pulse.run(coro, config=42)  # type: ignore[arg-type]
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
