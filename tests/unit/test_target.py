"""The latency target, and what follows from it."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.config import ConfigError, ConfigProfile, TierConfig
from asyncio_pulse.policy.tables import config_from_table, config_to_table
from asyncio_pulse.policy.target import DERIVED, LATENCY_TARGET_MS, Derived, derive, parse_target
from asyncio_pulse.policy.tier_config import SETTINGS
from asyncio_pulse.reports.configuration import FORMATS
from asyncio_pulse.runtime.config_sources import TARGET_VARIABLE
from asyncio_pulse.runtime.settings import DERIVED_ORIGIN, read_config_file, resolve_config, trace_config

TARGETS = st.integers(LATENCY_TARGET_MS.lowest, LATENCY_TARGET_MS.highest)


def derived(config: TierConfig) -> dict[str, int]:
    return {name: getattr(config, name) for name in DERIVED}


def test_four_settings_follow_from_the_target() -> None:
    assert derived(TierConfig()) == {
        "poll_budget_us": 2_000,
        "slow_poll_threshold_ms": 10,
        "stall_threshold_ms": 100,
        "turn_limit_ms": 20,
    }
    assert derived(TierConfig(latency_target_ms=5)) == {
        "poll_budget_us": 500,
        "slow_poll_threshold_ms": 2,
        "stall_threshold_ms": 25,
        "turn_limit_ms": 5,
    }


@given(TARGETS)
def test_what_follows_is_always_allowed(target_ms: int) -> None:
    config = TierConfig(latency_target_ms=target_ms)
    for name, value in derived(config).items():
        assert SETTINGS[name].accepts(value), (name, value)


def test_a_given_value_stays_and_the_others_follow_another_target() -> None:
    config = TierConfig(latency_target_ms=40, poll_budget_us=300)
    changed = dataclasses.replace(config, latency_target_ms=10)
    assert (changed.poll_budget_us, changed.turn_limit_ms, changed.stall_threshold_ms) == (300, 10, 50)
    assert not isinstance(changed.poll_budget_us, Derived)
    assert isinstance(pickle.loads(pickle.dumps(changed)).turn_limit_ms, Derived)


def test_a_value_that_is_given_as_it_would_follow_is_given() -> None:
    config = dataclasses.replace(TierConfig(poll_budget_us=2_000), latency_target_ms=10)
    assert config.poll_budget_us == 2_000


@pytest.mark.parametrize("profile", [each for each in ConfigProfile if each is not ConfigProfile.CUSTOM])
def test_profiles_keep_the_target(profile: ConfigProfile) -> None:
    config = config_from_table({"profile": profile.value, "latency_target_ms": 50})
    assert derived(config) == derived(TierConfig(latency_target_ms=50))


def test_a_target_out_of_range_is_the_only_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        TierConfig(latency_target_ms=0)
    assert [fault.field for fault in caught.value.faults] == ["latency_target_ms"]


def test_the_old_setting_of_turns_leads_to_the_new_one() -> None:
    with pytest.raises(ConfigError, match=r"slow_queue\.turn_budget_ms is not a setting .did you mean turn_limit_ms"):
        config_from_table({"slow_queue": {"turn_budget_ms": 5}})


def test_what_follows_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "pulse.toml"
    path.write_text("latency_target_ms = 50\nstall_threshold_ms = 200\n")
    origins = trace_config(path).origins
    assert origins["poll_budget_us"] == origins["turn_limit_ms"] == DERIVED_ORIGIN
    assert origins["stall_threshold_ms"] == origins["latency_target_ms"] == f"file {path}"
    assert trace_config(None).origins["latency_target_ms"] == "default"


def test_a_shown_file_sets_only_what_was_given(tmp_path: Path) -> None:
    shown = tmp_path / "shown.toml"
    shown.write_text(FORMATS["toml"](trace_config(TierConfig(latency_target_ms=50))))
    assert "# poll_budget_us = 5000" in shown.read_text()
    shown.write_text(shown.read_text().replace("latency_target_ms = 50", "latency_target_ms = 10"))
    assert read_config_file(shown) == TierConfig(latency_target_ms=10)
    config = TierConfig(latency_target_ms=10)
    assert config_from_table(config_to_table(config)) == config


def test_the_environment_sets_the_target_of_an_operator_and_not_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARGET_VARIABLE, "5ms")
    assert resolve_config(None) == TierConfig(latency_target_ms=5)
    assert trace_config(None).origins["latency_target_ms"] == f"environment {TARGET_VARIABLE}"
    assert resolve_config(TierConfig()).latency_target_ms == 20


def test_a_wrong_target_of_the_environment_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TARGET_VARIABLE, "soon")
    assert resolve_config(None) == resolve_config(None) == TierConfig()
    [record] = caplog.records
    assert f"{TARGET_VARIABLE} must be a time from 1ms to 60000ms, such as 20ms, got 'soon'" in record.getMessage()


@pytest.mark.parametrize(("text", "target_ms"), [("5ms", 5), ("20", 20), (" 1 s ", 1_000), ("60s", 60_000)])
def test_a_target_as_text(text: str, target_ms: int) -> None:
    assert parse_target("it", text) == target_ms


@pytest.mark.parametrize("text", ["", "0ms", "61s", "-5ms", "5us", "1.5ms", "ms", "99999999999"])
def test_text_that_is_no_target(text: str) -> None:
    with pytest.raises(ConfigError, match="it must be a time from 1ms to 60000ms"):
        parse_target("it", text)


@given(st.sampled_from(sorted(DERIVED)), TARGETS)
def test_a_derived_value_is_a_number(name: str, target_ms: int) -> None:
    assert derive(name, target_ms) == DERIVED[name](target_ms)
