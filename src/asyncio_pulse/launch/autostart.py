"""Governs every loop and reports at the end, inside each process that `asyncio-pulse run` started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from asyncio_pulse.integrations.recognise import recognise
from asyncio_pulse.runtime import ledger
from asyncio_pulse.runtime.hidden_factory import hide_task_factory
from asyncio_pulse.runtime.install import install
from asyncio_pulse.runtime.settings import follow_file, reread_file
from asyncio_pulse.runtime.stderr import write_stderr

from .options import RunOptions
from .signal_wakeup import SignalWakeup

__all__ = ["GovernedProcess"]


class GovernedProcess:
    """One process of the run, and the state that a process forked from it inherits."""

    def __init__(
        self,
        options: RunOptions,
        *,
        finish: Callable[[], None],
        answer: Callable[[], bool],
        on_request: Callable[[int, FrameType | None], None],
    ) -> None:
        """Prepare; the process does not change before `govern`.

        Args:
            options: The options of the command.
            finish: Delivers the final report of this process.
            answer: Prints the report so far, unless there is nothing to report. It runs in a signal handler.
            on_request: The handler of SIGUSR2, which calls `answer`.
        """
        follow_file(options.config_path)
        self._names_routes = options.routes
        self._has_file = options.config_path is not None
        self._had_terminal = False
        self._deliver = finish
        self._answer = answer
        self._on_request = on_request
        self._active_pid = 0
        self._signals_pid = 0
        self._signal_wakeup = SignalWakeup()
        self._finished_pid = 0
        self._is_delivering = False
        self._deadly_signal: int | None = None

    def govern(self, loop: asyncio.AbstractEventLoop, loop_class: type[asyncio.AbstractEventLoop]) -> None:
        """Govern a new loop. The first loop of a process also arranges the reports.

        While the mode is "off" neither the loop nor the process changes. A forked child starts again, hence the comparisons
        with the process id. Two threads may run this at once, so each step may be done twice.

        Args:
            loop: The loop, whose base classes are initialised.
            loop_class: The base class whose loops are all governed.
        """
        pid = os.getpid()
        if self._active_pid != pid:
            self._report_before_multiprocessing_exit()
            self._active_pid = pid
        if install(loop=loop).is_off:
            return
        hide_task_factory(loop_class)
        if self._names_routes:
            recognise()
        if threading.current_thread() is threading.main_thread():
            if self._signals_pid != pid:
                self._take_free_signals()
                self._signals_pid = pid
            self._signal_wakeup.wake(loop, loop_class)

    def finish(self) -> None:
        """Deliver the final report, once in each process."""
        if self._finished_pid != os.getpid():
            self._is_delivering = True
            self._finished_pid = os.getpid()
            try:
                self._deliver()
            finally:
                self._is_delivering = False
            if self._deadly_signal is not None:
                _die_of(self._deadly_signal)

    def answer(self) -> bool:
        """Print the report so far, from a signal handler; False if no loop has run."""
        try:
            return self._answer()
        except Exception as error:
            _complain(error)
            return True

    def _report_before_multiprocessing_exit(self) -> None:
        # A child of multiprocessing's fork and forkserver ends by os._exit, which skips atexit.
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self._finish_quietly, exitpriority=-1000)  # after every finalizer of the program

    def _take_free_signals(self) -> None:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_terminate)
        # SIGUSR2 has been handled since the interpreter's start, unless the program restored the default action, as
        # gunicorn does in its workers. Windows has no such signal.
        if hasattr(signal, "SIGUSR2") and signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
            signal.signal(signal.SIGUSR2, self._on_request)
        # Windows has no SIGHUP either. Without a file to read again, SIGHUP keeps its default action.
        has_signal = self._has_file and hasattr(signal, "SIGHUP")
        if has_signal and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            self._had_terminal = _has_terminal()
            signal.signal(signal.SIGHUP, self._on_hang_up)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        # The default action would end the process without a report. A waiting parent must still see death by this signal.
        if self._is_delivering:
            # Masters of servers terminate workers twice, and also workers that are ending by themselves.
            self._deadly_signal = number
            return
        try:
            self._finish_quietly()
        finally:
            _die_of(number)

    def _on_hang_up(self, number: int, frame: FrameType | None) -> None:
        # A program must still end with its terminal. A program without one, such as a service, gets SIGHUP from an
        # operator.
        if self._had_terminal and not _has_terminal():
            self._on_terminate(number, frame)
        else:
            self._reload()

    def _reload(self) -> None:
        """Apply the file's present content to every governed loop of the process whose code set no configuration."""
        try:
            reread_file()
            for manager in ledger.managers():
                if not manager._configured_in_code:
                    manager.update_config(None)
        except Exception as error:
            # No error may reach the program, and the earlier configuration stays in force.
            write_stderr(f"asyncio-pulse: configuration not changed: {error}\n")

    def _finish_quietly(self) -> None:
        """Deliver the final report without letting an error of it reach the interrupted program."""
        try:
            self.finish()
        except Exception as error:
            _complain(error)


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _complain(error: Exception) -> None:
    write_stderr(f"asyncio-pulse: no report: {error!r}\n")
