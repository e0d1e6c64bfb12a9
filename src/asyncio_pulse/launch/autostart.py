"""What `asyncio-pulse run` does inside each process that it started: govern every loop, and report at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from asyncio_pulse.runtime import ledger
from asyncio_pulse.runtime.hidden_factory import hide_task_factory
from asyncio_pulse.runtime.install import install
from asyncio_pulse.runtime.settings import follow_file, reread_file
from asyncio_pulse.runtime.stderr import write_stderr

from .options import RunOptions
from .signal_wakeup import SignalWakeup

__all__ = ["GovernedProcess"]


class GovernedProcess:
    """One process of the run, and what is left of it in a process forked from it."""

    def __init__(
        self,
        options: RunOptions,
        *,
        finish: Callable[[], None],
        answer: Callable[[], bool],
        on_request: Callable[[int, FrameType | None], None],
    ) -> None:
        """Prepare; nothing of the process changes before `govern`.

        Args:
            options: What the user asked for.
            finish: Delivers the final report of this process.
            answer: Prints the report so far, unless there is nothing to report; called in a signal handler.
            on_request: The handler of SIGUSR2, which asks for that.
        """
        follow_file(options.config_path)
        self._has_file = options.config_path is not None
        self._had_terminal = False
        self._deliver = finish
        self._answer = answer
        self._on_request = on_request
        self._active_pid = 0
        self._signals_pid = 0
        self._signal_wakeup = SignalWakeup()
        self._finished_pid = 0

    def govern(self, loop: asyncio.AbstractEventLoop, loop_class: type[asyncio.AbstractEventLoop]) -> None:
        """Govern a new loop; the first one of a process also arranges when the process reports.

        While the mode is "off" nothing of the loop and of the process changes. A forked child begins anew, hence the
        comparisons with the process id. Two threads may come here at once: each step may be done twice.

        Args:
            loop: The loop, whose base classes are initialised.
            loop_class: The one of them whose loops are all governed.
        """
        pid = os.getpid()
        if self._active_pid != pid:
            self._report_before_multiprocessing_exit()
            self._active_pid = pid
        if install(loop=loop).is_off:
            return
        hide_task_factory(loop_class)
        if threading.current_thread() is threading.main_thread():
            if self._signals_pid != pid:
                self._take_free_signals()
                self._signals_pid = pid
            self._signal_wakeup.wake(loop, loop_class)

    def finish(self) -> None:
        """Deliver the final report, once in each process."""
        if self._finished_pid != os.getpid():
            self._finished_pid = os.getpid()
            self._deliver()

    def answer(self) -> bool:
        """Print the report so far, from a signal handler; False if no loop has run."""
        try:
            return self._answer()
        except Exception as error:
            _complain(error)
            return True

    def _report_before_multiprocessing_exit(self) -> None:
        # A child of multiprocessing's fork and forkserver leaves by os._exit, which skips atexit.
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self._finish_quietly, exitpriority=-1000)  # after every finalizer of the program

    def _take_free_signals(self) -> None:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_terminate)
        # Handled since the interpreter's start, unless the program set the default action, as gunicorn does in its workers.
        # Windows has no such signal.
        if hasattr(signal, "SIGUSR2") and signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
            signal.signal(signal.SIGUSR2, self._on_request)
        # Nor SIGHUP, which is nobody's to take where there is no file to read again.
        has_signal = self._has_file and hasattr(signal, "SIGHUP")
        if has_signal and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            self._had_terminal = _has_terminal()
            signal.signal(signal.SIGHUP, self._on_hang_up)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        # The default action would end the process without a report. Whoever waits for it must see the plain ending.
        try:
            self._finish_quietly()
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _on_hang_up(self, number: int, frame: FrameType | None) -> None:
        # A program must still end with its terminal; without one, as every service, it gets the signal from somebody.
        if self._had_terminal and not _has_terminal():
            self._on_terminate(number, frame)
        else:
            self._reload()

    def _reload(self) -> None:
        """Put what the file says now in force on every governed loop of the process whose code asked for nothing."""
        try:
            reread_file()
            for manager in ledger.managers():
                if not manager._configured_in_code:
                    manager.update_config(None)
        except Exception as error:
            # Whatever it is, it must not reach the program; and what was in force goes on.
            write_stderr(f"asyncio-pulse: configuration not changed: {error}\n")

    def _finish_quietly(self) -> None:
        """Let no fault of the report reach the program that it interrupts."""
        try:
            self.finish()
        except Exception as error:
            _complain(error)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _complain(error: Exception) -> None:
    write_stderr(f"asyncio-pulse: no report: {error!r}\n")
