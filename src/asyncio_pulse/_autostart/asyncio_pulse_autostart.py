"""Governs every event loop of a process below `asyncio-pulse run`, without making the process import anything early.

Most Python processes below the command never use asyncio, and some, such as gevent's, depend on the order of imports. At
start only this module is loaded. It waits until the program itself imports a module that defines an event loop class.
asyncio_pulse is imported when the first loop is created, because only then is asyncio certainly complete.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` would cost every process the import of enum
import atexit
import os
import sys

TYPE_CHECKING = False  # importing typing would cost every process 10 ms
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType
    from typing import Any

    from asyncio_pulse.launch.autostart import GovernedProcess

LOOP_CLASSES = {
    "asyncio.base_events": "BaseEventLoop",
    "asyncio.selector_events": "BaseSelectorEventLoop",
    "asyncio.proactor_events": "BaseProactorEventLoop",
    "uvloop": "Loop",
}
"""Modules and their loop classes.

Every loop of asyncio and of most libraries derives from the first class, and is governed as soon as that is initialised.
The next two see the loop again when it has a selector to watch. uvloop's loops derive from the last.
"""

PATIENCE_S = 5.0
REPORT_SIGNAL: int | None = getattr(_signal, "SIGUSR2", None)  # Windows has no such signal

IS_ROOT = os.name == "posix" and os.geteuid() == 0

_variables: dict[str, str] = {}
_process: GovernedProcess | None = None
_failed = False
_saw_loop = False


class _LoopModuleLoader:
    """Stands in for a module's loader until the module is executed, and then wraps its loop class."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        # Code that looks for the module without importing it finds the attributes of a loader.
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        # The module must not see a difference, because resources and reloading use these attributes.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if module.__name__ in LOOP_CLASSES:
            _wrap_loop_class(module)
        else:
            _prepare()


class _LoopModuleFinder:
    """Finds the modules of `LOOP_CLASSES` as the other finders do. It stays, so that a reloaded module is wrapped too.

    Under root it also finds asyncio itself. The process may give up root before the first loop, and modules loaded later
    might be unreadable for the new user.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in LOOP_CLASSES and not (name == "asyncio" and IS_ROOT):
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
    global _process, _failed, _saw_loop
    _saw_loop = True
    if _failed:
        return
    try:
        if _process is None:
            _process = _make_process()
        _process.govern(loop, loop_class)
    except Exception as error:
        _failed = True
        _complain(f"this process is not governed: {error!r}")


def _prepare() -> None:
    global _process
    if "asyncio_pulse._core" in sys.modules:
        return  # the core itself imports asyncio, and cannot be used before it has done so
    try:
        if _process is None:
            _process = _make_process()
    except Exception:
        pass  # the first loop will meet the same error and report it


def _make_process() -> GovernedProcess:
    saw_asyncio = "asyncio" in sys.modules  # before we import it
    from asyncio_pulse.launch.autostart import GovernedProcess
    from asyncio_pulse.launch.delivery import Delivery
    from asyncio_pulse.launch.options import RunOptions

    options = RunOptions.from_environment(_variables)
    delivery = Delivery(options)

    def finish() -> None:
        delivery.finish(saw_asyncio=saw_asyncio, saw_loop=_saw_loop)

    return GovernedProcess(options, finish=finish, answer=delivery.answer, on_request=_on_request)


def _finish() -> None:
    global _process
    is_main = _variables["ASYNCIO_PULSE_MAIN_PID"] == str(os.getpid())
    try:
        # The main process reports for its children even if it ran no loop itself, as gunicorn's does.
        if _process is None and is_main and not _failed:
            _process = _make_process()
        if _process is not None:
            _process.finish()
    except BaseException as error:
        # Even a second Ctrl-C during the report must not change how the program ends.
        _complain(f"no report: {error!r}")
    # At exit the interpreter restores the default action of handled signals, which would kill the process.
    if REPORT_SIGNAL is not None and _signal.getsignal(REPORT_SIGNAL) is _on_request:
        _signal.signal(REPORT_SIGNAL, _signal.SIG_IGN)


def _take_report_signal() -> None:
    """Handle the report signal if the program does not. A process without a loop so far must survive the signal too."""
    if REPORT_SIGNAL is not None and _signal.getsignal(REPORT_SIGNAL) == _signal.SIG_DFL:
        _signal.signal(REPORT_SIGNAL, _on_request)


def _on_request(number: int, frame: FrameType | None) -> None:
    if _failed:
        _complain(f"process {os.getpid()} is not governed")
    elif _process is None or not _process.answer():
        _complain(f"process {os.getpid()} has run no event loop so far")


def _complain(text: str) -> None:
    # Uses the descriptor, because a signal may interrupt a write to sys.stderr, and the program may have replaced that.
    try:
        if os.name == "posix":
            import select

            if not select.select([], [2], [], PATIENCE_S)[1]:
                return  # stderr has no reader, and the program must not hang on it
        os.write(2, f"asyncio-pulse: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # no stderr: a daemon


def _is_switched_off() -> bool:
    # As in `runtime.settings.forced_mode`: an invalid value means "off".
    return os.environ.get("ASYNCIO_PULSE_MODE", "").strip().lower() not in ("", "observe", "act")


def _in_main_interpreter() -> bool:
    interpreters = __import__("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    return bool(interpreters.get_current() == interpreters.get_main())


def start() -> None:
    """Arrange that loops are governed from their creation, and that the process reports at its exit.

    Subinterpreters run this too. They are left alone, because the core governs the main interpreter.
    """
    if _variables or "ASYNCIO_PULSE_RUN" not in os.environ or _is_switched_off() or not _in_main_interpreter():
        return
    # The program may empty its environment before it makes a loop.
    _variables.update({name: os.environ[name] for name in ("ASYNCIO_PULSE_RUN", "ASYNCIO_PULSE_MAIN_PID")})
    # Registered before the program registers anything, so it runs after all of the program's callbacks.
    atexit.register(_finish)
    # In the format of json.dumps. With the mode "off" in the file no signal is taken, but a later worker may find another
    # mode.
    if '"starts_off": true' not in _variables["ASYNCIO_PULSE_RUN"]:
        _take_report_signal()
    sys.meta_path.insert(0, _LoopModuleFinder)
    for name in LOOP_CLASSES:
        if name in sys.modules:
            _wrap_loop_class(sys.modules[name])
