"""Values that are made when they are first read.

A report of a thousand groups is made in the loop's own thread, and most of it is never looked at: so each value keeps the
block of numbers that the core gave it until somebody reads a field.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["Lazily"]

Value = TypeVar("Value", bound="Lazily")


class Lazily:
    """Base of frozen dataclasses with slots, whose fields may be filled in later."""

    __slots__ = ("_source",)

    @classmethod
    def from_sources(cls: type[Value], sources: Sequence[Any]) -> tuple[Value, ...]:
        """Make values whose fields are what `_fields_from` makes of the sources, when they are first read."""
        values = tuple(map(object.__new__, repeat(cls, len(sources))))
        # At the speed of C: 60 ns each.
        deque(map(_set_source, values, sources), maxlen=0)
        return values

    @classmethod
    def _fields_from(cls, source: Any) -> Mapping[str, object]:
        raise NotImplementedError

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Fill in every field; called only while the one that is asked for is not there."""
            fields: Mapping[str, object] = {}
            # Of one that was made the ordinary way every field is there, and no source.
            if name != "_source" and hasattr(self, "_source"):
                # Two threads may do so at once, and do the same.
                fields = self._fields_from(self._source)
                for each, value in fields.items():
                    _set(self, each, value)
            if name not in fields:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return fields[name]


_set = object.__setattr__
_set_source = Lazily._source.__set__  # type: ignore[attr-defined]
