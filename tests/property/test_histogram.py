"""The histogram against a reference model: which bucket, which bounds, which percentiles."""

from __future__ import annotations

import ctypes
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.metrics.model import Histogram
from tests.support.building import C_TESTS, NATIVE, compile_c

BUCKETS = 256
LIMIT = 2**34

durations = st.integers(0, 2**64 - 1) | st.integers(0, 34).flatmap(lambda bits: st.integers(0, 2**bits))
in_range = st.integers(0, LIMIT - 1)
percents = st.floats(0, 100, exclude_min=True) | st.sampled_from([50, 90, 99, 99.9, 100])


def model_index(value: int) -> int:
    """Give the bucket: the first eight values have their own, then the leading bit and the three after it tell."""
    if value < 8:
        return value
    if value >= LIMIT:
        return BUCKETS - 1
    exponent = value.bit_length() - 1
    return (exponent - 2) * 8 + (value * 8 // 2**exponent - 8)


@pytest.fixture(scope="session")
def plain_core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    output = tmp_path_factory.mktemp("native") / "plain_core.so"
    library = ctypes.CDLL(str(compile_c(output, C_TESTS / "plain_core.c", NATIVE / "base" / "totals.c", shared=True)))
    library.histogram_index.argtypes = [ctypes.c_uint64]
    library.histogram_index.restype = ctypes.c_uint
    library.histogram_upper.argtypes = [ctypes.c_uint]
    library.histogram_upper.restype = ctypes.c_uint64
    return library


def recorded(library: ctypes.CDLL, values: list[int]) -> Histogram:
    """Give the histogram that the core would show of these durations, counted in nanoseconds."""
    counts: dict[int, int] = {}
    for value in values:
        index = library.histogram_index(value)
        counts[index] = counts.get(index, 0) + 1
    return Histogram(tuple((library.histogram_upper(index), counts[index]) for index in sorted(counts)))


@given(value=durations)
def test_a_value_falls_where_the_model_says(plain_core: ctypes.CDLL, value: int) -> None:
    assert plain_core.histogram_index(value) == model_index(value)


@given(value=in_range)
def test_the_bound_of_a_bucket_is_its_largest_value(plain_core: ctypes.CDLL, value: int) -> None:
    index = plain_core.histogram_index(value)
    upper = plain_core.histogram_upper(index)
    assert upper >= value
    assert model_index(upper) == index
    assert model_index(upper + 1) == min(index + 1, BUCKETS - 1)


@given(values=st.lists(in_range, min_size=1, max_size=200), percent=percents)
def test_a_percentile_is_never_too_low_and_little_too_high(
    plain_core: ctypes.CDLL, values: list[int], percent: float
) -> None:
    exact = sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]
    told = recorded(plain_core, values).percentile(percent)
    assert exact <= told <= exact * 1.125


@given(parts=st.lists(st.lists(in_range, max_size=50), max_size=5))
def test_merged_histograms_are_those_of_all_values(plain_core: ctypes.CDLL, parts: list[list[int]]) -> None:
    merged = Histogram.merge(recorded(plain_core, part) for part in parts)
    assert merged == recorded(plain_core, [value for part in parts for value in part])
    assert merged.count == sum(map(len, parts))
