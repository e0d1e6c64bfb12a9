"""The directory where child processes leave their reports for the main process of a run.

A child may have given up root before it ends, as server workers do. Under root the directory is therefore open to all
users, as /tmp is.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile

__all__ = ["is_alive", "make_spool", "new_token", "sweep_spools"]

NAME = re.compile(r"asyncio-pulse-(?P<pid>\d+)-(?P<namespace>\d+)-\w+")


def make_spool() -> str:
    """Make the directory for the run whose main process is, or will be, this process.

    Returns:
        The path, or an empty string if there is no place for temporary files. Then every process prints its own report.
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
    """Make the secret that marks reports of a run among other files."""
    return os.urandom(16).hex()


def sweep_spools() -> None:
    """Remove directories of this user's earlier runs whose main process was killed."""
    if not hasattr(os, "geteuid"):
        return
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            match = NAME.fullmatch(entry.name)
            # Another container may use the same directory, and its processes are invisible here.
            if match is None or match["namespace"] != str(_pid_namespace()) or is_alive(int(match["pid"])):
                continue
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                shutil.rmtree(entry.path, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not ended. A killed process may stay a zombie for long until its parent reaps it."""
    if os.name != "posix":
        return True  # on Windows signal 0 would end the process
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
