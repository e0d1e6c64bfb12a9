"""What every source file keeps to, and no linter checks for us."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ["src", "tests", "benchmarks", "examples", "tools", "docs", ".ci"]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}
MAXIMUM_FILE_LINES = 500
# Longer ones, and why each of them is one idea still: a sentence for a file.
REASONS_FOR_LENGTH: dict[str, str] = {}
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


def test_comments_in_c_have_one_style() -> None:
    found = {identify(path): c_comments(path.read_text()) for path in sources(".c", ".h")}
    assert not {name for name, comments in found.items() if any(each.startswith("/*") for each in comments)}


def length_faults(lengths: dict[str, int], reasons: dict[str, str]) -> list[str]:
    """Name the files that are long without a reason, and the reasons that no long file needs."""
    long = {name for name, length in lengths.items() if length > MAXIMUM_FILE_LINES}
    reasoned = {name for name, reason in reasons.items() if reason.endswith(".")}
    return sorted(long ^ reasoned)


def test_a_file_is_short_or_has_its_reason() -> None:
    paths = sources(".c", ".h", ".py", ".pyi", ".sh")
    lengths = {identify(path): len(path.read_text().splitlines()) for path in paths}
    assert not length_faults(lengths, REASONS_FOR_LENGTH), "split it by idea, or say why not in REASONS_FOR_LENGTH"


def test_a_reason_lets_a_file_be_long_and_goes_with_it() -> None:
    assert length_faults({"a.c": MAXIMUM_FILE_LINES, "b.c": MAXIMUM_FILE_LINES + 1}, {}) == ["b.c"]
    assert not length_faults({"b.c": MAXIMUM_FILE_LINES + 1}, {"b.c": "One table."})
    assert length_faults({"b.c": MAXIMUM_FILE_LINES}, {"b.c": "One table."}) == ["b.c"]


def test_a_file_has_no_banner() -> None:
    banner = re.compile(r"\s*(#|//)\s*([-=*#~_/+])\2{2,}")
    lines = {identify(path): path.read_text().splitlines() for path in sources(".c", ".h", ".py", ".pyi", ".sh")}
    assert not {name for name, each in lines.items() if any(map(banner.match, each))}


def test_a_name_says_what_is_inside() -> None:
    names = map(identify, sources(".c", ".h", ".py", ".pyi", ".sh"))
    assert not [name for name in names if FORBIDDEN_NAMES & set(re.split(r"[/._-]", name))]


def test_a_python_file_opens_with_one_line_and_its_functions_are_short() -> None:
    opens_otherwise, long = [], []
    for path in sources(".py"):
        tree = ast.parse(path.read_text())
        docstring = ast.get_docstring(tree)
        if not docstring or "\n" in docstring.split("\n\n")[0]:
            opens_otherwise.append(identify(path))
        long += [
            f"{identify(path)}: {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno >= MAXIMUM_FUNCTION_LINES
        ]
    assert not opens_otherwise, "the docstring's first paragraph is missing, or longer than one line"
    assert not long
