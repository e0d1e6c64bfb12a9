"""Which tiers can act under a configuration, and why the others cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncio_pulse import TierConfig
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.doctor import facts as doctor
from asyncio_pulse.doctor.facts import collect_facts
from asyncio_pulse.doctor.tiers import configuration_facts, tier_abilities
from asyncio_pulse.runtime.settings import MODE_VARIABLE, PROFILE_VARIABLE, ConfigSource, trace_config


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MODE_VARIABLE, PROFILE_VARIABLE, "ASYNCIO_PULSE_CHAOS"):
        monkeypatch.delenv(name, raising=False)


def available(config: TierConfig) -> list[str]:
    return [ability.name.removeprefix("tier ") for ability in tier_abilities(config) if ability.available]


def values(source: ConfigSource) -> dict[str, str]:
    return {fact.name: fact.value for fact in configuration_facts(trace_config(source))}


@pytest.mark.parametrize(
    ("config", "tiers"),
    [
        (TierConfig(), "Monitor Warn Yield Isolate"),
        (TierConfig(mode="observe"), "Monitor Warn"),
        (TierConfig(mode="off"), ""),
        # Isolate, and whoever has a cap of its own, does not ask the common one.
        (TierConfig(max_tier=InterventionAction.WARN), "Monitor Warn Isolate"),
        (TierConfig(max_tier=InterventionAction.MONITOR), "Monitor Isolate"),
    ],
    ids=["act", "observe", "off", "to warn", "to monitor"],
)
def test_what_can_act(config: TierConfig, tiers: str) -> None:
    assert available(config) == tiers.split()


def test_what_cannot_act_says_why() -> None:
    reasons = {ability.name: ability.reason for ability in tier_abilities(TierConfig(mode="observe"))}
    assert reasons["tier Yield"] == "mode observe decides and counts, but does not act"
    reasons = {each.name: each.reason for each in tier_abilities(TierConfig(max_tier=InterventionAction.WARN))}
    assert reasons["tier Yield"].startswith("max_tier is warn; ")


def test_the_configuration_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert values(None) == {
        "profile": "balanced",
        "what differs": "nothing",
        "mode": "act (default)",
        "max_tier": "yield (default)",
        "rollout_ratio": "1 (default)",
    }
    path = tmp_path / "pulse.toml"
    path.write_text('profile = "Permissive"\nrollout_ratio = 0.25\n')
    found = values(path)
    assert (found["profile"], found["rollout_ratio"]) == ("permissive", f"0.25 (file {path})")
    assert found["what differs"] == f"from file {path}, profile Permissive"
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    monkeypatch.setenv(PROFILE_VARIABLE, "AGGRESSIVE")
    monkeypatch.setenv("ASYNCIO_PULSE_CHAOS", "7")
    found = values(None)
    assert (found["profile"], found["mode"]) == ("aggressive", f"observe (environment {MODE_VARIABLE})")
    assert found["chaos"] == "'7' (environment ASYNCIO_PULSE_CHAOS)"
    assert values(TierConfig(poll_budget_us=300))["profile"] == "custom"


def test_a_configuration_at_fault_is_a_finding_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pulse.toml"
    path.write_text("poll_budget_us = 0\nmax_groups = 1\n")
    facts = collect_facts(path)
    [ability] = [ability for ability in facts.abilities if not ability.available and "configuration" in ability.name]
    assert "poll_budget_us" in ability.reason
    assert "max_groups" in ability.reason
    assert "\n" not in ability.reason
    assert not [ability for ability in facts.abilities if ability.name.startswith("tier ")]
    assert [fact for fact in facts.facts if fact.topic == "core"]


def test_what_keeps_tasks_from_being_suspended_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for reasons in ((), ("the JIT compiler is enabled", "eventlet has patched the standard library")):
        monkeypatch.setattr(doctor, "refusals", lambda reasons=reasons: reasons)
        [ability] = [each for each in collect_facts(None).abilities if each.name.startswith("suspend ")]
        assert (ability.available, ability.reason) == (not reasons, "; ".join(reasons))
