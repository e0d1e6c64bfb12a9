"""docs/configuration.md has every setting, with the default and the range that the code has."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from asyncio_pulse import TierConfig
from asyncio_pulse.policy.group_policy import GROUP_SETTINGS
from asyncio_pulse.policy.slow_queue import SETTINGS as SLOW_QUEUE_SETTINGS
from asyncio_pulse.policy.tables import config_from_table, config_to_table
from asyncio_pulse.policy.tier_config import SETTINGS
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS, TIER_SETTINGS, InterventionAction

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "configuration.md").read_text()
TUNING = (DOCS / "tuning.md").read_text()
DEFAULTS = config_to_table(TierConfig())


def table_of(section: str) -> Mapping[str, list[str]]:
    """Return the rows of a section's table, by their first column."""
    body = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", body, re.MULTILINE)
    assert len({name for name, _ in rows}) == len(rows)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in rows}


def code_block(language: str) -> str:
    return TEXT.partition(f"```{language}\n")[2].partition("```")[0]


def test_every_setting_is_there_and_no_other() -> None:
    assert list(table_of("Settings")) == list(SETTINGS)
    assert list(table_of("Tiers")) == list(TIER_SETTINGS[InterventionAction.MONITOR])
    assert list(table_of("Groups")) == list(GROUP_SETTINGS)
    assert list(table_of("Slow queue")) == list(SLOW_QUEUE_SETTINGS)


@pytest.mark.parametrize("name", [*SETTINGS, *TIER_SETTINGS[InterventionAction.MONITOR], *SLOW_QUEUE_SETTINGS])
def test_tuning_says_how_to_choose_it(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \| .{{20,}} \|$", TUNING, re.MULTILINE)


@pytest.mark.parametrize("name", SLOW_QUEUE_SETTINGS)
def test_a_setting_of_the_slow_queue_has_its_default_and_its_range(name: str) -> None:
    default, allowed, meaning = table_of("Slow queue")[name]
    assert (default, allowed) == (str(DEFAULTS["slow_queue"].get(name, "none")), SLOW_QUEUE_SETTINGS[name].allowed)
    assert meaning


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_its_default_and_its_range(name: str) -> None:
    default, allowed, meaning = table_of("Settings")[name]
    assert (default, allowed) == (str(DEFAULTS[name]), SETTINGS[name].allowed)
    assert meaning


@pytest.mark.parametrize("name", TIER_SETTINGS[InterventionAction.MONITOR])
def test_a_number_of_a_tier_has_its_defaults_and_its_range(name: str) -> None:
    *defaults, allowed, meaning = table_of("Tiers")[name]
    assert defaults == [str(getattr(tier, name)) for tier in BALANCED_TIERS]
    assert allowed == TIER_SETTINGS[InterventionAction.MONITOR][name].allowed
    assert meaning


@pytest.mark.parametrize("name", GROUP_SETTINGS)
def test_a_setting_of_a_group_has_its_range(name: str) -> None:
    allowed, meaning = table_of("Groups")[name]
    assert allowed == GROUP_SETTINGS[name].allowed
    assert meaning


def test_the_example_in_code_is_the_example_in_a_file() -> None:
    names: dict[str, object] = {}
    exec(code_block("python"), names)
    assert names["config"] == config_from_table(tomllib.loads(code_block("toml")))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_docstring_has_the_range(name: str) -> None:
    meaning = re.search(rf"^ +{name}: (.*?)(?=^ {{8}}\w|\Z)", TierConfig.__doc__ or "", re.MULTILINE | re.DOTALL)
    assert meaning is not None
    numbers = re.findall(r"\d+", SETTINGS[name].allowed)
    text = " ".join(meaning[1].replace(",", "").split())
    assert not numbers or f"{numbers[0]}..{numbers[1]}" in text
