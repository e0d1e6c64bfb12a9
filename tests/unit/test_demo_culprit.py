"""The demo names the culprit from the report's numbers alone."""

from __future__ import annotations

import json

from asyncio_pulse.demo.culprit import find_culprit
from asyncio_pulse.metrics.model import StackFrame, WorstPoll


def _poll(*stack: tuple[str, str, int], wall_ms: int, count: int = 1) -> WorstPoll:
    frames = tuple(StackFrame(*frame) for frame in stack)
    innermost = frames[0]
    return WorstPoll(
        group="requests",
        task="Task-1",
        function=innermost.function,
        filename=innermost.filename,
        line=innermost.line,
        wall_ns=wall_ms * 1_000_000,
        cpu_ns=wall_ms * 1_000_000,
        gc_ns=0,
        count=count,
        total_wall_ns=wall_ms * 1_000_000 * count,
        stack=frames,
    )


IMPORT = _poll(("load", "server.py", 1), wall_ms=700)


def test_the_longest_time_in_all_outweighs_one_longer_poll() -> None:
    culprit = find_culprit([IMPORT, _poll(("encode", "app.py", 2), wall_ms=250, count=18)])
    assert culprit is not None
    assert (culprit.rank, culprit.place, culprit.count) == (2, StackFrame("encode", "app.py", 2), 18)
    assert (culprit.wall_ms, culprit.total_ms) == (250.0, 4500.0)


def test_polls_seen_in_the_standard_library_count_for_who_called_it() -> None:
    in_library = _poll(("dumps", json.__file__, 9), ("encode", "app.py", 7), wall_ms=300)
    culprit = find_culprit([IMPORT, in_library, _poll(("encode", "app.py", 5), wall_ms=250, count=2)])
    assert culprit is not None
    assert (culprit.rank, culprit.place, culprit.count) == (2, StackFrame("encode", "app.py", 7), 3)
    assert culprit.total_ms == 800.0


def test_no_slow_poll_no_culprit() -> None:
    assert find_culprit([]) is None
