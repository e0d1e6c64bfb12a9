"""What every program below `asyncio-pulse run` waits for imports little."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import asyncio_pulse as pulse

DEAR = ("asyncio", "dataclasses", "inspect", "logging", "tomllib", "asyncio_pulse._core")


def modules_after(code: str) -> set[str]:
    # Not under coverage, which imports much itself.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_run_imports_nothing_dear() -> None:
    assert not modules_after("import asyncio_pulse.cli, asyncio_pulse.launch.command").intersection(DEAR)
    # The check can fail.
    assert modules_after("import asyncio_pulse.launch.delivery").issuperset(DEAR)


def test_the_everyday_door_is_empty_until_a_name_is_asked_for() -> None:
    assert not modules_after("import asyncio_pulse").intersection(DEAR)
    assert "asyncio_pulse.runtime.install" in modules_after("from asyncio_pulse import install")


def test_each_name_comes_from_where_type_checkers_find_it() -> None:
    tree = ast.parse(Path(pulse.__file__).read_text())
    (for_checkers,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.name: node.module
        for node in for_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == pulse._HOME_OF
    assert sorted(homes) == sorted([*pulse.__all__, "TaskView", "TierManager"])
    for name, module in homes.items():
        assert getattr(pulse, name) is getattr(sys.modules[str(module)], name)
        assert name in dir(pulse)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(pulse, "isolate_everything")
