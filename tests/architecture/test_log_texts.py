"""What every log record keeps to: the name of its logger, and a text that says who speaks, also without a configuration."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src" / "asyncio_pulse").rglob("*.py"))
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def is_log(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in LEVELS
        and isinstance(node.value, ast.Name)
        and node.value.id == "logger"
    )


def texts(tree: ast.Module) -> Iterator[str]:
    """Give the text of each call of the logger, or of a partial of it, with the name of its first argument put in."""
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        arguments = node.args if is_log(node.func) else node.args[1:] if node.args and is_log(node.args[0]) else []
        for index, argument in enumerate(arguments):
            value = named.get(argument.id, argument) if isinstance(argument, ast.Name) else argument
            value = value.left if isinstance(value, ast.BinOp) else value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                rest = arguments[index + 1 :]
                yield value.value.replace("%s", ast.unparse(rest[0]) if rest else "", 1)
                break


def test_the_search_finds_them() -> None:
    tree = ast.parse('text = "d"\nlogger.info("%s: b", who)\npartial(logger.log, 3, "c" + x)\nlogger.warning(text)')
    assert list(texts(tree)) == ["who: b", "c", "d"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_text_says_who_speaks(path: Path) -> None:
    for text in texts(ast.parse(path.read_text())):
        assert text.startswith(("asyncio-pulse", "origin")), text


def test_every_logger_is_ours() -> None:
    names = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                names += [ast.unparse(argument).strip("'") for argument in node.args] or ["root"]
    assert len(names) > 3
    assert [name for name in names if name != "__name__" and not name.startswith("asyncio_pulse")] == []
