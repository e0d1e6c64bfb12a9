"""Names of groups, and the coroutines that only wrap another coroutine."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from asyncio_pulse.errors import ConfigError

__all__ = ["KNOWN_TASKS", "KNOWN_WRAPPERS", "MAX_GROUP_NAME_LENGTH", "bounded_name", "check_group_name"]

MAX_GROUP_NAME_LENGTH = 200
"""Long enough for a method and a route template, short enough that a report stays readable."""

KNOWN_WRAPPERS: Mapping[str, str] = {
    # anyio, every task of a task group: before 4.14, and from 4.14 on.
    "TaskGroup._run_wrapped_task": "coro",
    "TaskHandle._run_coro": "self._coro",
    # Sentry SDK before 2.20, every task. Later versions give the wrapper the name of the wrapped coroutine.
    "patch_asyncio.<locals>._sentry_task_factory.<locals>._coro_creating_hub_and_span": "coro",
    "patch_asyncio.<locals>._sentry_task_factory.<locals>._task_with_sentry_span_creation": "coro",
    # APScheduler 3: every job that is a coroutine function.
    "run_coroutine_job": "job.func",
    # discord.py: the handlers of events, and functions that run at intervals.
    "Client._run_event": "coro",
    "Loop._loop": "self.coro",
}
"""Wrapping coroutines, and where each keeps what it runs: in a variable, or in an attribute of one.

Without this table all tasks of such a library would count as one group.
"""

KNOWN_TASKS: Mapping[str, tuple[str, str]] = {
    "AIOKafkaClient._md_synchronizer": ("aiokafka.client", "aiokafka metadata"),
    "AIOKafkaConnection._read": ("aiokafka.conn", "aiokafka connection"),
    "Fetcher._fetch_requests_routine": ("aiokafka.consumer.fetcher", "aiokafka consumer fetcher"),
    "Fetcher._proc_fetch_request": ("aiokafka.consumer.fetcher", "aiokafka consumer fetcher"),
    "Fetcher._update_fetch_positions": ("aiokafka.consumer.fetcher", "aiokafka consumer positions"),
    "GroupCoordinator._commit_refresh_routine": ("aiokafka.consumer.group_coordinator", "aiokafka consumer commits"),
    "GroupCoordinator._coordination_routine": ("aiokafka.consumer.group_coordinator", "aiokafka consumer coordinator"),
    "GroupCoordinator._heartbeat_routine": ("aiokafka.consumer.group_coordinator", "aiokafka consumer heartbeat"),
    "NoGroupCoordinator._reset_committed_routine": ("aiokafka.consumer.group_coordinator", "aiokafka consumer commits"),
    "Sender._sender_routine": ("aiokafka.producer.sender", "aiokafka producer sender"),
    "Sender._send_produce_req": ("aiokafka.producer.sender", "aiokafka producer sender"),
    "consumer": ("aio_pika.queue", "aio-pika consumer"),
    "RobustConnection.__connection_factory": ("aio_pika.robust_connection", "aio-pika reconnection"),
    # aiormq is the protocol below aio-pika.
    "Connection.__heartbeat": ("aiormq.connection", "aio-pika heartbeat"),
    "Connection.__reader": ("aiormq.connection", "aio-pika reader"),
    "Connection.__writer": ("aiormq.connection", "aio-pika writer"),
    "Channel._reader": ("aiormq.channel", "aio-pika channel"),
    "Worker.async_run": ("arq.worker", "arq worker"),
    "Worker.main": ("arq.worker", "arq worker"),
    "Worker.run_job": ("arq.worker", "arq jobs"),
}
"""Coroutines of consumers whose own names do not say what they belong to: their modules, and the names of their groups."""


def bounded_name(name: str) -> str:
    """Limit a name to 200 characters. A longer name keeps its beginning and ends with a checksum of the whole."""
    if len(name) <= MAX_GROUP_NAME_LENGTH:
        return name
    ending = f"~{zlib.crc32(name.encode(errors='surrogatepass')):08x}"
    return name[: MAX_GROUP_NAME_LENGTH - len(ending)] + ending


def check_group_name(group: str | None) -> str | None:
    """Return a usable name of an explicit group, or None if there is none.

    Raises:
        ConfigError: The name is not a string of 1 to 200 characters.
    """
    if group is None:
        return None
    # Callers that are not type-checked may pass anything.
    if not isinstance(group, str) or not 0 < len(group) <= MAX_GROUP_NAME_LENGTH:  # type: ignore[redundant-expr]
        raise ConfigError(f"group must be a str of 1 to {MAX_GROUP_NAME_LENGTH} characters, got {group!r:.60}")
    # The core compares names as plain strings, and a subclass may override methods.
    return str(group)
