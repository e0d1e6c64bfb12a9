"""Values whose fields are computed on first use.

A report of a thousand groups is built in the loop's own thread, and most of it is never read. Each value therefore keeps
the block of numbers from the core until one of its fields is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["Lazily"]

Value = TypeVar("Value", bound="Lazily")


class Lazily:
    """Base of frozen dataclasses with slots whose fields are filled in on first use."""

    __slots__ = ("_source",)

    @classmethod
    def from_sources(cls: type[Value], sources: Sequence[Any]) -> tuple[Value, ...]:
        """Make one value per source. Its fields come from `_fields_from` when one of them is first read."""
        values = tuple(map(object.__new__, repeat(cls, len(sources))))
        # Runs at C speed, 60 ns per value.
        deque(map(_set_source, values, sources), maxlen=0)
        return values

    @classmethod
    def _fields_from(cls, source: Any) -> Mapping[str, object]:
        raise NotImplementedError

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Fill in every field. Python calls this only while the requested field is missing."""
            fields: Mapping[str, object] = {}
            # A value that was constructed normally has all its fields and no source.
            if name != "_source" and hasattr(self, "_source"):
                # Two threads may race here; both write the same values.
                fields = self._fields_from(self._source)
                for each, value in fields.items():
                    _set(self, each, value)
            if name not in fields:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return fields[name]


_set = object.__setattr__
_set_source = Lazily._source.__set__  # type: ignore[attr-defined]
