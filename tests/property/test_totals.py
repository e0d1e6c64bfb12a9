"""The verdict on a poll against a model that spells out what it means."""

from __future__ import annotations

import ctypes
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.building import C_TESTS, NATIVE, compile_c


class Usage(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("wall", "nested", "nested_off_cpu", "gc", "cpu_since_sample", "cpu_sampled")
    ]


class Verdict(ctypes.Structure):
    _fields_ = [
        ("own_wall", ctypes.c_uint64),
        ("own_off_cpu", ctypes.c_uint64),
        ("over_budget", ctypes.c_uint64),
        ("violation", ctypes.c_bool),
        ("slow", ctypes.c_bool),
    ]


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> ctypes._NamedFuncPointer:
    output = tmp_path_factory.mktemp("native") / "plain_core.so"
    library = ctypes.CDLL(str(compile_c(output, C_TESTS / "plain_core.c", NATIVE / "base" / "totals.c", shared=True)))
    library.totals_judge.argtypes = [ctypes.POINTER(Usage), ctypes.c_uint64, ctypes.c_uint64]
    library.totals_judge.restype = Verdict
    return library.totals_judge


@dataclasses.dataclass
class Poll:
    """What happened, as one who could see everything would tell it. Microseconds."""

    own_cpu: int
    own_off_cpu: int
    gc_share: float
    inner_cpu: int
    inner_off_cpu: int
    cpu_before: int
    off_cpu_before: int

    def measured(self) -> Usage:
        """Tell what the clocks show of it: CPU time runs from a sample that was taken somewhat before the poll."""
        inner = self.inner_cpu + self.inner_off_cpu
        return Usage(
            wall=self.own_cpu + self.own_off_cpu + inner,
            nested=inner,
            nested_off_cpu=self.inner_off_cpu,
            gc=self.garbage(),
            cpu_since_sample=self.cpu_before + self.own_cpu + self.inner_cpu,
            cpu_sampled=self.cpu_before + self.off_cpu_before,
        )

    def garbage(self) -> int:
        return int(self.own_cpu * self.gc_share)


amounts = st.integers(0, 50) | st.integers(0, 10**9)
polls = st.builds(Poll, amounts, amounts, st.floats(0, 1), amounts, amounts, amounts, amounts)
limits = st.integers(0, 100) | st.integers(0, 10**9)


@given(poll=polls, budget=limits, slow=limits)
def test_what_is_off_the_cpu_before_the_poll_is_the_only_error(
    judge: ctypes._NamedFuncPointer, poll: Poll, budget: int, slow: int
) -> None:
    verdict = judge(poll.measured(), budget, slow)
    assert verdict.own_wall == poll.own_cpu + poll.own_off_cpu
    assert verdict.slow == (verdict.own_wall > slow)
    assert verdict.violation == (verdict.over_budget > 0)
    own_cpu = verdict.own_wall - verdict.own_off_cpu
    # In the task's favour, and by no more than that stretch.
    assert poll.own_cpu - poll.off_cpu_before <= own_cpu <= poll.own_cpu
    assert verdict.violation == (own_cpu - poll.garbage() > budget)


@given(poll=polls, budget=limits, slow=limits)
def test_with_a_fresh_sample_it_is_exact(judge: ctypes._NamedFuncPointer, poll: Poll, budget: int, slow: int) -> None:
    poll.off_cpu_before = 0
    verdict = judge(poll.measured(), budget, slow)
    assert verdict.own_off_cpu == poll.own_off_cpu
    assert verdict.violation == (poll.own_cpu - poll.garbage() > budget)


@given(usage=st.builds(Usage, *[st.integers(0, 2**64 - 1)] * 6), budget=limits, slow=limits)
def test_whatever_the_clocks_show_time_does_not_wrap(
    judge: ctypes._NamedFuncPointer, usage: Usage, budget: int, slow: int
) -> None:
    verdict = judge(usage, budget, slow)
    assert verdict.own_off_cpu <= verdict.own_wall <= usage.wall
