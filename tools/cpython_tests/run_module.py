"""Run one test module of the interpreter, and write the outcome of each test as JSON.

    python run_module.py MODULE OUTPUT [govern]

With `govern` every loop is governed from its birth; the output then tells how many polls were. Everything else is the same.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import unittest
from asyncio import base_events, proactor_events, selector_events
from typing import Any


class Outcomes(unittest.TextTestResult):
    """Remember what became of each test."""

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
        self._note(test, "error: " + self._exc_info_to_string(err, test).strip())

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed: " + self._exc_info_to_string(err, test).strip())

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed: " + self._exc_info_to_string(err, test).strip())

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, f"skipped: {reason}")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "failed as expected")


class Polls:
    """Count the polls of every loop that was governed, after it is gone as well."""

    def __init__(self) -> None:
        import asyncio_pulse

        self.install = asyncio_pulse.install
        self.managers: list[Any] = []

    def govern(self, loop: asyncio.AbstractEventLoop) -> None:
        manager = self.install(loop=loop)
        if manager not in self.managers:
            self.managers.append(manager)

    def total(self) -> int:
        return sum(manager.get_metrics().polls for manager in self.managers)


def govern_every_loop(polls: Polls) -> None:
    """Have each loop governed as soon as it is made; again when it has a selector."""
    for cls in (
        base_events.BaseEventLoop,
        selector_events.BaseSelectorEventLoop,
        proactor_events.BaseProactorEventLoop,
    ):
        original = cls.__init__

        @functools.wraps(original)
        def init(self: Any, *args: Any, _original: Any = original, **kwargs: Any) -> None:
            _original(self, *args, **kwargs)
            polls.govern(self)

        cls.__init__ = init  # type: ignore[method-assign]


def main() -> None:
    module, output = sys.argv[1:3]
    polls = Polls() if "govern" in sys.argv[3:] else None
    if polls is not None:
        govern_every_loop(polls)
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    with open(output + ".log", "w") as log:
        result = unittest.TextTestRunner(resultclass=Outcomes, verbosity=0, stream=log).run(suite)
    assert isinstance(result, Outcomes)
    with open(output, "w") as file:
        json.dump({"outcomes": result.outcomes, "polls": polls.total() if polls is not None else 0}, file)


if __name__ == "__main__":
    main()
