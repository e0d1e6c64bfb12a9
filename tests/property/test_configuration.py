"""Configurations: whatever validates comes back from a file, and whatever is out of its range is named."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse import ConfigError, ConfigProfile, GroupPolicy, TaskPriority, TierConfig, TierPolicy
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.policy.group_policy import GROUP_SETTINGS, group_path
from asyncio_pulse.policy.ranges import Choice, Flag, Named, Packages, Range, Setting, Share
from asyncio_pulse.policy.tables import config_from_table, config_to_table, flatten
from asyncio_pulse.policy.tier_config import SETTINGS
from asyncio_pulse.policy.tier_policy import TIER_SETTINGS
from asyncio_pulse.reports.configuration import FORMATS
from asyncio_pulse.runtime.settings import TracedConfig

PROMOTION = ("promotion_threshold", "promotion_cpu_threshold_ms", "promotion_slow_poll_threshold")
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
policies = st.builds(
    GroupPolicy,
    max_tier=st.none() | st.sampled_from(InterventionAction),
    preempt=st.sampled_from([None, "off", "waits", "await", "anywhere"]),
    priority=st.none() | st.sampled_from(TaskPriority),
    exempt=st.booleans(),
)


def allowed(setting: Setting) -> st.SearchStrategy[Any]:
    """Draw from everything that a setting accepts."""
    match setting:
        case Range():
            return st.integers(setting.lowest, setting.highest)
        case Share():
            return st.floats(0, 1)
        case Flag():
            return st.booleans()
        case Choice():
            return st.sampled_from(setting.words)
        case Packages():
            return st.sampled_from([(), ("*",), ("numpy", "jinja2"), ["jinja2"]])
        case Named():
            members = list(type(setting.default))
            return st.sampled_from([*members, *map(int, members), *(member.name.title() for member in members)])
    raise AssertionError(setting)


def refused(setting: Setting) -> st.SearchStrategy[Any]:
    """Draw from what a setting does not accept."""
    others = st.sampled_from(["5", "", [], {}, object, float("nan"), float("inf"), -1])
    if isinstance(setting, Range):
        others |= st.integers(max_value=setting.lowest - 1) | st.integers(min_value=setting.highest + 1) | st.booleans()
    elif isinstance(setting, Share):
        others |= st.floats(max_value=0, exclude_max=True) | st.floats(min_value=1, exclude_min=True) | st.booleans()
    elif isinstance(setting, Packages):
        return st.sampled_from(["5", {}, object, -1, ("*", "numpy"), ("a.b",), (5,)])
    return others


@st.composite
def configurations(draw: st.DrawFn) -> TierConfig:
    """Draw valid configurations: promotion numbers fall with the tier, times are not below the window."""
    scalars = {name: draw(allowed(setting)) for name, setting in SETTINGS.items()}
    window = scalars["promotion_window_ms"]
    scalars["idle_decay_ms"] = max(window, scalars["idle_decay_ms"])
    numbers = [
        {name: draw(allowed(setting)) for name, setting in TIER_SETTINGS[action].items()}
        for action in InterventionAction
    ]
    for name in PROMOTION:
        falling = sorted((tier[name] for tier in numbers[:3]), reverse=True)
        for tier, number in zip(numbers, falling, strict=False):
            tier[name] = number
    for tier in numbers[1:]:
        tier["demotion_min_duration_ms"] = max(window, tier["demotion_min_duration_ms"])
    tiers = tuple(
        TierPolicy(draw(texts), action, **tier) for action, tier in zip(InterventionAction, numbers, strict=True)
    )
    groups = draw(st.dictionaries(texts, policies, max_size=4))
    return TierConfig(**scalars, tier_policies=tiers, groups=groups)


def traced(config: TierConfig, origin: str = "code") -> TracedConfig:
    return TracedConfig(config, "custom", {path: origin for path, _ in flatten(config_to_table(config))})


@given(configurations(), texts)
def test_what_is_shown_as_toml_loads_to_an_equal_configuration(config: TierConfig, origin: str) -> None:
    loaded = config_from_table(tomllib.loads(FORMATS["toml"](traced(config, origin))))
    assert loaded == config
    assert hash(loaded) == hash(config)
    assert list(loaded.groups) == list(config.groups)


@given(configurations())
def test_what_is_shown_as_json_loads_to_an_equal_configuration(config: TierConfig) -> None:
    assert config_from_table(json.loads(FORMATS["json"](traced(config)))["config"]) == config


@given(configurations())
def test_the_text_has_a_line_for_every_setting(config: TierConfig) -> None:
    paths = [path for path, _ in flatten(config_to_table(config))]
    shown = FORMATS["text"](traced(config)).split("\n")
    assert all(line.startswith(f"{path} ") for line, path in zip(shown, paths, strict=True))


@given(configurations(), st.data())
def test_every_single_value_out_of_its_range_is_named(config: TierConfig, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(SETTINGS)))
    value = data.draw(refused(SETTINGS[name]))
    table = config_to_table(config)
    for attempt in (
        lambda: dataclasses.replace(config, **{name: value}),
        lambda: config_from_table({**table, name: value}),
    ):
        with pytest.raises(ConfigError) as caught:
            attempt()
        (fault,) = caught.value.faults
        assert (fault.field, fault.allowed) == (name, SETTINGS[name].allowed)
        assert fault.value is value


@given(configurations(), st.data())
def test_every_single_value_of_a_tier_out_of_its_range_is_named(config: TierConfig, data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(InterventionAction))
    settings = TIER_SETTINGS[action]
    name = data.draw(st.sampled_from(list(settings)))
    value = data.draw(refused(settings[name]))
    table = config_to_table(config)
    table["tiers"][action.name.lower()][name] = value
    with pytest.raises(ConfigError) as caught:
        config_from_table(table)
    (fault,) = caught.value.faults
    assert (fault.field, fault.allowed) == (f"tiers.{action.name.lower()}.{name}", settings[name].allowed)


@given(configurations(), texts, st.data())
def test_every_single_value_of_a_group_that_is_not_allowed_is_named(
    config: TierConfig, pattern: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(list(GROUP_SETTINGS)))
    table = config_to_table(config)
    table["groups"][pattern] = {name: data.draw(refused(GROUP_SETTINGS[name]))}
    with pytest.raises(ConfigError) as caught:
        config_from_table(table)
    (fault,) = caught.value.faults
    assert (fault.field, fault.allowed) == (f"{group_path(pattern)}.{name}", GROUP_SETTINGS[name].allowed)


@given(configurations(), st.dictionaries(st.sampled_from(list(SETTINGS)), st.just({}), min_size=2), st.data())
def test_all_values_at_fault_are_named_at_once(
    config: TierConfig, wrong: dict[str, object], data: st.DataObject
) -> None:
    action = data.draw(st.sampled_from(InterventionAction))
    names = data.draw(st.sets(st.sampled_from(list(TIER_SETTINGS[action])), min_size=1))
    tier = action.name.lower()
    table = {**config_to_table(config), **wrong}
    table["tiers"][tier].update({name: {} for name in names})
    with pytest.raises(ConfigError) as caught:
        config_from_table(table)
    faults = caught.value.faults
    assert {fault.field for fault in faults} == {*wrong, *(f"tiers.{tier}.{name}" for name in names)}
    assert all(str(fault) in str(caught.value) for fault in faults)


@given(st.sampled_from([ConfigProfile.AGGRESSIVE, ConfigProfile.BALANCED, ConfigProfile.PERMISSIVE]))
def test_a_profile_named_in_a_file_is_that_profile(profile: ConfigProfile) -> None:
    assert config_from_table({"profile": profile.value}) == profile.config()
