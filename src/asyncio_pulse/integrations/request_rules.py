"""Names, priorities and preemption of requests, by the rules that a program gives to a middleware.

Every middleware makes a governed call of each request, and asks these rules for the options of the call.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Generic, TypeVar

from asyncio_pulse import _core
from asyncio_pulse.policy.group_names import bounded_name, check_group_name
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import Range, check_ranges, must_be, refuse
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.origin import origin_of
from asyncio_pulse.runtime.task_options import make_options

__all__ = ["MAX_GROUPS", "NO_ROUTE", "RequestGroup", "RequestRules", "verb"]

logger = logging.getLogger(__name__)

R = TypeVar("R")

MAX_GROUPS = Range(512, 1, 100_000)
"""Half of a loop's default maximum, so that other groups have room beside the routes."""

NO_ROUTE = "(no route)"
OTHER_ROUTES = "(other routes)"
OTHER_METHOD = "(other)"

# A client may send any word as a method. RFC 9110 and RFC 5789 define these.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


def verb(method: str) -> str:
    """Return a method as it stands in a group's name."""
    return method if method in _METHODS else OTHER_METHOD


class RequestRules(Generic[R]):
    """The rules of one middleware, and the bounded table of its groups.

    Args:
        owner: Name of the middleware, for messages.
        describe: Names a request in messages.
        group: Names the group of a request, or returns None for the group of its route.
        priority: Patterns of group names with their priorities, or a function of the request that may return None.
        preemptible: Patterns of group names whose requests may be suspended anywhere in their Python code.
        max_groups: Maximum number of groups, 1..100,000.

    Raises:
        ConfigError: `max_groups`, `preemptible` or a priority of the mapping is of the wrong type or out of range.
    """

    def __init__(
        self,
        owner: str,
        describe: Callable[[R], str],
        *,
        group: Callable[[R], str | None] | None,
        priority: Mapping[str, TaskPriority] | Callable[[R], TaskPriority | None] | None,
        preemptible: Collection[str],
        max_groups: int,
    ) -> None:
        """Prepare without looking at any request."""
        check_ranges(owner, {"max_groups": (max_groups, MAX_GROUPS)})
        if isinstance(preemptible, str):
            # Its characters would be patterns, and "*" matches every group.
            refuse(owner, [must_be("preemptible", "a collection of patterns", preemptible)])
        self._owner = owner
        self._describe = describe
        self._group_rule = group
        self._priority_rule = priority if callable(priority) else None
        self._patterns = {} if priority is None or callable(priority) else dict(priority)
        for of_pattern in self._patterns.values():
            make_options(priority=of_pattern)
        self._has_no_rule = group is None and self._priority_rule is None
        self._preemptible = tuple(preemptible)
        self._max_groups = max_groups
        self._groups: dict[str, RequestGroup] = {}
        self._failed: set[str] = set()

    def options(self, request: R, by_route: Callable[[R], RequestGroup]) -> _core.Options:
        """Return the options of a request's call.

        Args:
            request: The request, as the framework represents it.
            by_route: Finds the group of its route.
        """
        if self._has_no_rule:
            return by_route(request).usual
        group = None if self._group_rule is None else self._group_by_rule(self._group_rule, request)
        if group is None:
            group = by_route(request)
        priority = None if self._priority_rule is None else self._priority_by_rule(self._priority_rule, request)
        return group.usual if priority is None else group.options(priority)

    def group(self, name: str) -> RequestGroup:
        """Return the group of a name, or the common one if there are too many names. A long name is cut."""
        group = self._groups.get(name)
        if group is None:
            name = bounded_name(name) if len(self._groups) < self._max_groups else OTHER_ROUTES
            group = self._groups.setdefault(name, self._make(name))
        return group

    def complain(self, what: str, request: R) -> None:
        """Log the present error of the program's own rule or route. It is no reason to refuse the request."""
        if what not in self._failed:
            self._failed.add(what)
            text = "%s: %s has no %s for %.200r; later failures are not logged"
            log = partial(logger.error, text, origin_of(), self._owner, what, self._describe(request))
            AFTERWARDS.call(partial(log, exc_info=sys.exception()))

    def _group_by_rule(self, rule: Callable[[R], str | None], request: R) -> RequestGroup | None:
        try:
            name = check_group_name(rule(request))
        except Exception:
            self.complain("group", request)
            return None
        return None if name is None else self.group(name)

    def _priority_by_rule(self, rule: Callable[[R], TaskPriority | None], request: R) -> TaskPriority | None:
        try:
            priority = rule(request)
            return None if priority is None else TaskPriority(priority)
        except Exception:
            self.complain("priority", request)
            return None

    def _make(self, name: str) -> RequestGroup:
        priority = next((each for pattern, each in self._patterns.items() if fnmatchcase(name, pattern)), None)
        preemptible = any(fnmatchcase(name, pattern) for pattern in self._preemptible)
        return RequestGroup(name, priority, preemptible=preemptible)


class RequestGroup:
    """The options of one group's requests.

    Attributes:
        usual: The options of requests without a priority from a rule.
    """

    __slots__ = ("_by_priority", "_make", "usual")

    def __init__(self, name: str, priority: TaskPriority | None, *, preemptible: bool) -> None:
        """Make the usual options; others are made when they are asked for."""
        self._make = partial(make_options, group=name, preemptible=preemptible or None)
        self._by_priority: dict[TaskPriority, _core.Options] = {}
        self.usual = self._make(priority=priority)

    def options(self, priority: TaskPriority) -> _core.Options:
        """Return the options of requests with this priority from a rule."""
        options = self._by_priority.get(priority)
        if options is None:
            options = self._by_priority[priority] = self._make(priority=priority)
        return options
