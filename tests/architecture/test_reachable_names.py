"""What public functions return, and what messages and documents speak of, can be had: nothing is behind no door."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import asyncio_pulse
from asyncio_pulse import TierConfig, TierManager, TierPolicy
from asyncio_pulse.config import SlowQueueConfig
from asyncio_pulse.lowlevel import HookRegistry
from tests.architecture.test_doors import DOORS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.py")])
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.pyi")])


def through_doors() -> dict[str, object]:
    names: dict[str, object] = {}
    for door in DOORS:
        module = importlib.import_module(door)
        names |= {name: getattr(module, name) for name in module.__all__}
    return names


def hints_of(member: object) -> dict[str, object]:
    """The types that a function or class speaks of; what only type checkers import is left out."""
    try:
        return typing.get_type_hints(member)
    except (NameError, TypeError, AttributeError):
        return {}


def classes_in(hint: object) -> Iterator[type]:
    """The classes of ours in a type, however it is put together."""
    if isinstance(hint, types.GenericAlias) or typing.get_origin(hint) is not None or isinstance(hint, types.UnionType):
        for part in (typing.get_origin(hint), *typing.get_args(hint)):
            yield from classes_in(part)
    elif isinstance(hint, (list, tuple)):
        for part in hint:
            yield from classes_in(part)
    elif isinstance(hint, type) and hint.__module__.startswith("asyncio_pulse"):
        yield hint


def members_of(value: object) -> Iterator[object]:
    """Functions of a public class, of its properties too, or the function itself."""
    if not inspect.isclass(value):
        yield value
        return
    yield value
    for name in dir(value):
        member = inspect.getattr_static(value, name)
        if not name.startswith("_"):
            yield member.fget if isinstance(member, property) else getattr(member, "__func__", member)


def reached() -> dict[type, str]:
    """Every class of ours that comes out of a public name, and out of which."""
    waiting = [(value, name) for name, value in through_doors().items()]
    found: dict[type, str] = {}
    while waiting:
        value, by = waiting.pop()
        for member in members_of(value):
            for hint in hints_of(member).values():
                for kind in classes_in(hint):
                    if kind not in found:
                        found[kind] = by
                        waiting.append((kind, kind.__name__))
    return found


def test_whatever_comes_out_of_a_public_name_has_a_door() -> None:
    public = set(map(id, through_doors().values()))
    found = reached()
    assert {"PreemptionMetrics", "RefusedPlace", "TierChange"} <= {kind.__name__ for kind in found}
    assert not {f"{kind.__qualname__}, by {by}" for kind, by in found.items() if id(kind) not in public}


def texts_of(path: Path) -> Iterator[str]:
    """What a file says: a document all of it, a module its strings and comments' neighbours, which are its docstrings."""
    if path.suffix not in (".py", ".pyi"):
        yield path.read_text()
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def exists(dotted: str) -> bool:
    """Whether `asyncio_pulse.` and this names a public thing, a module or a logger's part."""
    first, _, rest = dotted.partition(".")
    if first in asyncio_pulse.__all__ or f"asyncio_pulse.{first}" in DOORS:
        owner = getattr(asyncio_pulse, first, None) or importlib.import_module(f"asyncio_pulse.{first}")
        return not rest or hasattr(owner, rest.split(".")[0])
    package = ROOT / "src" / "asyncio_pulse"
    return (package / first).is_dir() or (package / f"{first}.py").is_file() or f'"asyncio_pulse.{first}' in loggers()


def loggers() -> str:
    return "".join(path.read_text() for path in SOURCES) + "".join(
        path.read_text() for path in (ROOT / "src").rglob("*.c")
    )


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_that_is_spoken_of_exists(path: Path) -> None:
    called = re.compile(r"\b(?:pulse|asyncio_pulse)\.([A-Za-z_][\w.]*)\(")
    settings = re.compile(r"\b(TierConfig|TierPolicy|SlowQueueConfig)\((\w+)=")
    kinds = {"TierConfig": TierConfig, "TierPolicy": TierPolicy, "SlowQueueConfig": SlowQueueConfig}
    for text in texts_of(path):
        assert not [name for name in called.findall(text) if not exists(name)]
        for kind, field in settings.findall(text):
            assert field in inspect.signature(kinds[kind]).parameters, f"{kind}({field}=...)"


def test_advice_names_functions_that_exist() -> None:
    known = set(through_doors()) | set(dir(TierManager)) | set(dir(HookRegistry))
    of_others = {"sleep", "to_thread", "close", "gather", "select"}
    for name in ("wording", "tier_lines", "text", "terminal"):
        for text in texts_of(ROOT / "src" / "asyncio_pulse" / "reports" / f"{name}.py"):
            mentioned = set(re.findall(r"(?<![.\w])([a-z_]\w+)\(\)", text))
            assert not mentioned - known - of_others, text


def test_no_docstring_speaks_of_what_is_not_done_yet() -> None:
    unfinished = re.compile(
        r"not (acted upon|implemented|supported|used) yet|has no effect yet|\bTODO\b", re.IGNORECASE
    )
    assert not [(path.name, text) for path in SOURCES for text in texts_of(path) if unfinished.search(text)]
