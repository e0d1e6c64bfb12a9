"""How soon each kind of CPU-bound code is suspended after its budget; otherwise the rule that refused, and why."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import json
import re
import time
from collections.abc import Callable
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse.reports.wording import REFUSALS

from .hogs import run, work
from .method import Figure, on_processor

__all__ = ["measure"]

SECONDS = 0.5


def _parse(text: str) -> list[Any]:
    """Parse nested parentheses, like typical parsers written in Python."""
    stack: list[list[Any]] = [[]]
    for character in text:
        if character == "(":
            stack.append([])
        elif character == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(character)
    return stack[0]


def _render() -> Callable[[], Any]:
    import jinja2

    rows = "{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}"
    template = jinja2.Template(rows)
    return lambda: template.render(rows=[range(20)] * 100)


def _encode() -> Callable[[], Any]:
    from fastapi.encoders import jsonable_encoder

    document = {str(number): [{"name": "x", "values": list(range(20))}] * 5 for number in range(50)}
    return lambda: jsonable_encoder(document)


def _apply() -> Callable[[], Any]:
    import pandas

    frame = pandas.DataFrame({"a": range(200), "b": range(200)})
    return lambda: frame.apply(lambda row: sum([row["a"] * each for each in range(50)]), axis=1)


def _kinds() -> dict[str, Callable[[], Any]]:
    class Custom:
        pass

    objects = [Custom() for _ in range(200)]
    document = {str(number): list(range(20)) for number in range(100)}
    kinds: dict[str, Callable[[], Any]] = {
        "arithmetic": lambda: work(20_000),
        "a parser in Python": lambda: _parse("(a(b)c)" * 2000),
        "copy.deepcopy": lambda: copy.deepcopy(document),
        "json.dumps(default=...)": lambda: json.dumps(objects, default=lambda each: sum([1 for _ in range(200)])),
        "re.sub(callback)": lambda: re.sub("a", lambda match: str(sum([1 for _ in range(200)])), "a" * 200),
        "list.sort(key=...)": lambda: sorted(range(500), key=lambda each: sum([each for _ in range(100)])),
        "sum(generator)": lambda: sum(number * number for number in range(20_000)),
        "one long C call": lambda: sorted(range(300_000), reverse=True),
    }
    with contextlib.suppress(ImportError):
        kinds["Jinja2"] = _render()
    with contextlib.suppress(ImportError):
        kinds["jsonable_encoder"] = _encode()
    with contextlib.suppress(ImportError):
        kinds["DataFrame.apply"] = _apply()
    return kinds


def _suspensions() -> list[Figure]:
    """Measure the time from the end of the budget to the suspension, by kind of hog."""

    async def main(work: Callable[[], Any]) -> Any:
        async def hog() -> None:
            until = time.perf_counter() + SECONDS
            while time.perf_counter() < until:
                work()

        await pulse.spawn(hog(), preemptible=True)
        return pulse.get_manager().report().preemption

    figures = []
    for name, kind in _kinds().items():
        record = run(asyncio.new_event_loop, main(kind), poll_budget_us=1000, preempt_through_c="iteration")
        refused = {rule: count for rule, count in record.refused.items() if count}
        note = f"{record.preemptions} preemptions"
        if refused:
            most = max(refused, key=lambda rule: refused[rule])
            why, advice = REFUSALS[most]
            note += f"; refused most by {most}: {why}; {advice}"
        delays = [record.delay.percentile(percent) / 1e6 for percent in (50, 99)]
        figures += [
            Figure(f"{name}: until suspended, p50", "ms", delays[0], delays[0], delays[0], note=note),
            Figure(f"{name}: until suspended, p99", "ms", delays[1], delays[1], delays[1]),
        ]
    return figures


def measure() -> list[Figure]:
    """Measure on one processor."""
    gc.collect()
    with on_processor(0):
        return _suspensions()
