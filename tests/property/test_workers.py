"""Worker statistics: a reset moves the point that they are counted from, and nothing else."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asyncio_pulse import _core as core
from asyncio_pulse.metrics.model import WorkerMetrics
from asyncio_pulse.runtime.workers import WorkerTable
from tests.support.driving import Driven, configure, work

WORKERS = 3
numbers = st.integers(0, WORKERS - 1)


class Workers(RuleBasedStateMachine):
    @initialize()
    def govern(self) -> None:
        self.table = WorkerTable()
        self.governors = [self.table.add(core.Governor, lambda: True) for _ in range(WORKERS)]
        for governor in self.governors:
            configure(governor)
        self.running: list[list[Driven]] = [[] for _ in range(WORKERS)]
        self.polls = [0] * WORKERS
        self.tasks = [0] * WORKERS

    @rule(number=numbers)
    def start(self, number: int) -> None:
        driven = Driven(self.governors[number], work())
        driven.poll()
        self.running[number].append(driven)
        self.polls[number] += 1
        self.tasks[number] += 1

    @rule(number=numbers)
    def go_on(self, number: int) -> None:
        for driven in self.running[number]:
            driven.poll(True)
        self.polls[number] += len(self.running[number])

    @rule(number=numbers)
    def finish(self, number: int) -> None:
        if self.running[number]:
            assert not self.running[number].pop().poll(False)
            self.polls[number] += 1

    @rule(number=numbers)
    def reset(self, number: int) -> None:
        self.table.reset(number)
        self.polls[number] = self.tasks[number] = 0
        alive = len(self.running[number])
        assert self.table.metrics(number) == WorkerMetrics(number, tasks_alive=alive)

    @rule(number=st.integers(WORKERS, 99) | st.integers(max_value=-1))
    def ask_for_nobody(self, number: int) -> None:
        self.table.reset(number)
        assert self.table.metrics(number) == WorkerMetrics(number)

    @invariant()
    def counts_are_exact(self) -> None:
        all_metrics = self.table.all_metrics()
        assert list(all_metrics) == list(range(WORKERS))
        for number, metrics in all_metrics.items():
            assert metrics == self.table.metrics(number)
            assert metrics.polls == self.polls[number]
            assert metrics.tasks == self.tasks[number]
            assert metrics.tasks_alive == len(self.running[number])
            assert min(metrics.cpu_time_ns, metrics.wall_time_ns, metrics.voluntary_yields) >= 0
            assert metrics.wall_time_ns >= metrics.cpu_time_ns

    @invariant()
    def the_manager_s_own_counters_are_never_reset(self) -> None:
        for number, governor in enumerate(self.governors):
            assert governor.counters()["polls"] >= self.polls[number]


TestWorkers = Workers.TestCase
