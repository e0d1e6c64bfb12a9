"""Where child processes leave their reports for the main process of a run: a directory that nobody else can use.

A child may have given up root before it ends, as workers of servers do. So below root the directory is open to all, as
/tmp is, and what lies there counts only if it holds the token that only processes of the run know. Children put reports
together as they come, so that a server that renews its workers for weeks leaves a few files, not one each.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Sequence

from asyncio_pulse.errors import PulseError
from asyncio_pulse.metrics.model import ProcessReport
from asyncio_pulse.runtime.processes import merge_processes

from .json import from_dict, to_dict

__all__ = ["Spool", "is_alive", "make_spool", "new_token", "sweep_spools"]

MOST_FILES = 16
"""How many reports may lie there before they are put together: 1 MB, or some 30 ms of work, with 60 groups each."""
MOST_BYTES = 64 << 20
MOST_ENTRIES = 10_000
PATIENCE_S = 1.0
"""How long the main process waits for children that are putting reports together."""
NAME = re.compile(r"asyncio-pulse-(?P<pid>\d+)-(?P<namespace>\d+)-\w+")
LEFT = ".json"
CLAIMED = re.compile(r".+\.json\.(?P<pid>\d+)")
DRAFT = re.compile(r".+\.draft\.(?P<pid>\d+)")
DAMAGED = ".damaged"


def make_spool() -> str:
    """Make the directory of the run whose main process is, or will be, this one.

    Returns:
        Its path, or an empty string if there is no place for temporary files: then every process speaks for itself.
    """
    prefix = f"asyncio-pulse-{os.getpid()}-{_pid_namespace()}-"
    try:
        directory = tempfile.mkdtemp(prefix=prefix)
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            os.chmod(directory, 0o1777)
    except OSError:
        return ""
    return directory


def new_token() -> str:
    """Make what tells the reports of a run from files of strangers."""
    return secrets.token_hex(16)


def sweep_spools() -> None:
    """Remove the directories that runs of this user left behind whose main process was killed."""
    if not hasattr(os, "geteuid"):
        return
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            match = NAME.fullmatch(entry.name)
            # Another container may use the same directory, and its processes cannot be seen from here.
            if match is None or match["namespace"] != str(_pid_namespace()) or is_alive(int(match["pid"])):
                continue
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                shutil.rmtree(entry.path, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether a process exists that has not ended: a killed one waits as a zombie for its parent, perhaps for long."""
    if os.name != "posix":
        return True  # there a signal 0 would end it
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stream:
        return stream.read().rpartition(b") ")[2][:1] not in b"ZX"
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


class Spool:
    """The directory of one run, as one of its processes uses it."""

    def __init__(self, directory: str, token: str) -> None:
        """Only keep where it is."""
        self._directory = directory
        self._token = token

    def leave(self, report: ProcessReport) -> None:
        """Leave a report for the main process.

        Raises:
            OSError: It cannot be written; whatever else lies there is untouched.
        """
        if not self._directory:
            raise FileNotFoundError(errno.ENOENT, "there is no directory for temporary files")
        self._show(self._draft([report]))
        # Whatever is wrong with those of others, this one has been left.
        with contextlib.suppress(OSError):
            if sum(name.endswith(LEFT) for name in self._names()) > MOST_FILES:
                self._put_together()

    def collect(self) -> tuple[list[ProcessReport], list[str]]:
        """Take all reports, and remove the directory.

        Returns:
            The reports, those of one command line together, and what was wrong with others, one line each.
        """
        reports: list[ProcessReport] = []
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
        # A child that ends at this very moment may just have left another one.
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)
        return merge_processes(reports), faults

    def _put_together(self) -> None:
        claims = [claimed for name in self._names() if name.endswith(LEFT) and (claimed := self._claim(name))]
        reports: list[ProcessReport] = []
        for claimed in claims:
            try:
                reports += self._read(claimed)
            except (OSError, PulseError):
                # The main process says what is wrong with it.
                os.rename(self._path(claimed), self._path(claimed) + DAMAGED)
        if not reports:
            return
        try:
            draft = self._draft(merge_processes(reports))
        except OSError:
            # There is no room for another file: they get back their names, and wait one by one.
            for claimed in claims:
                with contextlib.suppress(OSError):
                    os.rename(self._path(claimed), self._path(claimed.rpartition(".")[0]))
            raise
        for claimed in claims:
            self._remove(claimed)
        self._show(draft)

    def _take(self, name: str, faults: list[str]) -> list[ProcessReport]:
        """Read what nobody works on any more, and remove it."""
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
        """Make a report this process's own, so that nobody else counts it too; None if it is somebody else's."""
        claimed = f"{name}.{os.getpid()}"
        try:
            os.rename(self._path(name), self._path(claimed))
        except OSError:
            return None
        return claimed

    def _draft(self, reports: Sequence[ProcessReport]) -> str:
        """Write a file that nobody else reads yet, and give its name."""
        content = json.dumps({"token": self._token, "document": to_dict(reports)}).encode()
        # Named by time: it tells apart two processes with one id, and sorts them by their ends.
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

    def _read(self, name: str) -> list[ProcessReport]:
        # Neither a pipe that blocks nor a link to somewhere else: anybody may put things into root's directory.
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
    """Whether another process, one that lives, is about to put it under its name, or together with others."""
    match = CLAIMED.fullmatch(name) or DRAFT.fullmatch(name)
    return match is not None and int(match["pid"]) != os.getpid() and is_alive(int(match["pid"]))
