"""docs/settings-reference.md has every setting, with the default and the range that the code has."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from asyncio_pulse import TierConfig
from asyncio_pulse.policy.group_policy import GROUP_SETTINGS
from asyncio_pulse.policy.ranges import Setting
from asyncio_pulse.policy.slow_queue import SETTINGS as SLOW_QUEUE_SETTINGS
from asyncio_pulse.policy.tables import config_from_table, config_to_table
from asyncio_pulse.policy.tier_config import SETTINGS
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS, TIER_SETTINGS, InterventionAction

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "configuration.md").read_text()
TEXT = (DOCS / "settings-reference.md").read_text()
TIERS = TIER_SETTINGS[InterventionAction.MONITOR]
UNITS = {"us", "ms", "ns"}
DEFAULTS = config_to_table(TierConfig())


def table_of(section: str) -> Mapping[str, list[str]]:
    """Return the rows of a section's table, by their first column."""
    body = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", body, re.MULTILINE)
    assert len({name for name, _ in rows}) == len(rows)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in rows}


def plain(cell: str) -> str:
    """A cell without marks of code and without commas, which separate thousands on the page."""
    return cell.replace("`", "").replace(",", "")


def range_of(setting: Setting) -> str:
    """What is allowed, as a cell says it."""
    return plain(re.sub(r"^(a (whole )?number from|one of) ", "", setting.allowed))


def has_its_unit(name: str, unit: str) -> bool:
    """Whether a unit is the one that the name of its setting ends with, if it ends with one."""
    suffix = name.rpartition("_")[2]
    return suffix not in UNITS or unit == suffix


def code_block(language: str) -> str:
    return GUIDE.partition(f"```{language}\n")[2].partition("```")[0]


def test_every_setting_is_there_and_no_other() -> None:
    assert list(table_of("Settings")) == list(SETTINGS)
    assert list(table_of("Tiers")) == list(TIERS)
    assert list(table_of("Groups")) == list(GROUP_SETTINGS)
    assert list(table_of("Slow queue")) == list(SLOW_QUEUE_SETTINGS)


def test_the_reference_says_how_to_choose_each_and_no_other() -> None:
    choosing = table_of("Choosing a value")
    assert list(choosing) == [*SETTINGS, *TIERS, *SLOW_QUEUE_SETTINGS]
    assert not [name for name, [text] in choosing.items() if len(text) < 20]


@pytest.mark.parametrize("name", SLOW_QUEUE_SETTINGS)
def test_a_setting_of_the_slow_queue_has_its_default_and_its_range(name: str) -> None:
    default, allowed, unit, meaning = table_of("Slow queue")[name]
    assert plain(default) == plain(str(DEFAULTS["slow_queue"].get(name, "none")))
    assert plain(allowed) == range_of(SLOW_QUEUE_SETTINGS[name])
    assert meaning
    assert has_its_unit(name, unit)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_its_default_and_its_range(name: str) -> None:
    default, allowed, unit, meaning = table_of("Settings")[name]
    assert (plain(default), plain(allowed)) == (plain(str(DEFAULTS[name])), range_of(SETTINGS[name]))
    assert meaning
    assert has_its_unit(name, unit)


@pytest.mark.parametrize("name", TIERS)
def test_a_number_of_a_tier_has_its_defaults_and_its_range(name: str) -> None:
    *defaults, allowed, unit, meaning = table_of("Tiers")[name]
    assert list(map(plain, defaults)) == [str(getattr(tier, name)) for tier in BALANCED_TIERS]
    assert plain(allowed) == range_of(TIERS[name])
    assert meaning
    assert has_its_unit(name, unit)


@pytest.mark.parametrize("name", GROUP_SETTINGS)
def test_a_setting_of_a_group_has_its_range(name: str) -> None:
    allowed, meaning = table_of("Groups")[name]
    assert plain(allowed) == range_of(GROUP_SETTINGS[name])
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
