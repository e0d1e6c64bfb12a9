"""The rules of layering that import-linter cannot see: the native core, and the doors themselves.

The contracts between packages are in pyproject.toml and are run by `make check`.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "asyncio_pulse"
ROW_1_AND_2 = {"errors", "abc", "policy", "isolation"}
ROW_5 = {"__init__", "__main__", "cli", "launch", "doctor", "demo", "config", "lowlevel"}
OUTSIDE_THE_ROWS = {"__init__", "_autostart"}


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Name what a file imports, as dotted names: `from a import b` gives both `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ("asyncio_pulse", *path.relative_to(PACKAGE).parts)[: -node.level] if node.level else ()
            module = ".".join([*package, *filter(None, [node.module])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def row_member(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files(*, without: set[str] = frozenset(), only: set[str] | None = None) -> list[Path]:
    found = [path for path in sorted(PACKAGE.rglob("*.py")) if row_member(path) not in without]
    return [path for path in found if only is None or row_member(path) in only]


def identify(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_package_has_its_row() -> None:
    with (PACKAGE.parents[1] / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    rows = " ".join(contracts[0]["layers"])
    members = {row_member(path) for path in files()} - OUTSIDE_THE_ROWS
    assert members <= set(re.findall(r"asyncio_pulse\.(\w+)", rows))


@pytest.mark.parametrize("path", files(only=ROW_1_AND_2), ids=identify)
def test_decisions_do_not_know_the_core(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("asyncio_pulse._core")]


@pytest.mark.parametrize("path", files(without=ROW_5 | {"_autostart"}), ids=identify)
def test_nobody_inside_comes_in_through_a_door(path: Path) -> None:
    modules = {f"asyncio_pulse.{row_member(each)}" for each in PACKAGE.iterdir()} | {"asyncio_pulse._core"}
    through = [name for name in imported(path) if name.count(".") == 1 and name.startswith("asyncio_pulse.")]
    assert not [name for name in through if name not in modules], "import it from where it is defined"
    doors = {f"asyncio_pulse.{door}" for door in ROW_5}
    assert not doors & imported(path)


def test_an_optional_package_is_imported_in_one_file() -> None:
    for package in ("uvloop", "rich", "fastapi", "uvicorn", "psutil", "wrapt", "prometheus_client", "opentelemetry"):
        users = [identify(path) for path in files() if any(name.split(".")[0] == package for name in imported(path))]
        assert len(users) <= 1, f"{package} is imported by {users}"
