"""Delivers the reports of a run: each process leaves its own, and the main process presents them all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from asyncio_pulse.metrics.model import Report
from asyncio_pulse.reports import json, text
from asyncio_pulse.runtime import ledger
from asyncio_pulse.runtime.stderr import write_stderr

from .options import RunOptions, count_child_faults
from .spool import Spool
from .spool_directory import is_alive

__all__ = ["Delivery"]


class Delivery:
    """Delivers the reports of one process, according to the options of the run."""

    def __init__(self, options: RunOptions) -> None:
        """Store the options."""
        self._options = options
        self._spool = Spool(options.spool_directory, options.spool_token)

    def finish(self, *, saw_asyncio: bool = False, saw_loop: bool = False) -> None:
        """Deliver the final report: the main process presents it, other processes leave it for the main process.

        Args:
            saw_asyncio: Whether the program imported asyncio.
            saw_loop: Whether it made an event loop of a governed kind.
        """
        own_report = ledger.process_report()
        if os.getpid() == self._options.main_pid:
            had_children = count_child_faults() > self._options.child_faults
            self._present(own_report, text.why_no_loop(saw_asyncio, saw_loop, had_children))
        elif own_report.loops:
            self._leave(own_report)

    def answer(self) -> bool:
        """Print the report so far, from a signal handler. Returns False, and prints nothing, if no loop has run."""
        report = ledger.process_report()
        if report.loops:
            write_stderr(text.format_reports([report], self._options.worst_count))
        return bool(report.loops)

    def _leave(self, report: Report) -> None:
        # A daemon outlives the main process, as does the child of a killed main process. Such a process prints its own
        # report.
        if is_alive(self._options.main_pid):
            try:
                self._spool.leave(report)
                return
            except OSError as error:
                if self._options.json_path is not None and self._options.spool_directory:
                    write_stderr(
                        f"asyncio-pulse: process {report.pid} is not in the JSON report: {error.strerror or error}\n"
                    )
        if not self._options.quiet:
            write_stderr(text.format_reports([report], self._options.worst_count))

    def _present(self, own_report: Report, why_no_loop: str) -> None:
        others, faults = self._spool.collect()
        reports = [own_report, *others] if own_report.loops else others
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            write_stderr(f"asyncio-pulse: the report of a child process is left out: {faults[0]}{more}\n")
        if not self._options.quiet:
            write_stderr(_format(reports, self._options.worst_count) if reports else why_no_loop)
        if self._options.json_path is not None:
            _write(self._options.json_path, lambda path: json.write_reports(path, reports))
        if self._options.advice_path is not None:
            _write(self._options.advice_path, lambda path: _write_advice(path, reports))


def _write(path: str, write: Callable[[str], None]) -> None:
    try:
        write(path)
    except OSError as error:
        write_stderr(f"asyncio-pulse: cannot write {path}: {error.strerror or error}\n")


def _write_advice(path: str, reports: Sequence[Report]) -> None:
    from asyncio_pulse.reports.advised import (
        advised_configuration,
    )  # imported late, because most runs ask for no advice

    with open(path, "x", encoding="utf-8") as stream:
        stream.write(advised_configuration(reports))


def _format(reports: Sequence[Report], worst_count: int) -> str:
    if os.isatty(2) and not all(map(text.is_off, reports)):
        # rich is an extra (asyncio-pulse[rich]). An error in it must not cost the report.
        with contextlib.suppress(Exception):
            from asyncio_pulse.reports.terminal import render_reports

            return render_reports(reports, worst_count)
    return text.format_reports(reports, worst_count)
