"""Where a configuration comes from: an object, or a TOML file."""

from __future__ import annotations

import os
import tomllib
from typing import Any, TypeAlias

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.policies import TierConfig

__all__ = ["ConfigSource", "resolve_config"]

ConfigSource: TypeAlias = "TierConfig | str | os.PathLike[str] | None"


def resolve_config(source: ConfigSource) -> TierConfig:
    """Return the configuration that a caller meant.

    Args:
        source: A TierConfig, the path of a TOML file (its table `[tool.asyncio_pulse]` if it has one, else its top
            level), or None for the defaults.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or lists every setting at fault.
    """
    if source is None:
        return TierConfig()
    if isinstance(source, TierConfig):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _from_file(os.fspath(source))
    raise ConfigError(f"config must be a TierConfig or the path of a TOML file, got {source!r}")


def _from_file(path: str) -> TierConfig:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use the configuration {path!r}: {error}") from error
    tool = document.get("tool")
    table: Any = tool.get("asyncio_pulse", {}) if isinstance(tool, dict) else document
    if not isinstance(table, dict):
        raise ConfigError(f"[tool.asyncio_pulse] in {path!r} must be a table, got {table!r}")
    try:
        return TierConfig.from_mapping(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
