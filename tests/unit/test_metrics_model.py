"""The values that describe what a loop did: percentiles, ratios, summaries."""

from __future__ import annotations

import dataclasses

import pytest

from asyncio_pulse.metrics import DerivedMetrics, GroupMetrics, Histogram, Metrics, StackFrame, WorkerMetrics, WorstPoll

HISTOGRAM = Histogram(((10, 50), (20, 49), (1000, 1)))


def test_percentiles_of_a_histogram() -> None:
    assert HISTOGRAM.count == 100
    assert [HISTOGRAM.percentile(percent) for percent in (0.001, 50, 50.1, 99, 99.1, 100)] == [
        10,
        10,
        20,
        20,
        1000,
        1000,
    ]


def test_an_empty_histogram_has_no_durations() -> None:
    assert (Histogram().count, Histogram().percentile(99)) == (0, 0)


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_a_percentile_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percent must be above 0 and at most 100, got "):
        HISTOGRAM.percentile(percent)


def test_histograms_are_added_bucket_by_bucket() -> None:
    other = Histogram(((10, 1), (15, 2)))
    assert Histogram.merge([HISTOGRAM, other]) == Histogram(((10, 51), (15, 2), (20, 49), (1000, 1)))
    assert Histogram.merge([]) == Histogram()


def test_a_group_s_percentile_is_never_above_its_longest_poll() -> None:
    group = GroupMetrics("g", max_ns=940, histogram=HISTOGRAM)
    assert (group.p50_ns, group.p99_ns) == (10, 20)
    assert dataclasses.replace(group, histogram=Histogram(((1000, 5),))).p50_ns == 940


def test_derived_metrics_are_ratios_of_the_counters() -> None:
    metrics = Metrics(
        polls=200,
        violations=20,
        slow_polls=10,
        voluntary_yields=50,
        cpu_time_ns=300_000_000,
        wall_time_ns=400_000_000,
        tasks=8,
        uptime_ns=2_000_000_000,
    )
    assert DerivedMetrics.of(metrics) == DerivedMetrics(
        mean_poll_us=2000.0,
        violation_ratio=0.1,
        slow_poll_ratio=0.05,
        voluntary_yield_ratio=0.25,
        utilisation_ratio=0.2,
        cpu_ratio=0.75,
        polls_per_second=100.0,
        tasks_per_second=4.0,
    )


def test_before_anything_is_counted_every_ratio_is_zero() -> None:
    assert set(dataclasses.asdict(DerivedMetrics.of(Metrics())).values()) == {0.0}


def test_a_worker_without_numbers_is_all_zeros() -> None:
    numbers = dataclasses.asdict(WorkerMetrics(5))
    assert numbers.pop("worker_id") == 5
    assert set(numbers.values()) == {0}


def test_a_worst_poll_knows_whether_it_was_seen() -> None:
    unseen = WorstPoll("g", "t", "f", "f.py", 1, 5, 5, 0, 1, 5)
    assert not unseen.sampled
    assert dataclasses.replace(unseen, stack=(StackFrame("f", "f.py", 2),)).sampled


def test_values_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HISTOGRAM.buckets = ()  # type: ignore[misc]
