"""Run one test module of another library with pytest, and write the outcome of each test as JSON.

    python run_pytest.py MODULE OUTPUT [govern] [ARGUMENT ...]

Arguments are those of pytest. With `govern` every loop is governed from its creation, and the output has the number of
polls. Everything else is the same.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest
import uvloop
from governing import Polls, govern_every_loop


class Outcomes:
    """A pytest plugin that records the outcome of each test."""

    def __init__(self) -> None:
        self.by_test: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.by_test[report.nodeid] = f"error: {report.longreprtext}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test has three reports. A failure of its teardown overrides the success of its call.
        if report.failed:
            self.by_test[report.nodeid] = f"{'failed' if report.when == 'call' else 'error'}: {report.longreprtext}"
        elif report.skipped:
            self.by_test[report.nodeid] = "failed as expected" if hasattr(report, "wasxfail") else "skipped"
        elif report.when == "call":
            self.by_test[report.nodeid] = "passed"


def main() -> None:
    module, output, *arguments = sys.argv[1:]
    polls = Polls() if arguments[:1] == ["govern"] else None
    if polls is not None:
        govern_every_loop(polls, uvloop.Loop)
    # The plugins that a suite needs are named by its configuration or its arguments.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    outcomes = Outcomes()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *arguments[polls is not None :], module], plugins=[outcomes])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.exit(f"pytest ended with {status!r}")
    answer: dict[str, Any] = {"outcomes": outcomes.by_test}
    if polls is not None:
        answer |= {"polls": polls.total(), "parked": polls.parked(), "preempted": polls.preempted()}
    with open(output, "w") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
