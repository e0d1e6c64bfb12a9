"""Run the modules of a foreign test suite plain and governed, or governed under chaos, and report the differences.

Each module runs in a process of its own, once each way. A test with a different outcome is a failure, unless the suite's
list of kept differences explains exactly that outcome; then the reason is printed. If a module runs tasks, its governed run
must have counted polls.
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
"""Time limit of one module in one way. The longest modules take a tenth of it."""

MOST_KEPT = 5
"""A long list is no longer a list of exceptions. Under chaos more tests differ, because they count turns of the loop."""

Difference: TypeAlias = tuple[str, str, str]
"""A test, its outcome in a plain run, and its outcome in a governed run."""


@dataclass(frozen=True)
class Kept:
    """A difference that is inherent in governing, and not a fault.

    Attributes:
        tests: Bare names of the tests, as a shell pattern.
        ends: A regular expression to be found in the outcome of the governed test. Any other failure is not explained.
        reason: The explanation.
    """

    tests: str
    ends: str
    reason: str

    def explains(self, difference: Difference) -> bool:
        """Whether this explains why a test differs."""
        test, _, governed = difference
        return (
            fnmatch.fnmatchcase(bare_name(test), self.tests)
            and re.search(self.ends, governed, re.MULTILINE) is not None
        )


@dataclass(frozen=True)
class Suite:
    """A foreign test suite, and how to run one module of it.

    Attributes:
        name: The tested software, with versions.
        script: Runs one module: `script MODULE OUTPUT [govern]` writes `outcomes` by test and `polls` to OUTPUT as JSON.
        modules: Values of MODULE for `script`.
        kept: Differences that are reported with their reason, at most `MOST_KEPT`. None may be about cancellation, order or
            exceptions.
        without_tasks: Modules that run no task here, so that chaos does not affect them.
        directory: Working directory of the modules; None means the present one.
        arguments: Further arguments of the script, after its own.
        chaos: Value of `ASYNCIO_PULSE_CHAOS` in the governed runs, such as `1,0.2,0.2`; empty for no chaos.
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
    """Results of one module: outcomes by test, such as `failed: the traceback`, and how many polls chaos affected."""

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
    """Return the kind of an outcome. The text of an error contains addresses and times."""
    return outcome.partition(":")[0]


def bare_name(test: str) -> str:
    """Return a test's name without module, class and parameters, as in `a.b.C.test_x` and `a/b.py::C::test_x[c]`."""
    return re.split(r"::|\.", test.partition("[")[0])[-1]


def run(suite: Suite, module: str, *, governed: bool) -> Run:
    """Run one module. A module that cannot run on this platform has no outcomes."""
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
        # The module raised unittest.SkipTest at import, because it is for another platform.
        if "SkipTest" in done.stderr:
            return Run({})
        sys.exit(f"{module} {' '.join(way)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


def _heed_signals() -> None:
    # Background jobs of a shell ignore SIGINT, and programs under nohup ignore SIGHUP. Some tests would then wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def differences(plain: Run, governed: Run) -> list[Difference]:
    """List the tests with different outcomes."""
    pairs = [
        (test, plain.outcomes.get(test, "not run"), governed.outcomes.get(test, "not run"))
        for test in sorted(plain.outcomes.keys() | governed.outcomes.keys())
    ]
    return [(test, before, after) for test, before, after in pairs if kind_of(before) != kind_of(after)]


def reason_for(suite: Suite, difference: Difference) -> str | None:
    """Return the reason for a difference from the kept list, or None."""
    return next((kept.reason for kept in suite.kept if kept.explains(difference)), None)


def compare_module(suite: Suite, module: str) -> tuple[Run, int]:
    """Run a module both ways and report the differences. Returns the governed run and the number of unexpected ones."""
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
        # A test that depends on time may fail under load, either way. Only a repeated difference counts.
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
    """Compare all modules, or those named; exit with 1 after an unexpected difference."""
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
    """Summarise a governed run: tests, polls and interventions."""
    struck = f", {governed.parked:6} parked, {governed.preempted:6} preempted" if governed.parked else ""
    tests = f"{governed.ran():5} tests, {governed.count('skipped'):4} skipped"
    return f"{tests}, {governed.polls:7} governed polls{struck}"
