"""Who prints what at the end of a run: every process leaves its report, the main one presents them all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from asyncio_pulse.errors import PulseError
from asyncio_pulse.metrics.model import ProcessReport
from asyncio_pulse.runtime import ledger
from asyncio_pulse.runtime.autostart import RunOptions
from asyncio_pulse.runtime.stderr import write_stderr

from . import json, text

__all__ = ["Delivery"]


class Delivery:
    """Delivers the reports of one process, by the options of the run."""

    def __init__(self, options: RunOptions) -> None:
        """Only keep the options."""
        self._options = options

    def finish(self) -> None:
        """Deliver the final report: present it in the main process, leave it for the main process elsewhere.

        Raises:
            OSError: A file among the processes' own cannot be written or read.
        """
        own_report = ledger.process_report()
        if os.getpid() == self._options.main_pid:
            self._present(own_report)
        elif own_report.loops:
            self._leave(own_report)

    def answer(self) -> None:
        """Print what this process did so far, from a signal handler."""
        report = ledger.process_report()
        write_stderr(text.format_reports([report] if report.loops else [], self._options.worst_count))

    def _leave(self, report: ProcessReport) -> None:
        directory = self._options.spool_directory
        if os.path.isdir(directory):
            # Named by time: it tells apart two processes with one id, and sorts them by their ends.
            json.write_reports(os.path.join(directory, f"{time.time_ns()}-{report.pid}.json"), [report])
        elif not self._options.quiet:
            # A daemon: the main process has ended, so nobody else can speak for this one.
            write_stderr(text.format_reports([report], self._options.worst_count))

    def _present(self, own_report: ProcessReport) -> None:
        reports = [own_report] if own_report.loops else []
        reports += self._collect()
        if not self._options.quiet:
            write_stderr(_format(reports, self._options.worst_count))
        path = self._options.json_path
        if path is not None:
            try:
                json.write_reports(path, reports)
            except OSError as error:
                write_stderr(f"asyncio-pulse: cannot write {path}: {error.strerror}\n")

    def _collect(self) -> list[ProcessReport]:
        directory = self._options.spool_directory
        reports: list[ProcessReport] = []
        for name in sorted(os.listdir(directory) if os.path.isdir(directory) else ()):
            path = os.path.join(directory, name)
            if name.endswith(".json"):
                try:
                    reports += json.read_reports(path)
                except PulseError as error:
                    write_stderr(f"asyncio-pulse: the report of a child process is left out: {error}\n")
            os.unlink(path)
        # A child that ends at this very moment may just have left another one.
        with contextlib.suppress(OSError):
            os.rmdir(directory)
        return reports


def _format(reports: Sequence[ProcessReport], worst_count: int) -> str:
    if reports and os.isatty(2):
        # rich is an extra (asyncio-pulse[rich]), and no fault of it may cost the report.
        with contextlib.suppress(Exception):
            from .terminal import render_reports

            return render_reports(reports, worst_count)
    return text.format_reports(reports, worst_count)
