"""Where a configuration comes from: an object, a profile, a TOML file, the environment, or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from asyncio_pulse import ConfigError, ConfigProfile, GroupPolicy, TierConfig
from asyncio_pulse.runtime.settings import (
    MODE_VARIABLE,
    PROFILE_VARIABLE,
    find_config_file,
    read_config_file,
    resolve_config,
    trace_config,
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment of the tests may say."""
    monkeypatch.delenv(MODE_VARIABLE, raising=False)
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)


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
    with pytest.raises(ConfigError, match="is neither a profile"):
        resolve_config("pulse\0.toml")
    with pytest.raises(ConfigError, match="cannot use the configuration"):
        resolve_config(Path("pulse\0.toml"))


@pytest.mark.parametrize("value", [5, {"max_groups": 9}, True, object], ids=repr)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="config must be a TierConfig, a profile or the path of a TOML file, got "):
        resolve_config(value)


def test_a_path_of_bytes_is_refused() -> None:
    class Bytes(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return b"pulse.toml"

    with pytest.raises(ConfigError):
        resolve_config(Bytes())  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [ConfigProfile.AGGRESSIVE, "aggressive", "Aggressive"], ids=repr)
def test_a_profile_is_given_by_itself_or_its_name(source: Any) -> None:
    assert resolve_config(source) == ConfigProfile.AGGRESSIVE.config() != TierConfig()


@pytest.mark.parametrize("source", [ConfigProfile.CUSTOM, "custom"], ids=repr)
def test_the_custom_profile_needs_numbers(source: Any) -> None:
    with pytest.raises(ConfigError, match="stands for your own numbers; pass a TierConfig"):
        resolve_config(source)


def test_a_string_that_is_neither_profile_nor_file_is_told_both() -> None:
    with pytest.raises(
        ConfigError, match=r"'blanced' is neither a profile \(aggressive, balanced, permissive\) nor an existing file"
    ):
        resolve_config("blanced")


def test_a_file_may_have_the_name_of_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("aggressive").write_text("max_groups = 9\n")
    assert resolve_config("aggressive") == ConfigProfile.AGGRESSIVE.config()
    assert resolve_config("./aggressive") == resolve_config(Path("aggressive")) == TierConfig(max_groups=9)


def test_the_faults_of_a_file_are_there_one_by_one(toml: Path) -> None:
    toml.write_text("max_groups = 1\n[tiers.warn]\nname = ''\n")
    with pytest.raises(ConfigError) as caught:
        resolve_config(toml)
    assert {fault.field for fault in caught.value.faults} == {"max_groups", "tiers.warn.name"}


def test_the_profile_of_the_environment_is_for_code_that_says_nothing(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text("max_groups = 9\n")
    monkeypatch.setenv(PROFILE_VARIABLE, "permissive")
    assert resolve_config(None) == ConfigProfile.PERMISSIVE.config()
    for source, expected in [
        (TierConfig(), TierConfig()),
        ("balanced", TierConfig()),
        (toml, TierConfig(max_groups=9)),
    ]:
        assert resolve_config(source) == expected
    monkeypatch.setenv(PROFILE_VARIABLE, "")
    assert resolve_config(None) == TierConfig()


@pytest.mark.parametrize("name", ["custom", "gentle"])
def test_the_environment_names_a_ready_made_profile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, name)
    with pytest.raises(ConfigError, match=f"{PROFILE_VARIABLE} must be one of aggressive, balanced, permissive, got"):
        resolve_config(None)


def test_the_mode_of_the_environment_overrides_every_source(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text("mode = 'act'\n")
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    for source in (None, toml, "aggressive", TierConfig(mode="off")):
        assert resolve_config(source).mode == "observe"
    assert read_config_file(toml).mode == "act"
    monkeypatch.setenv(MODE_VARIABLE, "")
    assert resolve_config(TierConfig(mode="off")).mode == "off"
    monkeypatch.setenv(MODE_VARIABLE, "active")
    with pytest.raises(ConfigError, match=f"{MODE_VARIABLE} must be one of off, observe, act, got 'active'"):
        resolve_config(None)


def test_a_library_call_looks_for_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pulse.toml").write_text("max_groups = 9\n")
    monkeypatch.chdir(tmp_path)
    assert resolve_config(None) == TierConfig()


def test_the_file_of_a_directory(tmp_path: Path) -> None:
    assert find_config_file(tmp_path) is None
    project = tmp_path / "pyproject.toml"
    for content in ("not TOML", "[tool.other]\n", "tool = 5\n", "[project]\n"):
        project.write_text(content)
        assert find_config_file(tmp_path) is None
    project.write_text("[tool.asyncio_pulse]\n")
    assert find_config_file(tmp_path) == project
    own = tmp_path / "pulse.toml"
    own.mkdir()
    assert find_config_file(tmp_path) == project
    own.rmdir()
    own.write_text("not TOML")
    assert find_config_file(tmp_path) == own


def test_each_value_is_traced_to_its_source(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text("profile = 'aggressive'\nmax_groups = 9\naudit_size = 1024\n[groups.'a']\nmax_tier = 'warn'\n")
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    traced = trace_config(toml)
    assert traced.config == resolve_config(toml)
    expected = {
        "max_groups": f"file {toml}",
        "audit_size": f"file {toml}",
        "promotion_share": "profile aggressive",
        "tiers.warn.promotion_threshold": "profile aggressive",
        "tiers.warn.name": "default",
        "mode": f"environment {MODE_VARIABLE}",
        'groups."a".max_tier': f"file {toml}",
        'groups."a".exempt': "default",
        "park_breaker_ms": "default",
    }
    assert {path: traced.origins[path] for path in expected} == expected


def test_values_of_code_and_of_profiles_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = trace_config(TierConfig(max_groups=9, groups={"a": GroupPolicy(exempt=True)})).origins
    assert {path for path, origin in origins.items() if origin == "code"} == {"max_groups", 'groups."a".exempt'}
    assert trace_config("permissive").origins["idle_decay_ms"] == "profile permissive"
    monkeypatch.setenv(PROFILE_VARIABLE, "permissive")
    origins = trace_config(None).origins
    assert (origins["idle_decay_ms"], origins["audit_size"]) == (f"environment {PROFILE_VARIABLE}", "default")
