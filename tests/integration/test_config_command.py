"""`asyncio-pulse config`, and which file `asyncio-pulse run` takes when it is not told one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from asyncio_pulse import ConfigProfile
from asyncio_pulse.runtime.settings import resolve_config
from tests.support.running import PULSE, environment, run

PLAIN = environment(ASYNCIO_PULSE_MODE="", ASYNCIO_PULSE_PROFILE="")
SHOW = [*PULSE, "config", "show"]
CHECK = [*PULSE, "config", "check"]
PROGRAM = """\
import asyncio, asyncio_pulse
async def main(): print(asyncio_pulse.get_manager().config.max_groups)
asyncio.run(main())
"""


def test_the_text_has_each_value_and_its_source_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("profile = 'aggressive'\nmax_groups = 9\n")
    variables = {**PLAIN, "ASYNCIO_PULSE_MODE": "observe"}
    ending = run([*SHOW, "--config", "x.toml"], cwd=tmp_path, env=variables)
    assert (ending.code, ending.stderr) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in ending.stdout.splitlines()}
    assert rows["max_groups"] == ["9", "file x.toml"]
    assert rows["mode"] == ['"observe"', "environment ASYNCIO_PULSE_MODE"]
    assert rows["tiers.warn.promotion_threshold"] == ["2", "profile aggressive"]
    assert rows["audit_size"] == ["1024", "default"]


def test_a_profile_as_toml_is_that_profile(tmp_path: Path) -> None:
    ending = run([*SHOW, "--profile", "permissive", "--format", "toml"], env=PLAIN)
    path = tmp_path / "x.toml"
    path.write_text(ending.stdout)
    assert resolve_config(path) == ConfigProfile.PERMISSIVE.config()
    assert run([*CHECK, path]).own == (0, f"{path}: valid\n", "")


@pytest.mark.parametrize("table", ["tool.asyncio-puls", "tool.black", "tool"])
def test_a_file_without_our_table_is_said_to_set_nothing(table: str, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[{table}]\nmax_groups = 9\n")
    ending = run([*CHECK, path], env=PLAIN)
    assert ending.own == (0, f"{path}: valid, but it sets nothing: no [tool.asyncio-pulse]\n", "")
    path.write_text(f"[{table}]\nmax_groups = 9\n[tool.asyncio-pulse]\n")
    assert run([*CHECK, path], env=PLAIN).own == (0, f"{path}: valid\n", "")


def test_settings_without_effect_are_named_in_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('preemptible_modules = ["asyncio"]\n[groups."GET *"]\n[groups."GET /x"]\npreempt = "anywhere"\n')
    code, output, errors = run([*CHECK, path], env=PLAIN).own
    assert (code, output) == (0, f"{path}: valid\n")
    assert errors.splitlines() == [
        f'{path}: warning: groups."GET /x" is never used: the first pattern that matches applies, and "GET *" comes first',
        f'{path}: warning: preemptible_modules: "asyncio" is never preempted',
    ]


@pytest.mark.parametrize("command", [("config", "show"), ("doctor",)], ids=" ".join)
def test_a_reader_that_has_seen_enough_ends_it_silently(command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PULSE, *command], stdout=writing, stderr=subprocess.PIPE, env=PLAIN, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_json_has_the_tables_and_the_sources() -> None:
    ending = run([*SHOW, "--profile", "permissive", "--format", "json"], env=PLAIN)
    document = json.loads(ending.stdout)
    assert document["config"]["tiers"]["warn"]["promotion_threshold"] == 6
    assert document["origins"]["tiers.warn.promotion_threshold"] == "profile permissive"


def test_a_file_at_fault_is_refused_with_a_line_for_each_fault(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("max_grups = 9\nmode = 'on'\n[tiers.warn]\npromotion_threshold = 0\n")
    ending = run([*CHECK, path], env={**PLAIN, "ASYNCIO_PULSE_MODE": "nonsense"})
    assert (ending.code, ending.stdout) == (1, "")
    assert sorted(ending.stderr.splitlines()) == [
        f"{path}: max_grups is not a setting (did you mean max_groups?)",
        f"{path}: mode must be one of off, observe, act, got 'on'",
        f"{path}: tiers.warn.promotion_threshold must be a whole number from 1 to 1000000, got 0",
    ]


@pytest.mark.parametrize("content", [None, "max_groups = "])
def test_a_file_that_cannot_be_read_is_at_fault(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_text(content)
    ending = run([*CHECK, path])
    assert (ending.code, ending.stdout) == (1, "")
    assert ending.stderr.startswith(f"{path}: cannot use the configuration")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required"),
        (["show", "--config", "missing.toml"], "missing.toml"),
        (["show", "--profile", "gentle"], "gentle"),
        (["show", "--profile", "balanced", "--config", "x.toml"], "not allowed with"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], words: str) -> None:
    ending = run([*PULSE, "config", *arguments], env=PLAIN)
    assert (ending.code, ending.stdout, ending.stderr) == (2, "", "")
    assert ending.report.count("\n") == 1
    assert words in ending.report


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MODE", "on", "ASYNCIO_PULSE_MODE must be one of off, observe, act, got 'on'; the mode is off"),
        ("PROFILE", "custom", "ASYNCIO_PULSE_PROFILE must be one of aggressive, balanced, permissive, got 'custom'"),
    ],
)
def test_a_wrong_variable_is_told_of_and_what_holds_is_shown(variable: str, value: str, said: str) -> None:
    ending = run(SHOW, env={**PLAIN, f"ASYNCIO_PULSE_{variable}": value})
    assert (ending.code, ending.report.count("\n")) == (0, 1)
    assert said in ending.report
    shown = {line.split()[0]: line.split()[1] for line in ending.stdout.splitlines()}
    assert shown["mode"] == ('"off"' if variable == "MODE" else '"act"')


def test_run_takes_the_file_of_its_directory_before_a_profile_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyproject.toml").write_text("[tool.asyncio-pulse]\nmax_groups = 9\n")
    command = [*PULSE, "run", "--quiet", "program.py"]
    assert run(command, cwd=tmp_path, env=PLAIN).own == (0, "9\n", "")
    (tmp_path / "pulse.toml").write_text("max_groups = 10\n")
    assert run(command, cwd=tmp_path, env=PLAIN).own == (0, "10\n", "")
    assert "max_groups                                   10 " in run(SHOW, cwd=tmp_path, env=PLAIN).stdout
    (tmp_path / "own.toml").write_text("max_groups = 11\n")
    with_file = [*PULSE, "run", "--quiet", "--config", "own.toml", "program.py"]
    variables = {**PLAIN, "ASYNCIO_PULSE_PROFILE": "aggressive"}
    assert run(with_file, cwd=tmp_path, env=variables).own == (0, "11\n", "")
    assert run(command, cwd=tmp_path, env=variables).own == (0, "10\n", "")
