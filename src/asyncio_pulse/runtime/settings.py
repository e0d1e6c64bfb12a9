"""Where a configuration comes from: an object, a profile, a TOML file, the environment.

What code says holds, with one exception: `ASYNCIO_PULSE_MODE` overrides it, so that an operator can stop interventions
without a new release. `ASYNCIO_PULSE_PROFILE` is for programs whose code says nothing. A file is never looked for on
behalf of a library call: a program must not behave differently because of the directory that it was started in.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.policies import SETTINGS, TierConfig
from asyncio_pulse.policy.profiles import ConfigProfile
from asyncio_pulse.policy.ranges import must_be, refuse
from asyncio_pulse.policy.tables import PROFILES, config_from_table, config_to_table, flatten, profile_named

__all__ = [
    "MODE_VARIABLE",
    "PROFILE_VARIABLE",
    "ConfigSource",
    "TracedConfig",
    "find_config_file",
    "read_config_file",
    "resolve_config",
    "trace_config",
]

MODE_VARIABLE = "ASYNCIO_PULSE_MODE"
PROFILE_VARIABLE = "ASYNCIO_PULSE_PROFILE"
FILE_NAME = "pulse.toml"
PROJECT_FILE_NAME = "pyproject.toml"

ConfigSource: TypeAlias = "TierConfig | ConfigProfile | str | os.PathLike[str] | None"


@dataclasses.dataclass(frozen=True, slots=True)
class TracedConfig:
    """A configuration, and where each of its values comes from."""

    config: TierConfig
    profile: str
    """The one that values not given otherwise are taken from; `custom` for those of a TierConfig."""
    origins: Mapping[str, str]
    """By the path of the setting: "default", "code", or a word and the name of the profile, file or variable."""


def resolve_config(source: ConfigSource) -> TierConfig:
    """Return the configuration that a caller meant.

    Args:
        source: A TierConfig; a ConfigProfile or its name; the path of a TOML file (its table `[tool.asyncio_pulse]` if it
            has a table `[tool]`, else its top level); or None for the profile that `ASYNCIO_PULSE_PROFILE` names, the
            defaults if none.

    Returns:
        The configuration, with the mode that `ASYNCIO_PULSE_MODE` names if it does.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or lists every setting at fault.
    """
    return _with_mode(_resolve(source).config)


def trace_config(source: ConfigSource) -> TracedConfig:
    """Return what `resolve_config` does, and where each value comes from.

    Raises:
        ConfigError: As `resolve_config`.
    """
    found = _resolve(source)
    config = _with_mode(found.config)
    defaults = dict(flatten(config_to_table(TierConfig())))
    origins = {}
    for path, value in flatten(config_to_table(config)):
        # Of a group only what was given is there, and `exempt`, which is false by default.
        origins[path] = found.named.get(path) or ("default" if defaults.get(path, False) == value else found.origin)
    if os.environ.get(MODE_VARIABLE):
        origins["mode"] = f"environment {MODE_VARIABLE}"
    return TracedConfig(config, found.profile, origins)


def find_config_file(directory: Path) -> Path | None:
    """Return the file of a directory that the command line uses when it is not told one, or None.

    That is `pulse.toml`, or `pyproject.toml` if it has a table `[tool.asyncio_pulse]`; one that is not TOML has none.
    """
    if (directory / FILE_NAME).is_file():
        return directory / FILE_NAME
    project = directory / PROJECT_FILE_NAME
    try:
        tool = tomllib.loads(project.read_text("utf-8")).get("tool")
    except (OSError, ValueError):
        return None
    return project if isinstance(tool, dict) and "asyncio_pulse" in tool else None


def read_config_file(path: str | os.PathLike[str]) -> TierConfig:
    """Return the configuration that a TOML file holds, whatever the environment says.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or lists every setting at fault.
    """
    return _from_table(path, _read_table(path))


class _Resolved(NamedTuple):
    config: TierConfig
    profile: str
    origin: str
    """Where the values come from that are not defaults."""
    named: Mapping[str, str] = MappingProxyType({})
    """Exceptions from that, by path."""


def _resolve(source: ConfigSource) -> _Resolved:
    if source is None:
        name = os.environ.get(PROFILE_VARIABLE)
        if not name:
            return _Resolved(TierConfig(), ConfigProfile.BALANCED, "default")
        profile = profile_named(PROFILE_VARIABLE, name)
        return _Resolved(profile.config(), profile, f"environment {PROFILE_VARIABLE}")
    if isinstance(source, TierConfig):
        return _Resolved(source, ConfigProfile.CUSTOM, "code")
    if isinstance(source, ConfigProfile):
        return _Resolved(source.config(), source, f"profile {source.value}")
    if isinstance(source, str) and source.lower() in {profile.value for profile in ConfigProfile}:
        return _resolve(ConfigProfile(source.lower()))
    if isinstance(source, str) and not os.path.exists(source):
        raise ConfigError(f"config {source!r} is neither a profile ({', '.join(PROFILES)}) nor an existing file")
    if isinstance(source, (str, os.PathLike)):
        return _resolve_file(os.fspath(source))
    raise ConfigError(f"config must be a TierConfig, a profile or the path of a TOML file, got {source!r}")


def _resolve_file(path: str) -> _Resolved:
    table = _read_table(path)
    config = _from_table(path, table)
    named = {name: f"file {path}" for name, _ in flatten(table)}
    profile = str(table.get("profile", ConfigProfile.BALANCED)).lower()
    return _Resolved(config, profile, f"profile {table.get('profile')}", named)


def _read_table(path: str | os.PathLike[str]) -> dict[str, Any]:
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use the configuration {name!r}: {error}") from error
    tool = document.get("tool")
    table: Any = tool.get("asyncio_pulse", {}) if isinstance(tool, dict) else document
    if not isinstance(table, dict):
        raise ConfigError(f"[tool.asyncio_pulse] in {name!r} must be a table, got {table!r}")
    return table


def _from_table(path: str | os.PathLike[str], table: Mapping[str, Any]) -> TierConfig:
    try:
        return config_from_table(table)
    except ConfigError as error:
        raise ConfigError(f"{os.fspath(path)}: {error}", error.faults) from error


def _with_mode(config: TierConfig) -> TierConfig:
    mode: Any = os.environ.get(MODE_VARIABLE)
    if not mode or mode == config.mode:
        return config
    if not SETTINGS["mode"].accepts(mode):
        refuse("configuration", [must_be(MODE_VARIABLE, SETTINGS["mode"].allowed, mode)])
    return dataclasses.replace(config, mode=mode)
