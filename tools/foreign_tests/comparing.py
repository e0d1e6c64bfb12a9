"""Run the modules of somebody else's test suite plain and governed, or governed under chaos; tell what differs.

Each module runs in a process of its own, once each way. A test whose outcome differs is a failure, unless the suite's
kept list explains just that outcome: then the reason is printed. A module that runs tasks must have been governed: its
polls are counted.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

TIMEOUT_SECONDS = 600
"""For one module one way. The longest take a tenth of it."""

MOST_KEPT = 5
"""A kept list that grows is not a list of exceptions any more. Of tests that count turns chaos finds more than these."""

Difference: TypeAlias = tuple[str, str, str]
"""A test, its outcome in a plain run, its outcome in a governed one."""


@dataclass(frozen=True)
class Kept:
    """A difference that governing is, and not a fault of it.

    Attributes:
        tests: The bare names of the tests, as a shell pattern.
        ends: A regular expression found in what the governed test says: it fails for this, and for nothing else.
        reason: Why.
    """

    tests: str
    ends: str
    reason: str

    def explains(self, difference: Difference) -> bool:
        """Tell whether this is why a test differs."""
        test, _, governed = difference
        return (
            fnmatch.fnmatchcase(bare_name(test), self.tests)
            and re.search(self.ends, governed, re.MULTILINE) is not None
        )


@dataclass(frozen=True)
class Suite:
    """Somebody else's tests, and how to run one module of them.

    Attributes:
        name: What is tested, with versions.
        script: Runs one module: `script MODULE OUTPUT [govern]` writes `outcomes` by test and `polls` to OUTPUT as JSON.
        modules: What `script` takes as MODULE.
        kept: Differences that are told with their reason; at most `MOST_KEPT`. None may be about cancellation, order or
            exceptions.
        without_tasks: Modules that run no task here: chaos does not find them.
        directory: Where the modules run; here if None.
        arguments: More for the script, after its own.
        chaos: What `ASYNCIO_PULSE_CHAOS` is to be in the governed runs, such as `1,0.2,0.2`; no chaos if empty.
    """

    name: str
    script: Path
    modules: list[str]
    kept: list[Kept]
    without_tasks: set[str] = field(default_factory=set)
    directory: Path | None = None
    arguments: list[str] = field(default_factory=list)
    chaos: str = ""


@dataclass
class Run:
    """What became of a module's tests: outcomes by test, such as `failed: the traceback`; how many polls were struck."""

    outcomes: dict[str, str]
    polls: int = 0
    parked: int = 0
    preempted: int = 0

    def count(self, kind: str) -> int:
        """Count the tests with an outcome of this kind."""
        return sum(kind_of(outcome) == kind for outcome in self.outcomes.values())

    def ran(self) -> int:
        """Count the tests that were not skipped."""
        return len(self.outcomes) - self.count("skipped")


def kind_of(outcome: str) -> str:
    """Reduce an outcome to its kind: an error's text has addresses and times in it."""
    return outcome.partition(":")[0]


def bare_name(test: str) -> str:
    """Name a test without module, class and parameters, as in `a.b.C.test_x` and `a/b.py::C::test_x[c]`."""
    return re.split(r"::|\.", test.partition("[")[0])[-1]


def run(suite: Suite, module: str, *, governed: bool) -> Run:
    """Run one module; a module that cannot be run on this platform has no outcomes."""
    way = ["govern"] if governed else []
    chaos = {"ASYNCIO_PULSE_CHAOS": suite.chaos} if governed else {}
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "outcomes.json")
        done = subprocess.run(
            [sys.executable, str(suite.script), module, str(output), *way, *suite.arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            cwd=suite.directory,
            env={**os.environ, **chaos},
            preexec_fn=_heed_signals,
        )
        if output.exists():
            return Run(**json.loads(output.read_text()))
        # unittest.SkipTest at import: the module is for another platform.
        if "SkipTest" in done.stderr:
            return Run({})
        sys.exit(f"{module} {' '.join(way)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


def _heed_signals() -> None:
    # Background jobs of a shell ignore the one, what nohup starts the other: some tests would wait for them for ever.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def differences(plain: Run, governed: Run) -> list[Difference]:
    """List the tests that ended differently."""
    pairs = [
        (test, plain.outcomes.get(test, "not run"), governed.outcomes.get(test, "not run"))
        for test in sorted(plain.outcomes.keys() | governed.outcomes.keys())
    ]
    return [(test, before, after) for test, before, after in pairs if kind_of(before) != kind_of(after)]


def reason_for(suite: Suite, difference: Difference) -> str | None:
    """Look a difference up in the kept list."""
    return next((kept.reason for kept in suite.kept if kept.explains(difference)), None)


def compare_module(suite: Suite, module: str) -> tuple[Run, int]:
    """Run a module both ways and tell the differences; the governed run, and how many were unexpected."""
    plain, governed = run(suite, module, governed=False), run(suite, module, governed=True)
    found = differences(plain, governed)
    failures = []
    for difference in found:
        reason = reason_for(suite, difference)
        if reason is None:
            failures.append(difference)
        else:
            print(f"  {difference[0]}: {kind_of(difference[1])} -> {reason}")
    if failures:
        # A test that depends on time may fail under load, either way: it is different only if it is so twice.
        once_more = run(suite, module, governed=False), run(suite, module, governed=True)
        again = {test for test, _, _ in differences(*once_more)}
        failures = [difference for difference in failures if difference[0] in again]
    for test, before, after in failures:
        print(f"  {test}: {before} -> {after}")
    for test, outcome in plain.outcomes.items():
        if kind_of(outcome) in ("failed", "error") and kind_of(governed.outcomes.get(test, "")) == kind_of(outcome):
            print(f"  {test}: {kind_of(outcome)} either way")
    count = len(failures)
    if governed.ran() and module not in suite.without_tasks and governed.polls == 0:
        print(f"  {module}: nothing was governed")
        count += 1
    return governed, count


def compare(suite: Suite, modules: list[str] | None = None) -> None:
    """Compare all modules, or those named; exit with 1 if there was an unexpected difference."""
    assert suite.chaos or len(suite.kept) <= MOST_KEPT
    total, total_unexpected = Run({}), 0
    for module in modules or suite.modules:
        if suite.chaos and module in suite.without_tasks:
            continue
        governed, count = compare_module(suite, module)
        print(f"{module:32} {describe(governed)}, {count} unexpected", flush=True)
        total.outcomes.update(governed.outcomes)
        total.polls += governed.polls
        total.parked += governed.parked
        total.preempted += governed.preempted
        total_unexpected += count
    if suite.chaos and min(total.parked, total.preempted) == 0:
        print("chaos did not strike")
        total_unexpected += 1
    print(f"{suite.name}: {describe(total)}, {total_unexpected} unexpected")
    sys.exit(1 if total_unexpected else 0)


def describe(governed: Run) -> str:
    """Tell how much a governed run was worth."""
    struck = f", {governed.parked:6} parked, {governed.preempted:6} preempted" if governed.parked else ""
    tests = f"{governed.ran():5} tests, {governed.count('skipped'):4} skipped"
    return f"{tests}, {governed.polls:7} governed polls{struck}"
