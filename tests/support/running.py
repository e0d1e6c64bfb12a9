"""Runs the programs of `programs/` with plain Python and under `asyncio-pulse run`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
PULSE = (sys.executable, "-m", "asyncio_pulse")
TIMEOUT_S = 60
# Log records of a worker that say that the program was slow.
SLOWNESS = re.compile(
    r"^asyncio-pulse pid \d+ worker \d+: .*(the loop (stalled|was busy|was blocked)|went from \w+ to).*\n", re.MULTILINE
)


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a program ended, and what it said; our report is apart from what the program itself wrote."""

    code: int
    stdout: str
    stderr: str
    report: str
    document: Mapping[str, Any] | None = None

    @property
    def own(self) -> tuple[int, str, str]:
        """What belongs to the program, without log records that a busy machine may cause in any program."""
        return self.code, self.stdout, SLOWNESS.sub("", self.stderr)

    def groups(self, process: int = 0) -> dict[str, Mapping[str, Any]]:
        assert self.document is not None
        return {group["name"]: group for group in self.document["processes"][process]["groups"]}


def environment(**variables: str) -> dict[str, str]:
    """Give an environment in which two runs of a program write the same."""
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **variables}


def untraced(**variables: str) -> dict[str, str]:
    """Give an environment without coverage, whose tracer loses what a signal handler raises inside it."""
    return {key: value for key, value in environment(**variables).items() if not key.startswith("COVERAGE_")}


def end_of(code: int, stdout: str, stderr: str, json_path: Path | None = None) -> Ending:
    # A report, or a complaint, which may name its process; log records about a worker belong to the program.
    mark = re.search(r"asyncio-pulse( pid \d+)?: ", stderr)
    own, report = (stderr, "") if mark is None else (stderr[: mark.start()], stderr[mark.start() :])
    document = json.loads(json_path.read_text()) if json_path is not None and json_path.exists() else None
    return Ending(code, stdout, own, report, document)


def run(command: Sequence[str | Path], json_path: Path | None = None, **options: Any) -> Ending:
    """Run a command to its end, in the programs' directory unless told otherwise."""
    options = {"cwd": PROGRAMS, "env": environment(), "timeout": TIMEOUT_S, "input": "", **options}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    return end_of(done.returncode, done.stdout, done.stderr, json_path)


def run_plain(*program: str | Path, **options: Any) -> Ending:
    return run([sys.executable, *program], **options)


def run_governed(directory: Path, *program: str | Path, **options: Any) -> Ending:
    """Run under the command, with its JSON report in a directory of the test's."""
    path = directory / "report.json"
    return run([*PULSE, "run", "--json", path, *program], json_path=path, **options)


@contextlib.contextmanager
def started(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own, and leave nothing of it."""
    options = {"cwd": PROGRAMS, "env": environment(), **options}
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate()
