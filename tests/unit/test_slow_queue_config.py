"""SlowQueueConfig: defaults, bounds, and every fault named at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asyncio_pulse.config import ConfigError, SchedulingAlgorithm, SlowQueueConfig
from asyncio_pulse.lowlevel import SlowQueue
from asyncio_pulse.policy.ranges import Range
from asyncio_pulse.policy.slow_queue import SETTINGS


def test_the_defaults_are_those_of_the_specification() -> None:
    assert dataclasses.asdict(SlowQueueConfig()) == {
        "algorithm": SchedulingAlgorithm.DEFICIT_ROUND_ROBIN,
        "max_slow_queue_size": 10_000,
        "slice_time_per_turn_us": 0,
        "starvation_threshold_ms": 1_000,
        "lottery_seed": None,
        "isolated_loop_share": 0.10,
    }
    given = {name: setting.default for name, setting in SETTINGS.items() if name != "lottery_seed"}
    assert SlowQueueConfig(**given) == SlowQueueConfig()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if isinstance(setting, Range)])
def test_the_bounds_of_each_setting(name: str) -> None:
    bounds = SETTINGS[name]
    assert isinstance(bounds, Range)
    for value in (bounds.lowest, bounds.highest):
        assert getattr(SlowQueueConfig(**{name: value}), name) == value  # type: ignore[arg-type]
    for value in (bounds.lowest - 1, bounds.highest + 1):
        with pytest.raises(ConfigError, match=f"{name} must be a whole number from "):
            SlowQueueConfig(**{name: value})  # type: ignore[arg-type]


def test_a_share_is_a_number() -> None:
    assert SlowQueueConfig(isolated_loop_share=1).isolated_loop_share == 1
    for value in ("half", None, True, float("nan"), -0.1, 1.1):
        with pytest.raises(ConfigError, match="isolated_loop_share must be a number from 0 to 1, got "):
            SlowQueueConfig(isolated_loop_share=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", SchedulingAlgorithm)
def test_an_algorithm_may_be_given_by_its_value_and_the_core_knows_it(algorithm: SchedulingAlgorithm) -> None:
    assert SlowQueueConfig(algorithm=algorithm.value).algorithm is algorithm  # type: ignore[arg-type]
    assert SlowQueue[int](algorithm).algorithm == algorithm


@pytest.mark.parametrize("algorithm", ["fifo", None, 1, ["lottery"]], ids=repr)
def test_an_unknown_algorithm_is_refused(algorithm: Any) -> None:
    with pytest.raises(ConfigError, match="algorithm must be one of credit_based, lottery, deficit_round_robin, got "):
        SlowQueueConfig(algorithm=algorithm)


def test_the_seed_is_none_or_64_bits() -> None:
    assert SlowQueueConfig(lottery_seed=2**64 - 1).lottery_seed == 2**64 - 1
    for value in (-1, 2**64, 1.5):
        with pytest.raises(ConfigError, match="lottery_seed must be "):
            SlowQueueConfig(lottery_seed=value)  # type: ignore[arg-type]


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SlowQueueConfig(max_slow_queue_size=0, isolated_loop_share=-1, lottery_seed=-1)
    message = str(caught.value)
    assert message.startswith("invalid slow queue: ")
    assert all(name in message for name in ("max_slow_queue_size", "isolated_loop_share", "lottery_seed"))
