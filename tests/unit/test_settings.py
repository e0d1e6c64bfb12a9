"""Where a configuration comes from: an object, a profile, a TOML file, the environment, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncio_pulse import ConfigError, ConfigProfile, GroupPolicy, TierConfig
from asyncio_pulse.runtime import settings
from asyncio_pulse.runtime.config_sources import MODE_VARIABLE, PROFILE_VARIABLE, find_config_file
from asyncio_pulse.runtime.settings import (
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
    for name in ("asyncio-pulse", "asyncio_pulse"):
        toml.write_text(f"[project]\nname = 'x'\n[tool.{name}]\nslow_poll_threshold_ms = 50\n")
        assert resolve_config(toml) == read_config_file(toml) == TierConfig(slow_poll_threshold_ms=50)


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
        (b"[tool]\nasyncio-pulse = 5", r"\[tool.asyncio-pulse\] in '.*' must be a table, got 5"),
        (
            b"[tool]\nasyncio-pulse = {}\nasyncio_pulse = {}",
            r"has both \[tool.asyncio-pulse\] and \[tool.asyncio_pulse\]; keep one",
        ),
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


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Give what was logged so far, with nothing said before the test."""
    monkeypatch.setattr(settings, "_said", set())
    return lambda: [record.getMessage() for record in caplog.records if record.name == "asyncio_pulse.settings"]


@pytest.mark.parametrize("name", ["custom", "gentle"])
def test_a_profile_that_is_none_is_logged_and_keeps_nothing_from_starting(
    name: str, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, name)
    assert [resolve_config(None), resolve_config(None)] == [TierConfig(), TierConfig()]
    [text] = said()
    assert f"{PROFILE_VARIABLE} must be one of aggressive, balanced, permissive, got '{name}'" in text
    assert text.startswith(f"asyncio-pulse pid {os.getpid()}: ")
    assert text.endswith("the defaults hold")


def test_the_mode_of_the_environment_overrides_every_source(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text("mode = 'act'\n")
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    for source in (None, toml, "aggressive", TierConfig(mode="off")):
        assert resolve_config(source).mode == "observe"
    assert read_config_file(toml).mode == "act"
    monkeypatch.setenv(MODE_VARIABLE, "")
    assert resolve_config(TierConfig(mode="off")).mode == "off"


@pytest.mark.parametrize(
    ("text", "mode"), [("OFF", "off"), (" Observe ", "observe"), ("ACT", "act"), ("off", "off")], ids=repr
)
def test_the_mode_of_the_environment_is_read_in_any_case(
    text: str, mode: str, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv(MODE_VARIABLE, text)
    assert (resolve_config(TierConfig(mode="observe")).mode, said()) == (mode, [])
    assert trace_config(None).origins["mode"] == f"environment {MODE_VARIABLE}"


@pytest.mark.parametrize("text", ["0", "false", "no", "disabled", "active", "1"])
def test_a_mode_that_is_none_means_off_and_is_logged_once(
    text: str, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv(MODE_VARIABLE, text)
    assert [resolve_config(source).mode for source in (None, TierConfig(), "aggressive")] == ["off"] * 3
    [told] = said()
    assert told.endswith(f": {MODE_VARIABLE} must be one of off, observe, act, got '{text}'; the mode is off")


def test_the_kill_switch_works_whatever_the_configuration(
    toml: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    toml.write_text("max_groups = 1")
    monkeypatch.setenv(MODE_VARIABLE, "off")
    for source in (toml, "gentle"):
        assert resolve_config(source) == TierConfig(mode="off")
    assert len(said()) == 2
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    with pytest.raises(ConfigError):
        resolve_config(toml)


# What the operator gave.


@pytest.fixture
def followed(toml: Path) -> Iterator[Path]:
    toml.write_text("max_groups = 11\n")
    settings.follow_file(str(toml))
    yield toml
    settings.follow_file(None)


def test_code_is_before_the_file_and_the_file_before_the_environment(
    followed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, "permissive")
    assert resolve_config(TierConfig(max_groups=12)).max_groups == 12
    assert resolve_config(None) == TierConfig(max_groups=11)
    assert trace_config(None).origins["max_groups"] == f"file {followed}"
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    assert resolve_config(None) == TierConfig(max_groups=11, mode="observe")
    settings.follow_file(None)
    assert resolve_config(None).idle_decay_ms == ConfigProfile.PERMISSIVE.config().idle_decay_ms


def test_the_file_is_read_once_until_it_is_asked_for_again(followed: Path) -> None:
    assert resolve_config(None).max_groups == 11
    followed.write_text("max_groups = 12\n")
    assert resolve_config(None).max_groups == 11
    settings.reread_file()
    assert resolve_config(None).max_groups == 12
    followed.write_text("max_groups = 1\n")
    with pytest.raises(ConfigError):
        settings.reread_file()
    assert resolve_config(None).max_groups == 12


def test_a_forked_process_reads_it_anew_and_survives_a_bad_one(
    followed: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    assert resolve_config(None).max_groups == 11
    for pid, content, expected in [(1, "max_groups = 12", 12), (2, "max_groups = 1", 12), (3, "max_groups = 13", 13)]:
        followed.write_text(content)
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        assert [resolve_config(None).max_groups, resolve_config(None).max_groups] == [expected] * 2
    [text] = said()
    assert "max_groups must be a whole number from 8 to 65536, got 1; what it said before goes on" in text


def test_a_file_that_was_never_sound_means_off(followed: Path, said: Callable[[], list[str]]) -> None:
    followed.unlink()
    assert resolve_config(None) == TierConfig(mode="off")
    assert [text.rpartition("; ")[2] for text in said()] == ["the mode is off"]


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
    for name in ("asyncio-pulse", "asyncio_pulse"):
        project.write_text(f"[tool.{name}]\n")
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
