"""Scenarios with other people's libraries: every way to run them, and the services that they need."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loops import LoopFactory
from tests.thirdparty.services import postgres_server, redis_server
from tests.thirdparty.ways import ENDINGS, UNDER_CHAOS, WAYS, Scenario, Way

Run = Callable[[Scenario[Any]], Any]


def _missing() -> list[str]:
    """Name the packages of the extra `thirdparty` that are not installed."""
    requirements = importlib.metadata.requires("asyncio-pulse") or []
    names = [
        re.split(r"[^\w.-]", text)[0] for text in requirements if "extra == 'thirdparty'" in text.replace('"', "'")
    ]
    installed = {_normalised(each.name) for each in importlib.metadata.distributions()}
    return [name for name in names if _normalised(name) not in installed]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


MISSING = _missing()


class _Skipped(pytest.Module):
    """A module whose packages are not there: it cannot even be imported."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(f"needs {', '.join(MISSING)}: make test-thirdparty", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip what cannot be imported, with the reason."""
    return _Skipped.from_parent(parent, path=module_path) if MISSING else None


def _seed_of(item: pytest.Item) -> int:
    # Items of other folders come here as well, and theirs may have another kind of "way".
    way = item.callspec.params.get("way") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    seed = way.seed if isinstance(way, Way) else None
    return -1 if seed is None else seed


# After pytest itself, which sorts by the parameters of what a session shares.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Go seed by seed: who has time for thirty seeds out of a hundred tries all libraries with them."""
    items.sort(key=_seed_of)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how much danger there was."""
    if UNDER_CHAOS.runs:
        terminalreporter.write_line(f"other people's libraries under chaos: {UNDER_CHAOS}")
    if ENDINGS:
        endings = ", ".join(f"{count:,} {ending}" for ending, count in sorted(ENDINGS.items()))
        terminalreporter.write_line(f"operations over pools: {endings}")


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """Run the test in each way."""
    way: Way = request.param
    return way


@pytest.fixture
def run(way: Way, loop_factory: LoopFactory) -> Run:
    """Run a scenario in each way and on each kind of loop: what it returns must not depend on that."""
    return lambda scenario: way.run(loop_factory, scenario)[0]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Run a Redis; its URL."""
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run a PostgreSQL; user@host:port/database."""
    with postgres_server() as address:
        yield address
