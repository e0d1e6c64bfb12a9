"""Finds the configuration, in this order: code, the operator's file, the environment's profile, the defaults.

A configuration set in code holds. Code that sets none gets the operator's: the file of `asyncio-pulse run`, or else the
profile named by `ASYNCIO_PULSE_PROFILE`, in both cases with the latency target of `ASYNCIO_PULSE_TARGET`.
`ASYNCIO_PULSE_MODE` overrides the mode of all of these, so that an operator can stop interventions without a new release.
A library call never searches for a file, because a program must not behave differently in another working directory.

A mistake in code raises an error. A mistake of the operator never prevents a program from starting. It is logged once, and
the program runs with less intervention, never with more.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tomllib
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.profiles import ConfigProfile
from asyncio_pulse.policy.tables import PROFILES, config_from_table, config_to_table, flatten, profile_named
from asyncio_pulse.policy.target import Derived, parse_target
from asyncio_pulse.policy.tier_config import SETTINGS, Mode, TierConfig
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.config_sources import (
    MODE_VARIABLE,
    PROFILE_VARIABLE,
    RUN_VARIABLE,
    TABLE_NAMES,
    TARGET_VARIABLE,
)
from asyncio_pulse.runtime.origin import origin_of

__all__ = [
    "DERIVED_ORIGIN",
    "ConfigSource",
    "TracedConfig",
    "follow_file",
    "forced_mode",
    "is_switched_off",
    "lacks_table",
    "read_config_file",
    "reread_file",
    "resolve_config",
    "trace_config",
]

logger = logging.getLogger("asyncio_pulse.settings")

DERIVED_ORIGIN = "latency_target_ms"
"""The origin of a value that follows from the latency target."""

ConfigSource: TypeAlias = "TierConfig | ConfigProfile | str | os.PathLike[str] | None"


@dataclasses.dataclass(frozen=True, slots=True)
class TracedConfig:
    """A configuration, and the origin of each of its values."""

    config: TierConfig
    profile: str
    """The profile that fills values not given elsewhere; `custom` for a TierConfig."""
    origins: Mapping[str, str]
    """Origins by path of the setting: "default", "code", "latency_target_ms" for a value that follows from it, or a kind
    and the name of a profile, file or variable."""


def resolve_config(source: ConfigSource) -> TierConfig:
    """Return the configuration that a source stands for.

    Args:
        source: A TierConfig; a ConfigProfile or its name; the path of a TOML file (its table `[tool.asyncio-pulse]` if it
            has a table `[tool]`, else its top level); or None for the operator's configuration.

    Returns:
        The configuration, with the mode of `ASYNCIO_PULSE_MODE` if that is set.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or settings are at fault; the error lists them all. Never
            raised while `ASYNCIO_PULSE_MODE` is "off", and never for None.
    """
    return _resolve_with_mode(source)[1]


def trace_config(source: ConfigSource) -> TracedConfig:
    """Return the configuration that `resolve_config` returns, with the origin of each value.

    Raises:
        ConfigError: As `resolve_config`.
    """
    found, config = _resolve_with_mode(source)
    defaults = dict(flatten(config_to_table(TierConfig())))
    origins = {}
    for path, value in flatten(config_to_table(config)):
        # The table of a group has only the given values, and `exempt`, which is false by default.
        default = "default" if defaults.get(path, False) == value else found.origin
        origins[path] = found.named.get(path) or (DERIVED_ORIGIN if isinstance(value, Derived) else default)
    if forced_mode() is not None:
        origins["mode"] = f"environment {MODE_VARIABLE}"
    return TracedConfig(config, found.profile, origins)


def read_config_file(path: str | os.PathLike[str]) -> TierConfig:
    """Return the configuration in a TOML file, whatever the environment says.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or settings are at fault; the error lists them all.
    """
    return _from_table(path, _read_table(path))


def lacks_table(path: str | os.PathLike[str]) -> bool:
    """Whether a TOML file has tables below `[tool]` but none of ours, and therefore sets nothing.

    Raises:
        ConfigError: The file cannot be read or is not TOML.
    """
    tool = _read_document(path).get("tool")
    return isinstance(tool, dict) and not any(name in tool for name in TABLE_NAMES)


def forced_mode() -> Mode | None:
    """Return the mode of `ASYNCIO_PULSE_MODE`, which overrides all configurations; None if it is not set.

    Case does not matter. An invalid value means "off" and is logged once: an operator who sets this variable wants less
    intervention.
    """
    text = os.environ.get(MODE_VARIABLE, "")
    word: Any = text.strip().lower()
    if not word:
        return None
    if SETTINGS["mode"].accepts(word):
        return word  # type: ignore[no-any-return]
    _warn_once(f"{MODE_VARIABLE} must be {SETTINGS['mode'].allowed}, got {text!r:.60}; the mode is off")
    return "off"


def is_switched_off() -> bool:
    """Whether `ASYNCIO_PULSE_MODE` turns everything off."""
    return forced_mode() == "off"


def follow_file(path: str | None) -> None:
    """Use the configuration of a file for all code of this process that sets none; None means no file."""
    if path != _file.path:
        _file.path, _file.latest = path, None


def reread_file() -> None:
    """Read the operator's file again. Loops that are governed already do not change.

    Raises:
        ConfigError: The file is at fault; its earlier content stays in force.
    """
    if _file.path is not None:
        _file.latest = _resolve_file(_file.path)


class _Resolved(NamedTuple):
    config: TierConfig
    profile: str
    origin: str
    """Origin of the values that are not defaults."""
    named: Mapping[str, str] = MappingProxyType({})
    """Exceptions, by path of the setting."""


@dataclasses.dataclass(slots=True)
class _OperatorsFile:
    """The file of `asyncio-pulse run`, and its content when this process read it."""

    path: str | None
    latest: _Resolved | None = None
    pid: int = 0

    def read(self, path: str) -> _Resolved:
        """Return the file's content. A forked worker reads it again, because its master may have started long ago."""
        if self.latest is None or self.pid != os.getpid():
            self.pid = os.getpid()
            try:
                self.latest = _resolve_file(path)
            except ConfigError as error:
                instead = "the mode is off" if self.latest is None else "what it said before goes on"
                _warn_once(f"{error}; {instead}")
                self.latest = self.latest or _Resolved(TierConfig(mode="off"), ConfigProfile.CUSTOM, f"file {path}")
        return self.latest


def _path_of_run() -> str | None:
    try:
        path = json.loads(os.environ.get(RUN_VARIABLE, "{}")).get("config_path")
    except (ValueError, AttributeError):
        return None  # the program changed the variable
    return path if isinstance(path, str) else None


_file = _OperatorsFile(_path_of_run())
_DEFAULTS = _Resolved(TierConfig(), ConfigProfile.BALANCED, "default")
_said: set[str] = set()


def _warn_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        AFTERWARDS.call(partial(logger.warning, "%s: %s", origin_of(), text))


def _resolve_with_mode(source: ConfigSource) -> tuple[_Resolved, TierConfig]:
    mode = forced_mode()
    try:
        found = _resolve(source)
    except ConfigError as error:
        if mode != "off":
            raise
        # The kill switch works whatever else is wrong.
        _warn_once(str(error))
        found = _DEFAULTS
    if mode is None or mode == found.config.mode:
        return found, found.config
    return found, dataclasses.replace(found.config, mode=mode)


def _target() -> int | None:
    """Return the latency target of the environment, milliseconds; None if there is none. A wrong one is logged once."""
    text = os.environ.get(TARGET_VARIABLE)
    if not text:
        return None
    try:
        return parse_target(TARGET_VARIABLE, text)
    except ConfigError as error:
        _warn_once(f"{error}; the target of the configuration holds")
        return None


def _resolve_operators() -> _Resolved:
    found = _resolve_source()
    target_ms = _target()
    if target_ms is None:
        return found
    named = {**found.named, "latency_target_ms": f"environment {TARGET_VARIABLE}"}
    return found._replace(config=dataclasses.replace(found.config, latency_target_ms=target_ms), named=named)


def _resolve_source() -> _Resolved:
    if _file.path is not None:
        return _file.read(_file.path)
    name = os.environ.get(PROFILE_VARIABLE)
    if not name:
        return _DEFAULTS
    try:
        profile = profile_named(PROFILE_VARIABLE, name)
    except ConfigError as error:
        _warn_once(f"{error}; the defaults hold")
        return _DEFAULTS
    return _Resolved(profile.config(), profile, f"environment {PROFILE_VARIABLE}")


def _resolve(source: ConfigSource) -> _Resolved:
    if source is None:
        return _resolve_operators()
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


def _read_document(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use the configuration {os.fspath(path)!r}: {error}") from error


def _read_table(path: str | os.PathLike[str]) -> dict[str, Any]:
    name = os.fspath(path)
    document = _read_document(path)
    tool = document.get("tool")
    if not isinstance(tool, dict):
        return document
    given = [each for each in TABLE_NAMES if each in tool]
    if len(given) > 1:
        raise ConfigError(f"{name!r} has both {' and '.join(f'[tool.{each}]' for each in given)}; keep one of them")
    table: Any = tool[given[0]] if given else {}
    if not isinstance(table, dict):
        raise ConfigError(f"[tool.{given[0]}] in {name!r} must be a table, got {table!r}")
    return table


def _from_table(path: str | os.PathLike[str], table: Mapping[str, Any]) -> TierConfig:
    try:
        return config_from_table(table)
    except ConfigError as error:
        raise ConfigError(f"{os.fspath(path)}: {error}", error.faults) from error
