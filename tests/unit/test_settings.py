"""Where a configuration comes from: an object, a TOML file, or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from asyncio_pulse import ConfigError, TierConfig
from asyncio_pulse.runtime.settings import resolve_config


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "pulse.toml"


def test_nothing_is_the_defaults() -> None:
    assert resolve_config(None) == TierConfig()


def test_a_configuration_is_itself() -> None:
    config = TierConfig(max_groups=9)
    assert resolve_config(config) is config


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_a_file_has_its_settings_at_the_top(toml: Path, kind: Any) -> None:
    toml.write_text("max_groups = 9\n")
    assert resolve_config(kind(toml)) == TierConfig(max_groups=9)


def test_a_project_file_has_them_in_a_table(toml: Path) -> None:
    toml.write_text("[project]\nname = 'x'\n[tool.asyncio_pulse]\nslow_poll_threshold_ms = 50\n")
    assert resolve_config(toml) == TierConfig(slow_poll_threshold_ms=50)


def test_a_project_file_without_the_table_is_the_defaults(toml: Path) -> None:
    toml.write_text("[tool.other]\nmax_groups = 9\n")
    assert resolve_config(toml) == TierConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"max_groups = ", "cannot use the configuration '.*': "),
        (b"\xff\xfe", "cannot use the configuration '.*': "),
        (
            b"max_groups = 1",
            "pulse.toml: invalid configuration: max_groups must be a whole number from 8 to 65536, got 1",
        ),
        (b"colour = 'red'", "pulse.toml: invalid configuration: colour is not a setting"),
        (b"[tool]\nasyncio_pulse = 5", r"\[tool.asyncio_pulse\] in '.*' must be a table, got 5"),
        (b"tool = 5", "pulse.toml: invalid configuration: tool is not a setting"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_file_is_named(toml: Path, content: bytes, message: str) -> None:
    toml.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        resolve_config(toml)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot use the configuration '.*absent\.toml': .*No such file"):
        resolve_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"cannot use the configuration '.*': .*Is a directory"):
        resolve_config(tmp_path)


def test_a_path_that_no_system_takes_is_named() -> None:
    with pytest.raises(ConfigError, match="cannot use the configuration"):
        resolve_config("pulse\0.toml")


@pytest.mark.parametrize("value", [5, {"max_groups": 9}, True, object], ids=repr)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="config must be a TierConfig or the path of a TOML file, got "):
        resolve_config(value)


def test_a_path_of_bytes_is_refused() -> None:
    class Bytes(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return b"pulse.toml"

    with pytest.raises(ConfigError):
        resolve_config(Bytes())  # type: ignore[arg-type]
