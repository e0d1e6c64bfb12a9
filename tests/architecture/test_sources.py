"""What every source file keeps to, and no linter checks for us."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ["src", "tests", "benchmarks", "examples", "tools", "docs", ".ci"]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}
MAXIMUM_FILE_LINES = 500
MAXIMUM_FUNCTION_LINES = 80


def sources(*suffixes: str) -> list[Path]:
    found = [ROOT / "setup.py"]
    for folder in FOLDERS:
        found += (ROOT / folder).rglob("*")
    return sorted(path for path in found if path.suffix in suffixes and path.is_file())


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


def c_comments(text: str) -> list[str]:
    """Find the comments of a C file, knowing that a string may look like one."""
    token = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
    return [match for match in token.findall(text) if match.startswith("/")]


def test_the_search_sees_the_project() -> None:
    names = {identify(path) for path in sources(".py", ".c", ".h", ".pyi")}
    assert {"setup.py", "src/asyncio_pulse/errors.py", "src/asyncio_pulse/_core.pyi", "tests/conftest.py"} <= names
    assert any(name.endswith(".c") for name in names)


def test_a_block_comment_is_found_and_a_string_is_not_one() -> None:
    text = 'int a; /* b\n */ const char *c = "/* \\" // d"; // e /* f'
    assert c_comments(text) == ["/* b\n */", "// e /* f"]


@pytest.mark.parametrize("path", sources(".c", ".h"), ids=identify)
def test_comments_in_c_have_one_style(path: Path) -> None:
    assert not [comment for comment in c_comments(path.read_text()) if comment.startswith("/*")]


@pytest.mark.parametrize("path", sources(".c", ".h", ".py", ".pyi", ".sh"), ids=identify)
def test_a_file_is_short_and_has_no_banner(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MAXIMUM_FILE_LINES
    banner = re.compile(r"\s*(#|//)\s*([-=*#~_/+])\2{2,}")
    assert not [line for line in lines if banner.match(line)]


@pytest.mark.parametrize("path", sources(".c", ".h", ".py", ".pyi", ".sh"), ids=identify)
def test_a_name_says_what_is_inside(path: Path) -> None:
    parts = re.split(r"[/._-]", identify(path))
    assert not FORBIDDEN_NAMES & set(parts)


@pytest.mark.parametrize("path", sources(".py"), ids=identify)
def test_a_python_file_opens_with_one_line_and_its_functions_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text())
    docstring = ast.get_docstring(tree)
    assert docstring, "no docstring"
    assert docstring.split("\n\n")[0].count("\n") == 0, "the docstring's first paragraph is longer than one line"
    long = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAXIMUM_FUNCTION_LINES
    ]
    assert not long
