"""Options of tasks and calls, and the view of the running one."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload

from asyncio_pulse import _core
from asyncio_pulse.errors import NotGovernedError
from asyncio_pulse.metrics.model import TaskMetrics
from asyncio_pulse.policy.budget import POLL_BUDGET_US, TaskBudget
from asyncio_pulse.policy.group_names import check_group_name
from asyncio_pulse.policy.group_policy import GROUP_SETTINGS
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import Setting, refuse, setting_faults
from asyncio_pulse.policy.tier_policy import InterventionAction
from asyncio_pulse.runtime.install import find_manager
from asyncio_pulse.runtime.settings import is_switched_off

__all__ = ["TaskView", "as_of_task", "budget_spent", "checkpoint", "current", "governed", "make_options", "spawn"]

P = ParamSpec("P")
T = TypeVar("T")

_SETTINGS: Mapping[str, Setting] = {
    "priority": GROUP_SETTINGS["priority"],
    "budget_us": POLL_BUDGET_US,
    "max_tier": GROUP_SETTINGS["max_tier"],
}

checkpoint = _core.checkpoint
budget_spent = _core.budget_spent


def make_options(
    *,
    priority: TaskPriority | str | None = None,
    group: str | None = None,
    preemptible: bool | None = None,
    budget_us: int | None = None,
    max_tier: InterventionAction | str | None = None,
    code: Any = None,
) -> _core.Options:
    """Check the options of a task or a call, and convert them for the core.

    Raises:
        ConfigError: An option is of the wrong type or out of range.
    """
    # This runs for every spawned task, and most tasks are given only a group.
    if priority is not None or budget_us is not None or max_tier is not None:
        options = {"priority": priority, "budget_us": budget_us, "max_tier": max_tier}
        given = {name: value for name, value in options.items() if value is not None}
        refuse("task options", setting_faults(_SETTINGS, given))
        numbers: dict[str, Any] = {name: _SETTINGS[name].normal(value) for name, value in given.items()}
    else:
        numbers = {}
    return _core.Options(group=check_group_name(group), preemptible=preemptible, code=code, **numbers)


def spawn(
    coro: Coroutine[Any, Any, T],
    *,
    name: str | None = None,
    priority: TaskPriority | str | None = None,
    group: str | None = None,
    preemptible: bool | None = None,
    budget_us: int | None = None,
    max_tier: InterventionAction | str | None = None,
    context: contextvars.Context | None = None,
) -> asyncio.Task[T]:
    """Create a task on the running, governed loop, as `asyncio.create_task` does, with options.

    While the mode is "off" the task is a plain one.

    Args:
        coro: The coroutine.
        name: Name of the task.
        priority: Priority of the task, or its name, such as "low"; None means NORMAL.
        group: Name of the task's explicit group, which child tasks inherit. None inherits the group of the context. A task
            spawned with an empty `contextvars.Context()` inherits no group.
        preemptible: Whether the task may be suspended anywhere in its Python code.
        budget_us: CPU time that one poll may use, microseconds, 50..10,000,000; None means the priority's budget.
        max_tier: The highest tier that the task may reach: an `InterventionAction` or its name, such as "warn".
        context: The context of the task; None means a copy of the current one.

    Returns:
        A stock asyncio task.

    Raises:
        TypeError: `coro` is not a coroutine.
        ConfigError: An option is of the wrong type or out of range.
        NotGovernedError: The running loop is not governed.
        RuntimeError: No loop is running.
    """
    loop = asyncio.get_running_loop()
    options = make_options(
        priority=priority, group=group, preemptible=preemptible, budget_us=budget_us, max_tier=max_tier
    )
    manager = find_manager(loop)
    if manager is None and not is_switched_off():
        coro.close()
        raise NotGovernedError("spawn() needs a governed event loop; call asyncio_pulse.install() first")
    if manager is None or manager.is_off:
        return loop.create_task(coro, name=name, context=context)
    return loop.create_task(_core.GovernedCoroutine(coro, options), name=name, context=context)


AsyncFunction = Callable[P, Coroutine[Any, Any, T]]


@overload
def governed(function: AsyncFunction[P, T], /) -> AsyncFunction[P, T]: ...


@overload
def governed(
    *,
    priority: TaskPriority | str | None = None,
    group: str | None = None,
    preemptible: bool | None = None,
    budget_us: int | None = None,
    max_tier: InterventionAction | str | None = None,
) -> Callable[[AsyncFunction[P, T]], AsyncFunction[P, T]]: ...


def governed(function: Any = None, /, **options: Any) -> Any:
    """Give an `async def` function options of its own.

    A task made of the function has these options. When a governed task awaits the function, the options hold for that call,
    and the call is measured separately. The result is still an `async def` function, so frameworks treat it as before. On a
    loop that is not governed the decorator changes nothing.

    Args:
        function: The function, when used without parentheses.
        **options: `priority`, `group`, `preemptible`, `budget_us`, `max_tier`, as for `spawn`.

    Raises:
        TypeError: The decorated object is not an `async def` function, or an option is unknown.
        ConfigError: An option is of the wrong type or out of range.
    """
    # Checked here, so that the error points at the decorator's line.
    make_options(**options)

    def decorate(function: AsyncFunction[P, T]) -> AsyncFunction[P, T]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"governed() decorates async def functions, got {function!r}")

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            result: T = await _core.GovernedCoroutine(function(*args, **kwargs), own_options)
            return result

        # All decorated functions share the code object of `call`. The core uses it to recognise a task made of one of them.
        own_options = make_options(**options, code=call.__code__)
        return functools.wraps(function)(call)

    return decorate if function is None else decorate(function)


def as_of_task(coro: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Return the object that the running loop's task factory would make a task of: on a governed loop, it is measured.

    It is for libraries that call `asyncio.Task` themselves.
    """
    loop = asyncio.get_running_loop()
    manager = find_manager(loop)
    if manager is None or manager.is_off:
        return coro
    made: object = manager.governor.task_factory(_no_task)(loop, coro)
    return cast(Coroutine[Any, Any, T], made)


def _no_task(loop: asyncio.AbstractEventLoop, coro: Any) -> Any:
    return coro


class _Nothing:
    """Values of a view without a governed task: NORMAL, without a group, nothing used."""

    priority = TaskPriority.NORMAL
    group = None
    tier = 0
    budget = None
    operations_left = TaskBudget().operations

    def counters(self) -> dict[str, int]:
        return {field.name: 0 for field in dataclasses.fields(TaskMetrics)}

    def update(self, options: _core.Options) -> None:
        pass


_NOTHING = _Nothing()


class TaskView:
    """The running governed task or call. The view stays valid until it ends, also outside it.

    Where no governed task runs, the view is empty: the priority is NORMAL, the group "", every counter 0, and `update` does
    nothing.
    """

    __slots__ = ("_governed",)

    def __init__(self, governed_coroutine: _core.GovernedCoroutine | None) -> None:
        """Wrap a record of the core; None makes an empty view."""
        self._governed = _NOTHING if governed_coroutine is None else governed_coroutine

    def __repr__(self) -> str:
        """Show the group and the priority."""
        return f"<TaskView group={self.group!r} priority={self.priority.name}>"

    @property
    def priority(self) -> TaskPriority:
        """Priority of the task or call."""
        return TaskPriority(self._governed.priority)

    @property
    def group(self) -> str:
        """Name of its group; empty if it has none."""
        group = self._governed.group
        return group.name if group is not None else ""

    @property
    def tier(self) -> InterventionAction:
        """The tier in force."""
        return InterventionAction(self._governed.tier)

    @property
    def budget(self) -> TaskBudget:
        """The budget of one poll."""
        return TaskBudget(*(self._governed.budget or ()))

    @property
    def operations_left(self) -> int:
        """Operations that the running poll may still spend at checkpoints, >= 0."""
        return self._governed.operations_left

    @property
    def metrics(self) -> TaskMetrics:
        """The counters so far."""
        return TaskMetrics(**self._governed.counters())

    def update(
        self,
        *,
        priority: TaskPriority | str | None = None,
        group: str | None = None,
        preemptible: bool | None = None,
        budget_us: int | None = None,
        max_tier: InterventionAction | str | None = None,
    ) -> None:
        """Change options from now on. Options that are left out stay.

        Raises:
            ConfigError: An option is of the wrong type or out of range; nothing was changed.
            NotGovernedError: The task has ended, or `group` is given for a task other than the running one.
        """
        options = make_options(
            priority=priority, group=group, preemptible=preemptible, budget_us=budget_us, max_tier=max_tier
        )
        try:
            self._governed.update(options)
        except RuntimeError as error:
            raise NotGovernedError(str(error)) from None


def current() -> TaskView:
    """Return a view of the governed task, or governed call, that is running in this thread.

    The view is empty if nothing runs here, if an ungoverned task or a plain callback runs, or if the mode is "off".
    """
    return TaskView(_core.current())
