"""Governs every event loop of a process below `asyncio-pulse run`, without making it import anything for that.

Most Python processes below the command never use asyncio, and some (gevent's) depend on the order of imports. So at
start only this module is loaded, which waits for the program itself to import a module that defines an event loop
class; asyncio_pulse is imported when the first loop is created, because only then is asyncio surely complete.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False  # typing's own would cost every process 10 ms
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from asyncio_pulse.runtime.autostart import GovernedProcess

LOOP_CLASSES = {
    "asyncio.base_events": "BaseEventLoop",
    "asyncio.selector_events": "BaseSelectorEventLoop",
    "asyncio.proactor_events": "BaseProactorEventLoop",
    "uvloop": "Loop",
}
"""Every loop of asyncio, and of most libraries, derives from the first, and is governed as soon as that is initialised; the
two below it are seen again when they have a selector to watch. uvloop's loops derive from the last."""

_variables: dict[str, str] = {}
_process: GovernedProcess | None = None
_failed = False


class _LoopModuleLoader:
    """Stands in for a module's loader until the module is executed, to wrap its loop class at that moment."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        # Whoever only looks for the module, without importing it, finds what a loader has.
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        # The module must not be able to tell: resources and reloading go by these attributes.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _wrap_loop_class(module)


class _LoopModuleFinder:
    """Finds the modules of `LOOP_CLASSES` as the other finders do; stays, so that a reloaded module is wrapped too."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in LOOP_CLASSES:
            return None
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            if finder is _LoopModuleFinder or find_spec is None:
                continue
            spec: ModuleSpec | None = find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _LoopModuleLoader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


def _wrap_loop_class(module: ModuleType) -> None:
    loop_class = getattr(module, LOOP_CLASSES[module.__name__], None)
    if loop_class is None:
        _complain(f"{module.__name__} has no {LOOP_CLASSES[module.__name__]}; its loops are not governed")
        return
    from functools import wraps  # both modules have imported it already

    initialize = loop_class.__init__

    @wraps(initialize)
    def __init__(loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        initialize(loop, *args, **kwargs)
        _govern(loop, loop_class)

    loop_class.__init__ = __init__


def _govern(loop: asyncio.AbstractEventLoop, loop_class: type[asyncio.AbstractEventLoop]) -> None:
    global _process, _failed
    if _failed:
        return
    try:
        if _process is None:
            _process = _make_process()
        _process.govern(loop, loop_class)
    except Exception as error:
        _failed = True
        _complain(f"this process is not governed: {error!r}")


def _make_process() -> GovernedProcess:
    from asyncio_pulse.reports.delivery import Delivery
    from asyncio_pulse.runtime.autostart import GovernedProcess, RunOptions

    options = RunOptions.from_environment(_variables)
    delivery = Delivery(options)
    return GovernedProcess(options, finish=delivery.finish, answer=delivery.answer)


def _finish() -> None:
    global _process
    is_main = _variables["ASYNCIO_PULSE_MAIN_PID"] == str(os.getpid())
    try:
        # The main process speaks for its children even if it ran no loop itself, as gunicorn's does.
        if _process is None and is_main and not _failed:
            _process = _make_process()
        if _process is not None:
            _process.finish()
    except BaseException as error:
        # Even a second Ctrl-C during the report must not change how the program ends.
        _complain(f"no report: {error!r}")


def _complain(text: str) -> None:
    try:  # noqa: SIM105 - contextlib is one more import
        sys.stderr.write(f"asyncio-pulse: {text}\n")
    except Exception:
        pass  # no stderr: a daemon


def _in_main_interpreter() -> bool:
    interpreters = __import__("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    return bool(interpreters.get_current() == interpreters.get_main())


def start() -> None:
    """Arrange that loops are governed at birth and that the process reports at its exit.

    Sub-interpreters run this too; they are left alone, since the core governs the main one.
    """
    if "ASYNCIO_PULSE_RUN" not in os.environ or not _in_main_interpreter():
        return
    # The program may empty its environment before it makes a loop.
    _variables.update({name: os.environ[name] for name in ("ASYNCIO_PULSE_RUN", "ASYNCIO_PULSE_MAIN_PID")})
    # Registered before anything of the program's, so it runs after everything of the program's.
    atexit.register(_finish)
    sys.meta_path.insert(0, _LoopModuleFinder)
    for name in LOOP_CLASSES:
        if name in sys.modules:
            _wrap_loop_class(sys.modules[name])
