"""Run one module of the interpreter's asyncio tests, and write the outcome of each test as JSON.

    python run_unittest.py MODULE OUTPUT [govern]

With `govern` every loop is governed from its creation, and the output has the number of polls. Everything else is the same.
"""

from __future__ import annotations

import json
import sys
import traceback
import unittest
from typing import Any

from governing import Polls, govern_every_loop


class Outcomes(unittest.TextTestResult):
    """Records the outcome of each test."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, str] = {}

    def _note(self, test: unittest.TestCase, outcome: str) -> None:
        self.outcomes.setdefault(test.id(), outcome)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._note(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "error: " + "".join(traceback.format_exception(*err)))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed: " + "".join(traceback.format_exception(*err)))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed: " + "".join(traceback.format_exception(*err)))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, f"skipped: {reason}")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "failed as expected")


def main() -> None:
    module, output = sys.argv[1:3]
    polls = Polls() if "govern" in sys.argv[3:] else None
    if polls is not None:
        govern_every_loop(polls)
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{module}")
    with open(output + ".log", "w") as log:
        result = unittest.TextTestRunner(resultclass=Outcomes, verbosity=0, stream=log).run(suite)
    assert isinstance(result, Outcomes)
    with open(output, "w") as file:
        json.dump({"outcomes": result.outcomes, "polls": polls.total() if polls is not None else 0}, file)


if __name__ == "__main__":
    main()
