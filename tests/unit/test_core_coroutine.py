"""GovernedCoroutine driven by hand: its life, its options, its account, and what it refuses."""

from __future__ import annotations

import collections.abc
import contextlib
import contextvars
import gc
import weakref
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from asyncio_pulse import _core as core
from asyncio_pulse.policy.group_names import KNOWN_TASKS, KNOWN_WRAPPERS
from tests.support.driving import Driven, configure, pause, snapshots, work


@pytest.fixture
def governor() -> core.Governor:
    governor = core.Governor(0)
    configure(governor)
    return governor


@pytest.fixture
def driven(governor: core.Governor) -> Iterator[Driven]:
    driven = Driven(governor, work())
    yield driven
    driven.governed.close()


def group_of_context() -> str | None:
    """Tell the name that a task created here would inherit."""
    for variable, value in contextvars.copy_context().items():
        if variable.name == "asyncio_pulse.group":
            return value
    return None


def test_it_is_a_coroutine_to_those_who_ask(driven: Driven) -> None:
    assert isinstance(driven.governed, collections.abc.Coroutine)
    assert isinstance(driven.governed.__await__(), collections.abc.Iterator)
    assert not isinstance(driven.governed, collections.abc.Iterable)


def test_its_surface_is_that_of_the_coroutine(governor: core.Governor) -> None:
    coro = work()
    governed = Driven(governor, coro).governed
    for name in ("cr_await", "cr_code", "cr_frame", "cr_origin", "cr_running", "cr_suspended", "__name__"):
        assert getattr(governed, name) is getattr(coro, name)
    governed.__qualname__ = "renamed"
    assert coro.__qualname__ == "renamed"
    assert repr(governed).startswith("<governed coroutine object renamed at 0x")
    with pytest.raises(AttributeError, match="nothing_like_it"):
        governed.nothing_like_it  # noqa: B018
    with pytest.raises(TypeError):
        governed.__name__ = 5
    governed.close()


def test_an_attribute_of_another_compiler_s_coroutine_is_found(governor: core.Governor) -> None:
    foreign = Foreign([])
    governed = Driven(governor, foreign).governed
    assert governed.extra == "own"
    assert "Foreign" in repr(governed)
    with pytest.raises(AttributeError):
        governed.cr_code  # noqa: B018


class Foreign(collections.abc.Coroutine[Any, Any, Any]):
    """A coroutine that has nothing but the three methods, and no name."""

    extra = "own"

    def __init__(self, results: list[Any]) -> None:
        self.results = results
        self.closed = False

    def send(self, value: Any) -> Any:
        return self.results.pop(0)

    def throw(self, *error: Any) -> Any:
        return self.results.pop(0)

    def close(self) -> None:
        self.closed = True

    def __await__(self) -> Any:
        return self

    __iter__ = __await__

    def __next__(self) -> Any:
        return self.send(None)


def test_a_coroutine_of_a_foreign_kind_is_governed_by_the_name_of_its_type(governor: core.Governor) -> None:
    driven = Driven(governor, Foreign([None, "thrown into"]))
    assert driven.poll()
    assert driven.governed.group is not None
    assert driven.governed.group.name == "Foreign"
    assert driven.governed.throw(KeyError()) == "thrown into"
    configure(governor, budget_us=0)
    driven.governed.close()
    assert governor.counters()["polls"] == 2


def test_the_worst_poll_of_a_nameless_coroutine_has_the_name_of_its_type(governor: core.Governor) -> None:
    configure(governor, budget_us=0)
    driven = Driven(governor, Foreign([None]))
    driven.poll()
    [worst] = governor.worst_polls()
    assert (worst["function"], worst["filename"], worst["line"], worst["task"]) == ("Foreign", "", 0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((42,), "a coroutine was expected, got 42"),
        ((work,), "a coroutine was expected, got <function work"),
        ((None, "options"), "options must be Options or None, got 'options'"),
        ((), "coro"),
    ],
)
def test_bad_input_is_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        core.GovernedCoroutine(*arguments)


def test_an_object_that_cannot_say_what_it_is_has_its_own_error() -> None:
    class Strange:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise LookupError("nobody knows")

    with pytest.raises(LookupError, match="nobody knows"):
        core.GovernedCoroutine(Strange())  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [(), (1, 2, 3, 4)])
def test_throw_takes_one_to_three_arguments(driven: Driven, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=f"throw expected 1 to 3 arguments, got {len(arguments)}"):
        driven.governed.throw(*arguments)


def test_what_it_sends_receives_and_returns_is_the_coroutine_s() -> None:
    async def echo() -> tuple[int, ...]:
        received = await pause()
        return (received, 1)

    governed = core.GovernedCoroutine(echo())
    assert governed.send(None) is None
    with pytest.raises(StopIteration) as stop:
        governed.send(5)
    assert stop.value.value == (5, 1)


def test_a_class_may_await_it_in_its_own_way(governor: core.Governor) -> None:
    async def answer() -> int:
        await pause()
        return 42

    class Indirect:
        def __await__(self) -> Generator[Any, Any, int]:
            return (yield from core.GovernedCoroutine(answer()).__await__())

    async def task() -> None:
        assert await Indirect() == 42

    driven = Driven(governor, task())
    assert driven.poll()
    assert not driven.poll()


def test_an_exception_instance_may_be_returned() -> None:
    async def give() -> Exception:
        return KeyError("no error")

    with pytest.raises(StopIteration) as stop:
        next(core.GovernedCoroutine(give()))  # type: ignore[call-overload]
    assert isinstance(stop.value.value, KeyError)


def test_a_throw_counts_as_a_step_and_ends_it(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.poll()
    driven.throw(KeyError("wanted"))
    assert (governor.counters()["polls"], governor.counters()["tasks_alive"]) == (2, 0)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        driven.governed.send(None)


def test_a_throw_before_the_first_step_is_counted_in_its_group(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.throw(KeyError("wanted"))
    [group] = snapshots(governor)
    assert (group["name"], group["polls"], group["tasks"], group["tasks_alive"]) == ("work", 1, 1, 0)


def test_before_its_first_step_it_is_nobody_s() -> None:
    governed = core.GovernedCoroutine(work(), core.Options(priority=1))
    assert (governed.governor, governed.group, governed.budget, governed.operations_left) == (None, None, None, 0)
    assert governed.options is not None
    assert (governed.options.priority, governed.priority, governed.tier) == (1, 2, 0)
    with pytest.raises(RuntimeError, match="only a governed task that has begun and not ended can be updated"):
        governed.update(core.Options())
    governed.close()


def test_outside_a_governed_poll_everything_passes_through() -> None:
    governed = core.GovernedCoroutine(work())
    governed.send(None)
    assert governed.governor is None
    with pytest.raises(KeyError):
        governed.throw(KeyError("through"))


def test_one_task_is_not_made_twice_of_it(governor: core.Governor, driven: Driven) -> None:
    again = governor.task_factory(lambda loop, made: made)(None, driven.governed)
    assert again is driven.governed
    assert (governor.counters()["tasks"], governor.counters()["tasks_alive"]) == (1, 1)


def test_an_update_keeps_what_it_leaves_out(governor: core.Governor) -> None:
    driven = Driven(governor, work(), core.Options(priority=0, group="first", budget_us=700))
    driven.poll()
    driven.update(core.Options(priority=3))
    assert (driven.governed.priority, driven.governed.budget) == (3, (700, 128))
    assert driven.governed.options is not None
    assert driven.governed.options.group == "first"
    driven.update(core.Options(group="second", preemptible=True, max_tier=1))
    assert driven.governed.group is not None
    assert (driven.governed.group.name, driven.governed.priority) == ("second", 3)
    tasks = {group["name"]: (group["tasks"], group["tasks_alive"]) for group in snapshots(governor)}
    assert tasks == {"first": (1, 0), "second": (1, 1)}
    with pytest.raises(TypeError, match="options must be Options, got None"):
        driven.governed.update(None)  # type: ignore[arg-type]
    driven.governed.close()


def test_a_group_is_changed_from_inside_alone(driven: Driven) -> None:
    def update_and_look() -> str | None:
        with pytest.raises(RuntimeError, match="the group of a task can only be changed from inside the task"):
            driven.governed.update(core.Options(group="theirs"))
        driven.governed.update(core.Options(priority=1))
        return group_of_context()

    driven.poll()
    assert contextvars.Context().run(update_and_look) is None
    assert driven.governed.group is not None
    assert (driven.governed.group.name, driven.governed.priority) == ("work", 1)


def test_an_update_after_the_end_does_not_count_it_alive_again(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.poll()
    driven.poll(False)
    with pytest.raises(RuntimeError, match="only a governed task that has begun and not ended can be updated"):
        driven.governed.update(core.Options(priority=0))
    assert sum(group["tasks_alive"] for group in snapshots(governor)) == 0
    del driven
    assert governor.counters()["tasks_alive"] == 0


def test_a_send_into_itself_does_not_end_it(governor: core.Governor) -> None:
    async def send_into_itself() -> None:
        with pytest.raises(ValueError, match="coroutine already executing"):
            driven.governed.send(None)
        await pause()

    driven = Driven(governor, send_into_itself())
    assert driven.poll()
    assert governor.counters()["tasks_alive"] == 1
    assert not driven.poll()
    assert governor.counters()["tasks_alive"] == 0


@pytest.mark.parametrize("end", ["return", "throw", "close"])
def test_the_group_of_a_call_ends_with_the_call(governor: core.Governor, end: str) -> None:
    seen = []

    async def task() -> None:
        call = core.GovernedCoroutine(work(), core.Options(group="call"))
        call.send(None)
        seen.append(group_of_context())
        if end == "return":
            with pytest.raises(StopIteration):
                call.send(False)
        elif end == "throw":
            with pytest.raises(KeyError):
                call.throw(KeyError("wanted"))
        else:
            call.close()
        seen.append(group_of_context())

    assert not Driven(governor, task()).poll()
    assert seen == ["call", None]
    assert {group["name"]: group["tasks_alive"] for group in snapshots(governor) if group["explicit"]} == {"call": 0}


def test_a_call_is_counted_beside_its_task_and_is_no_step(governor: core.Governor) -> None:
    async def task() -> None:
        for _ in range(3):
            await core.GovernedCoroutine(work(), core.Options(group="call", priority=0, budget_us=1))

    configure(governor, operations=10)
    driven = Driven(governor, task())
    driven.poll()
    for _ in range(3):
        driven.poll(False)
    polls = {group["name"]: group["polls"] for group in snapshots(governor)}
    assert polls["call"] == 6
    assert governor.counters()["polls"] == 4
    assert (governor.counters()["tasks"], governor.counters()["tasks_alive"]) == (1, 0)


def test_an_account_is_its_own(governor: core.Governor, driven: Driven) -> None:
    other = Driven(governor, work())
    driven.poll()
    driven.poll(True)
    other.poll()
    account = driven.governed.counters()
    assert account["polls"] == 2
    assert account["wall_time_ns"] >= account["cpu_time_ns"] > 0
    assert other.governed.counters()["polls"] == 1
    assert governor.counters()["wall_time_ns"] >= account["wall_time_ns"]
    other.governed.close()


def test_it_may_be_referenced_weakly_and_goes_with_its_last_reference(governor: core.Governor) -> None:
    gone = []
    driven = Driven(governor, work())
    driven.poll()
    reference = weakref.ref(driven.governed, gone.append)
    assert reference() is driven.governed
    del driven
    assert (reference(), len(gone)) == (None, 1)
    assert governor.counters()["tasks_alive"] == 0


def test_the_collector_sees_through_it(governor: core.Governor) -> None:
    async def hold_itself(holder: list[object]) -> None:
        await pause()

    holder: list[object] = []
    driven = Driven(governor, hold_itself(holder))
    driven.poll()
    holder.append(driven.governed)
    reference = weakref.ref(driven.governed)
    del driven, holder
    gc.collect()
    assert reference() is None
    assert governor.counters()["tasks_alive"] == 0


@contextlib.contextmanager
def known_wrappers(wrappers: dict[str, str | tuple[str, str]]) -> Iterator[None]:
    """Have the core know these wrappers for a while."""
    core.set_wrappers(wrappers)
    try:
        yield
    finally:
        core.set_wrappers({**KNOWN_WRAPPERS, **KNOWN_TASKS})


@pytest.mark.parametrize(("module", "name"), [(work.__module__, "a known task"), ("another", "work")])
def test_a_known_task_is_known_by_its_module_too(governor: core.Governor, module: str, name: str) -> None:
    with known_wrappers({"work": (module, "a known task")}):
        driven = Driven(governor, work())
        driven.poll()
    group = driven.governed.group
    assert group is not None
    assert group.name == name
    driven.governed.close()


def test_a_wrapper_s_group_is_that_of_what_it_wraps(governor: core.Governor) -> None:
    async def wrapper(inner: object) -> None:
        await pause()

    inner = work()
    with known_wrappers({wrapper.__qualname__: "inner"}):
        once, twice = Driven(governor, wrapper(inner)), Driven(governor, wrapper(wrapper_held := wrapper(inner)))
        other = Driven(governor, wrapper(5))
        for driven in (once, twice, other):
            driven.poll()
    names = [driven.governed.group.name for driven in (once, twice, other) if driven.governed.group]
    assert names == ["work", "work", wrapper.__qualname__]
    for coro in (once.governed, twice.governed, other.governed, wrapper_held, inner):
        coro.close()
