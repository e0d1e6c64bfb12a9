"""Formats a configuration and the origins of its values, for `asyncio-pulse config show`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from asyncio_pulse.policy.group_policy import group_path
from asyncio_pulse.policy.tables import config_to_table, flatten
from asyncio_pulse.policy.target import Derived
from asyncio_pulse.runtime.settings import TracedConfig

__all__ = ["FORMATS"]


def format_text(traced: TracedConfig) -> str:
    """Return one line per setting: path, value and origin."""
    rows = [(path, _value(value), traced.origins[path]) for path, value in flatten(config_to_table(traced.config))]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{path:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for path, value, origin in rows)


def format_json(traced: TracedConfig) -> str:
    """Return an object with the configuration's tables, and the origin of each value by path."""
    return json.dumps({"config": config_to_table(traced.config), "origins": dict(traced.origins)}, indent=2)


def format_toml(traced: TracedConfig) -> str:
    """Return a TOML file with this configuration. Comments give the origin of each value."""
    table = config_to_table(traced.config)
    tiers, groups, slow_queue = table.pop("tiers"), table.pop("groups"), table.pop("slow_queue")
    lines = _toml_lines(table, "", traced.origins)
    lines += ["", "[slow_queue]", *_toml_lines(slow_queue, "slow_queue.", traced.origins)]
    for name, numbers in tiers.items():
        lines += ["", f"[tiers.{name}]", *_toml_lines(numbers, f"tiers.{name}.", traced.origins)]
    for pattern, policy in groups.items():
        header = f"groups.{_value(pattern)}"
        lines += ["", f"[{header}]", *_toml_lines(policy, f"{group_path(pattern)}.", traced.origins)]
    return "\n".join(lines)


FORMATS: Mapping[str, Callable[[TracedConfig], str]] = {"text": format_text, "toml": format_toml, "json": format_json}


def _toml_lines(table: Mapping[str, Any], path: str, origins: Mapping[str, str]) -> list[str]:
    # A TOML comment cannot hold control characters, but the path of a file may.
    lines = [f"{name} = {_value(value)}  # {_value(origins[path + name])[1:-1]}" for name, value in table.items()]
    # A derived value that is left out follows the target.
    return [
        f"# {line}" if isinstance(value, Derived) else line for line, value in zip(lines, table.values(), strict=True)
    ]


def _value(value: object) -> str:
    """Format a value as TOML. This is JSON except for one character and for text beyond 16 bits."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
