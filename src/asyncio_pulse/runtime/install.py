"""Governs event loops: finds a loop, puts a task factory in front of its own, and removes it again.

A governed loop is a stock loop with our task factory. If the loop had a factory before, that one still makes the tasks,
from coroutines that we measure. A factory that is set later is left alone; if it calls ours, its tasks are governed. While
the mode is "off" the loop has a manager, and nothing else of ours.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import sys
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asyncio_pulse import _core
from asyncio_pulse.errors import NotGovernedError
from asyncio_pulse.policy.group_names import KNOWN_TASKS, KNOWN_WRAPPERS
from asyncio_pulse.runtime import ledger, preemption
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.chaos import current_chaos
from asyncio_pulse.runtime.held_locks import tell_if_held
from asyncio_pulse.runtime.hidden_factory import take_away
from asyncio_pulse.runtime.lock import LOCK, free_in_child
from asyncio_pulse.runtime.manager import TierManager
from asyncio_pulse.runtime.regions import async_with_bodies
from asyncio_pulse.runtime.settings import ConfigSource, is_switched_off
from asyncio_pulse.runtime.task_class import task_type
from asyncio_pulse.runtime.turns import watch_turns
from asyncio_pulse.runtime.uvloop_loops import new_loop
from asyncio_pulse.runtime.workers import WORKERS

__all__ = ["get_manager", "install", "new_event_loop", "new_uvloop_event_loop", "run", "uninstall"]

T = TypeVar("T")

WATCHDOG_INTERVAL_US = 110_000
"""Nine looks a second.

Each poll that is slow for 110 ms or more is seen; a shorter one with a probability in proportion to its length.
"""


def _is_open(reference: weakref.ref[asyncio.AbstractEventLoop]) -> Callable[[], bool]:
    def is_open() -> bool:
        loop = reference()
        return loop is not None and not loop.is_closed()

    return is_open


class _Installation:
    """Our changes to one loop."""

    __slots__ = ("__weakref__", "factory", "loop", "manager", "stop_watching")

    def __init__(self, loop: asyncio.AbstractEventLoop, config: ConfigSource) -> None:
        self.loop = weakref.ref(loop, self._loop_is_gone)
        self.factory: _core.TaskFactory | None = None
        self.stop_watching: Callable[[], None] | None = None
        # Weak, like the reference to the loop, because the manager must not keep its own installation alive.
        switch = weakref.WeakMethod(self.switch)
        self.manager = TierManager(
            config,
            in_use=_is_open(weakref.ref(loop)),
            loop=weakref.ref(loop),
            on_switch=lambda: (follow := switch()) and follow(),
        )
        self.put_on_loop()

    def switch(self) -> None:
        """Follow a change of the manager's mode."""
        if self.manager.is_off:
            self.take_off_loop()
        else:
            self.put_on_loop()
        if _anyone_is_on():
            _start_observing()
        else:
            _stop_observing()

    def put_on_loop(self) -> None:
        """Put our task factory in front of the loop, and watch its turns, unless the mode is "off"."""
        loop = self.loop()
        if loop is None or self.manager.is_off:
            return
        if self.factory is None:
            self.factory = self.manager.governor.task_factory(loop.get_task_factory())
            loop.set_task_factory(self.factory)
        self.watch()

    def watch(self) -> None:
        """Watch the loop's turns, unless they are watched already, or cannot be watched yet."""
        loop = self.loop()
        if self.stop_watching is None and loop is not None and not self.manager.is_off:
            self.stop_watching = watch_turns(self.manager.governor, loop)

    def _loop_is_gone(
        self, _: weakref.ref[asyncio.AbstractEventLoop], is_finalizing: Callable[[], bool] = sys.is_finalizing
    ) -> None:
        # While the interpreter shuts down, nothing needs to be forgotten, and modules, including this one, are being
        # emptied. Otherwise this runs wherever the last reference is dropped. That may be the watchdog's thread, which must
        # not wait for our lock. The next installation forgets any loop that is not forgotten here.
        if is_finalizing():
            return
        with AFTERWARDS:
            if LOCK.acquire(blocking=False):
                try:
                    _forget_gone_loops()
                finally:
                    LOCK.release()

    def remove(self) -> None:
        self.manager.governor.detach()
        self.take_off_loop()

    def take_off_loop(self) -> None:
        """Undo `put_on_loop`. Parts that cannot be removed pass all calls through."""
        loop = self.loop()
        if self.stop_watching is not None:
            self.stop_watching()
            self.stop_watching = None
        # A factory that was set after ours may call ours, so ours stays in place.
        if loop is not None and self.factory is not None and take_away(loop, self.manager.governor):
            self.factory = None


_installations: dict[int, _Installation] = {}

_core.set_wrappers({**KNOWN_WRAPPERS, **KNOWN_TASKS})
_core.set_task_type(task_type())
_core.set_region_finder(async_with_bodies)
_core.set_blocked_listener(tell_if_held)


def _anyone_is_on() -> bool:
    """Whether any governed loop is not off. The features that belong to the process are needed only then."""
    return any(not installation.manager.is_off for installation in _installations.values())


def _start_observing() -> None:
    if _core.gc_callback not in gc.callbacks:
        gc.callbacks.append(_core.gc_callback)
    _core.start_watchdog(WATCHDOG_INTERVAL_US)
    _core.set_preemption_starter(preemption.start)


def _stop_observing() -> None:
    if _core.gc_callback in gc.callbacks:
        gc.callbacks.remove(_core.gc_callback)
    _core.stop_watchdog()
    _core.set_preemption_starter(None)
    preemption.stop()


def _forget(key: int) -> None:
    installation = _installations.pop(key, None)
    if installation is None:
        return
    ledger.leave(installation.manager)
    installation.manager.governor.detach()
    if not _anyone_is_on():
        _stop_observing()


def _forget_gone_loops() -> None:
    for key, installation in list(_installations.items()):
        loop = installation.loop()
        if loop is None or loop.is_closed():
            _forget(key)


def _before_fork() -> None:
    # Python warns of deadlocks when a process with a second thread, even a native one, forks.
    _core.stop_watchdog()
    _core.suspend_preemption()


def _resume_with_next_poll() -> None:
    for installation in list(_installations.values()):
        installation.manager.governor.resume_watchdog()


def _after_fork_in_parent() -> None:
    _resume_with_next_poll()
    if _anyone_is_on():
        # The poll that forked may go on for long. Not at once: Python counts the threads only after this callback.
        _core.resume_after_fork()


def _after_fork_in_child() -> None:
    # No lock was held over the fork: another thread, now gone, may have been in the middle of changing the tables.
    is_free = free_in_child()
    AFTERWARDS.start_anew()
    _core.after_fork_in_child()
    preemption.after_fork_in_child()
    managers = [installation.manager for installation in _installations.values()]
    for manager in managers:
        manager._start_anew()
    WORKERS.after_fork_in_child()
    ledger.after_fork_in_child(managers if is_free else None)
    # Not sooner: in the child no loop runs yet, and what the child does first may not bear a second thread.
    _resume_with_next_poll()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
# A native thread that asks for the GIL of a finalised interpreter would wait for ever.
atexit.register(_core.stop_watchdog)
atexit.register(preemption.at_exit)


def _running_loop(loop: asyncio.AbstractEventLoop | None, what: str) -> asyncio.AbstractEventLoop:
    if loop is not None:
        return loop
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NotGovernedError(
            f"{what} found no running event loop: call it in a coroutine, or pass loop=; at IPython's prompt, put it into "
            "a cell that awaits something, such as `await asyncio.sleep(0)`"
        ) from None


def find_manager(loop: asyncio.AbstractEventLoop) -> TierManager | None:
    """Return the manager of a loop, or None if the loop is not governed."""
    installation = _installations.get(id(loop))
    return installation.manager if installation is not None and installation.loop() is loop else None


def install(config: ConfigSource = None, *, loop: asyncio.AbstractEventLoop | None = None) -> TierManager:
    """Govern a loop: every task that it creates from now on is measured.

    A second call for the same loop returns the existing manager. A configuration given with that call takes effect.

    Args:
        config: A TierConfig, a ConfigProfile or its name, the path of a TOML file, or None for the operator's
            configuration.
        loop: The loop; None means the running one. It may belong to another thread, and need not run yet.

    Returns:
        The manager of the loop.

    Raises:
        ConfigError: The configuration is invalid; nothing was changed.
        NotGovernedError: No loop was given and none is running.
    """
    target = _running_loop(loop, "install()")
    with AFTERWARDS, LOCK:
        _forget_gone_loops()
        manager = find_manager(target)
        if manager is not None:
            if config is not None:
                manager.update_config(config)
            _installations[id(target)].watch()
            return manager
        chaos = current_chaos()
        installation = _Installation(target, config)
        _installations[id(target)] = installation
        chaos.apply(installation.manager)
        ledger.enter(installation.manager)
        if not installation.manager.is_off:
            _start_observing()
        return installation.manager


def uninstall(*, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Stop governing a loop; does nothing if the loop is not governed.

    Existing tasks continue unmeasured. The task factory from before `install` is restored. If another factory was set
    since, that one is left alone.

    Args:
        loop: The loop; None means the running one.

    Raises:
        NotGovernedError: No loop was given and none is running.
    """
    target = _running_loop(loop, "uninstall()")
    with AFTERWARDS, LOCK:
        if find_manager(target) is not None:
            _installations[id(target)].remove()
            _forget(id(target))


def get_manager(*, loop: asyncio.AbstractEventLoop | None = None) -> TierManager:
    """Return the manager of a governed loop.

    Args:
        loop: The loop; None means the running one.

    Raises:
        NotGovernedError: The loop is not governed, or no loop was given and none is running.
    """
    target = _running_loop(loop, "get_manager()")
    manager = find_manager(target)
    if manager is not None:
        return manager
    if is_switched_off():
        # `asyncio-pulse run` left this program alone. Its calls still work, and get a manager whose mode is "off".
        return install(loop=target)
    raise NotGovernedError("this event loop is not governed; call asyncio_pulse.install() first")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new, governed asyncio loop, for example for `asyncio.Runner(loop_factory=...)`."""
    loop = asyncio.new_event_loop()
    install(loop=loop)
    return loop


def new_uvloop_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new, governed uvloop loop, for example `uvicorn --loop asyncio_pulse:new_uvloop_event_loop`.

    Raises:
        UnavailableError: uvloop is not installed.
    """
    loop = new_loop()
    install(loop=loop)
    return loop


def run(
    main: Coroutine[Any, Any, T],
    *,
    config: ConfigSource = None,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run a coroutine as `asyncio.run` does, on a governed loop.

    Args:
        main: The coroutine.
        config: A TierConfig, a ConfigProfile or its name, the path of a TOML file, or None for the operator's
            configuration.
        debug: asyncio's debug mode; None leaves it to the environment.
        loop_factory: Makes the loop; None means asyncio's own factory.

    Returns:
        The result of the coroutine.

    Raises:
        ConfigError: The configuration is invalid; the coroutine was not started.
    """
    runner = asyncio.Runner(debug=debug, loop_factory=loop_factory)
    try:
        with runner:
            try:
                install(config, loop=runner.get_loop())
            except BaseException:
                main.close()
                raise
            return runner.run(main)
    finally:
        # Only after the runner has closed the loop, so that tasks which the runner cancels are governed to their end.
        with AFTERWARDS, LOCK:
            _forget_gone_loops()
