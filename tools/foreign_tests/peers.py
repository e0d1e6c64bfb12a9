"""The libraries whose own tests are compared: what they need, how they are run, and which differences are kept, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from comparing import Kept


@dataclass(frozen=True)
class Peer:
    """One library.

    Attributes:
        requirements: What its tests import, beyond the library.
        arguments: pytest's arguments.
        skipped: Modules that are not run, as shell patterns.
        without_tasks: Modules that run no task.
        kept: Differences that governing is.
        kept_under_chaos: Differences that chaos is: no wrong result, and no lost wake-up, but a test that counts turns.
    """

    requirements: list[str]
    arguments: list[str]
    skipped: list[str] = field(default_factory=list)
    without_tasks: list[str] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    kept_under_chaos: list[Kept] = field(default_factory=list)


AIOHTTP = Peer(
    requirements=["blockbuster", "freezegun", "proxy.py", "pytest-mock", "pytest-timeout", "trustme"],
    # Its own options are for several processes and for coverage.
    arguments=["-o", "addopts=", "-p", "pytest_mock", "-p", "pytest_timeout", "-m", "not dev_mode and not internal"],
    skipped=["*/test_benchmarks_*", "*/autobahn/*"],
    kept_under_chaos=[
        Kept(
            "test_concurrent_close_multiple_tasks",
            "^E +AssertionError: assert <WSMsgType.CLOSING: 256> is <WSMsgType.CLOSED: 257>$",
            "asserts that tasks just created run before the creator's next poll ends in an answer of the network",
        ),
    ],
)

STARLETTE = Peer(
    requirements=["starlette[full]", "blockbuster", "httpx2[zstd]", "opentelemetry-sdk", "trio"],
    arguments=["-p", "anyio.pytest_plugin", "-k", "not trio"],
    without_tasks=["tests/test_config.py", "tests/test_status.py"],
    kept_under_chaos=[
        Kept(
            "test_do_not_block_on_background_tasks",
            "At index [2-4] diff: 'Background task started' != {'body'",
            "asserts that two concurrent requests keep in step; chaos held one of them back",
        ),
    ],
)

PEERS = {"aiohttp": AIOHTTP, "starlette": STARLETTE}
