"""Functions of libraries that may be suspended between two of their statements, by default and without consent.

They compute for long, share nothing with other tasks, and are called where nothing of the program's stands in between:
every function from the running one to the nearest `await` must be in the table. The library's own tests pass while chaos
suspends these functions: `make test-peers`.
"""

from __future__ import annotations

__all__ = ["VETTED_FUNCTIONS", "modules_by_function"]

VETTED_FUNCTIONS = {
    "fastapi.encoders": ("jsonable_encoder",),
    "fastapi.routing": ("serialize_response",),
}
"""Qualified names of functions by module. What is defined inside such a function counts as well."""


def modules_by_function() -> dict[str, frozenset[str]]:
    """Return the same table in the form that the core needs: the modules by the name of the function."""
    names = {name for functions in VETTED_FUNCTIONS.values() for name in functions}
    return {
        name: frozenset(module for module, functions in VETTED_FUNCTIONS.items() if name in functions) for name in names
    }
