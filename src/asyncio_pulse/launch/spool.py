"""The reports that child processes leave for the main process of a run.

Children merge reports as they arrive. A server that renews its workers for weeks thus leaves a few files rather than one
per worker. A report counts only if it holds the token that only processes of the run know.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import stat
import time
from collections.abc import Sequence

from asyncio_pulse.errors import PulseError
from asyncio_pulse.metrics.model import Report
from asyncio_pulse.reports.json import from_dict, to_dict
from asyncio_pulse.runtime.processes import merge_processes

from .spool_directory import is_alive

__all__ = ["Spool"]

MOST_FILES = 16
"""Number of reports that may lie there before they are merged: 1 MB, or some 30 ms of work, with 60 groups each."""
MOST_BYTES = 64 << 20
MOST_ENTRIES = 10_000
PATIENCE_S = 1.0
"""How long the main process waits for children that are merging reports."""
LEFT = ".json"
CLAIMED = re.compile(r".+\.json\.(?P<pid>\d+)")
DRAFT = re.compile(r".+\.draft\.(?P<pid>\d+)")
DAMAGED = ".damaged"


class Spool:
    """The directory of one run, as one of its processes uses it."""

    def __init__(self, directory: str, token: str) -> None:
        """Store the location."""
        self._directory = directory
        self._token = token

    def leave(self, report: Report) -> None:
        """Leave a report for the main process.

        Raises:
            OSError: The report cannot be written; other files in the directory are unchanged.
        """
        if not self._directory:
            raise FileNotFoundError(errno.ENOENT, "there is no directory for temporary files")
        self._show(self._draft([report]))
        # This report is in place now, so faults of other reports do not matter here.
        with contextlib.suppress(OSError):
            if sum(name.endswith(LEFT) for name in self._names()) > MOST_FILES:
                self._put_together()

    def collect(self) -> tuple[list[Report], list[str]]:
        """Take all reports, and remove the directory.

        Returns:
            The reports, merged by command line, and one line for each report that could not be read.
        """
        reports: list[Report] = []
        faults: list[str] = []
        if not self._directory:
            return reports, faults
        deadline = time.monotonic() + PATIENCE_S
        try:
            while True:
                names = self._names()
                for name in names:
                    reports += self._take(name, faults)
                if not any(map(_is_in_work, names)) or time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            for name in self._names():
                self._remove(name)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # the program may have removed it
                faults.append(str(error))
        # A child that ends at this very moment may have left another report.
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)
        return merge_processes(reports), faults

    def _put_together(self) -> None:
        claims = [claimed for name in self._names() if name.endswith(LEFT) and (claimed := self._claim(name))]
        reports: list[Report] = []
        for claimed in claims:
            try:
                reports += self._read(claimed)
            except (OSError, PulseError):
                # The main process will describe the fault.
                os.rename(self._path(claimed), self._path(claimed) + DAMAGED)
        if not reports:
            return
        try:
            draft = self._draft(merge_processes(reports))
        except OSError:
            # There is no room for another file, so the claimed reports get their names back and stay separate.
            for claimed in claims:
                with contextlib.suppress(OSError):
                    os.rename(self._path(claimed), self._path(claimed.rpartition(".")[0]))
            raise
        for claimed in claims:
            self._remove(claimed)
        self._show(draft)

    def _take(self, name: str, faults: list[str]) -> list[Report]:
        """Read and remove a report on which no other process works."""
        if name.endswith(LEFT):
            name = self._claim(name) or ""
        elif not name.endswith(DAMAGED) and (_is_in_work(name) or CLAIMED.fullmatch(name) is None):
            return []
        reports = []
        if name:
            try:
                reports = self._read(name)
            except (OSError, PulseError) as error:
                faults.append(str(error))
            self._remove(name)
        return reports

    def _claim(self, name: str) -> str | None:
        """Claim a report, so that no other process counts it too; None if another process has it."""
        claimed = f"{name}.{os.getpid()}"
        try:
            os.rename(self._path(name), self._path(claimed))
        except OSError:
            return None
        return claimed

    def _draft(self, reports: Sequence[Report]) -> str:
        """Write a file that no other process reads yet, and return its name."""
        content = json.dumps({"token": self._token, "document": to_dict(reports)}).encode()
        # The time distinguishes processes that had the same id, and sorts them by their end.
        name = f"{time.time_ns()}-{os.getpid()}"
        draft = f"{name}.draft.{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        try:
            with open(os.open(self._path(draft), flags, 0o600), "wb") as stream:
                stream.write(content)
        except OSError:
            self._remove(draft)
            raise
        return draft

    def _show(self, draft: str) -> None:
        """Give a draft its final name."""
        os.rename(self._path(draft), self._path(draft.partition(".")[0] + LEFT))

    def _read(self, name: str) -> list[Report]:
        # Refuses pipes, which block, and links to other files, because any user may put files into root's directory.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(self._path(name), flags), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                raise PulseError(f"{name} is no file of at most {MOST_BYTES >> 20} MB")
            content = stream.read()
        try:
            fields = json.loads(content)
        except ValueError as error:
            raise PulseError(f"{name} is not JSON: {error}") from error
        if not isinstance(fields, dict) or fields.get("token") != self._token:
            raise PulseError(f"{name} is not of this run")
        return from_dict(fields["document"])

    def _names(self) -> list[str]:
        with os.scandir(self._directory) as entries:
            return sorted(entry.name for entry in itertools.islice(entries, MOST_ENTRIES))

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)


def _is_in_work(name: str) -> bool:
    """Whether another live process is about to give the file its final name, or to merge it."""
    match = CLAIMED.fullmatch(name) or DRAFT.fullmatch(name)
    return match is not None and int(match["pid"]) != os.getpid() and is_alive(int(match["pid"]))
