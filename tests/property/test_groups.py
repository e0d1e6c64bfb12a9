"""The group table: whatever the names, nothing is lost and it stays bounded."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from asyncio_pulse import _core as core
from tests.support.driving import Driven, configure, snapshots, work

names = st.sampled_from([f"route {number}" for number in range(20)]) | st.text(max_size=4)


@dataclasses.dataclass
class Expected:
    """What must be counted so far."""

    polls: int = 0
    entries: int = 0
    in_a_group: int = 0
    alive: int = 0
    most_groups: int = 0


class GroupTable(RuleBasedStateMachine):
    new = Bundle("new")
    running = Bundle("running")

    @initialize(max_groups=st.integers(1, 12))
    def govern(self, max_groups: int) -> None:
        self.governor = core.Governor(0)
        self.expected = Expected(most_groups=max_groups)
        configure(self.governor, max_groups=max_groups)
        self.created: list[Driven] = []

    def teardown(self) -> None:
        for driven in getattr(self, "created", []):
            if hasattr(driven, "governed"):
                driven.governed.close()

    @rule(max_groups=st.integers(1, 12))
    def change_the_bound(self, max_groups: int) -> None:
        self.expected.most_groups = max(self.expected.most_groups, max_groups)
        configure(self.governor, max_groups=max_groups)

    @rule(target=new, name=names, explicit=st.booleans())
    def create(self, name: str, explicit: bool) -> Driven:
        self.expected.alive += 1
        coro = work()
        if not explicit:
            coro.__qualname__ = name
        driven = Driven(self.governor, coro, core.Options(group=name) if explicit else None)
        self.created.append(driven)
        return driven

    @rule(target=running, driven=consumes(new))
    def start(self, driven: Driven) -> Driven:
        self.expected.entries += 1
        self.expected.in_a_group += 1
        self.expected.polls += 1
        assert driven.poll()
        return driven

    @rule(driven=consumes(new))
    def close_before_it_starts(self, driven: Driven) -> None:
        driven.governed.close()
        self.expected.alive -= 1

    @rule(driven=running, polls=st.integers(1, 5))
    def go_on(self, driven: Driven, polls: int) -> None:
        for _ in range(polls):
            assert driven.poll(True)
        self.expected.polls += polls

    @rule(driven=running, name=names)
    def change_the_group(self, driven: Driven, name: str) -> None:
        before = driven.governed.group
        driven.update(core.Options(group=name))
        # Staying where it is, or among all that are folded together, is no entry.
        self.expected.entries += driven.governed.group is not before
        self.expected.polls += 1

    @rule(driven=consumes(running), end=st.sampled_from(["return", "raise", "close", "drop"]))
    def end(self, driven: Driven, end: str) -> None:
        if end == "return":
            assert not driven.poll(False)
        elif end == "raise":
            driven.throw(KeyError("wanted"))
        elif end == "close":
            driven.governed.close()
        else:
            del driven.governed
        self.expected.polls += end in ("return", "raise")
        self.expected.in_a_group -= 1
        self.expected.alive -= 1

    @invariant()
    def everything_is_counted(self) -> None:
        groups = snapshots(self.governor)
        counters = self.governor.counters()
        assert sum(group["polls"] for group in groups) == counters["polls"] == self.expected.polls
        assert sum(count for group in groups for _, count in group["histogram"]) == self.expected.polls
        assert sum(group["tasks"] for group in groups) == self.expected.entries
        assert sum(group["tasks_alive"] for group in groups) == self.expected.in_a_group
        assert counters["tasks_alive"] == self.expected.alive
        assert counters["internal_errors"] == 0

    @invariant()
    def it_is_bounded(self) -> None:
        assert self.governor.counters()["groups"] <= self.expected.most_groups
        listed = [(group["name"], group["explicit"]) for group in snapshots(self.governor)]
        assert len(listed) == len(set(listed)) or ("(other)", False) in listed


TestGroupTable = GroupTable.TestCase
