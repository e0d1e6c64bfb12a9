"""Functions of libraries that may be suspended between two of their statements, by default and without consent.

They compute for long, share nothing with other tasks, and are called where nothing of the program's stands in between: every
function from the running one to the nearest `await` must be in the table. The library's own tests pass while chaos suspends
these functions: `make test-peers`.
"""

from __future__ import annotations

__all__ = ["VETTED_FUNCTIONS"]

VETTED_FUNCTIONS = frozenset(
    {
        "fastapi.encoders:jsonable_encoder",
        "fastapi.routing:serialize_response",
    }
)
"""Names in the form module:qualified name. What is defined inside such a function counts as well."""
