"""Which places are shown: those with most time, and no group hides the others."""

from __future__ import annotations

import dataclasses

from asyncio_pulse.metrics.model import Report, WorstPoll
from asyncio_pulse.metrics.places import by_time, choose
from asyncio_pulse.reports.text import sections
from asyncio_pulse.runtime.ledger import process_report

MS = 1_000_000


def place(group: str, function: str, total_ms: int, longest_ms: int = 1) -> WorstPoll:
    return WorstPoll(group, "task", function, "app.py", 1, longest_ms * MS, 0, 0, 1, total_ms * MS)


def test_places_are_ranked_by_their_time_in_all() -> None:
    often, once = place("GET /", "often", total_ms=900, longest_ms=20), place("GET /", "once", 400, longest_ms=400)
    assert by_time([once, often]) == [often, once]


def test_a_group_takes_only_what_others_leave() -> None:
    scattered = [place("GET /report", f"field_{number}", 200) for number in range(14)]
    login = place("POST /login", "login", 140)
    chosen = choose([*scattered, login], most=10, most_of_group=3)
    assert len(chosen) == 10
    assert chosen[-1] == login
    assert choose(scattered, most=10, most_of_group=3) == tuple(scattered[:10])
    assert choose(scattered, most=0, most_of_group=3) == ()


def test_the_report_shows_every_group_that_offends() -> None:
    scattered = tuple(place("GET /report", f"field_{number}", 200) for number in range(14))
    report: Report = dataclasses.replace(process_report(), worst_polls=(*scattered, place("POST /login", "login", 140)))
    shown = dict(sections(report, 10))["worst polls"]
    assert len(shown) == 10
    assert any("login" in line for record in shown for line in record)
