"""The core is built in layers: what a file includes and calls is in its own folder or in a lower one.

A *unit* is a header with its C file, named by its path without suffix: `model/group`. An *edge* leads from a unit to one
that it knows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.support.building import COMPILER, NATIVE, ROOT, environment

RANKS = {
    "base": 1,
    "bytecode": 2,
    "queue": 2,
    "model": 3,
    "preempt": 4,
    "watch": 4,
    "park": 5,
    "poll": 6,
    "types": 7,
}
# Units of one folder that know each other, and why that has to be. Two small ones at most.
CIRCLES: Mapping[frozenset[str], str] = {}

Edges = set[tuple[str, str]]

INCLUDED = re.compile(r'^#include "([^"]+)\.h"', re.MULTILINE)
# A prototype has its type before its name, in one line; the name of a function with a body begins a line.
PROTOTYPE = re.compile(r"^(?!static |typedef |PULSE_INLINE)\w[\w *]*?\b(pulse_\w+)\([^;{]*\);", re.MULTILINE)
OBJECT = re.compile(r"^extern [^;(]*?\b(pulse_\w+)(?:\[\w*\])?;", re.MULTILINE)


def faults(files: Iterable[str], edges: Edges, allowed: Iterable[frozenset[str]] = ()) -> list[str]:
    """Say what breaks the layers: a file outside of them, an edge that leads upward or sideways, a circle."""
    found = [f"{file} is in no layer" for file in sorted(files) if folder_of(file) not in RANKS]
    for one, other in sorted(edges):
        goes_down = RANKS[folder_of(other)] < RANKS[folder_of(one)]
        if folder_of(one) != folder_of(other) and not goes_down:
            found.append(f"{one} knows {other}, which is not lower")
    found += [f"circle of files: {', '.join(sorted(each))}" for each in circles(edges) - set(allowed)]
    between_folders = {(folder_of(one), folder_of(other)) for one, other in edges if folder_of(one) != folder_of(other)}
    found += [f"circle of folders: {', '.join(sorted(each))}" for each in circles(between_folders)]
    return found


def folder_of(unit: str) -> str:
    return unit.partition("/")[0]


def circles(edges: Edges) -> set[frozenset[str]]:
    """Find the sets of nodes that lead to each other."""
    reached = {node: reachable(node, edges) for edge in edges for node in edge}
    return {
        frozenset(other for other in reached[node] if node in reached[other])
        for node in reached
        if node in reached[node]
    }


def reachable(start: str, edges: Edges) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        for one, other in edges:
            if one == node and other not in found:
                found.add(other)
                waiting.append(other)
    return found


def edges_of_includes(texts: Mapping[str, str]) -> Edges:
    """Find the edges in the sources of units."""
    return {(unit, known) for unit, text in texts.items() for known in INCLUDED.findall(text) if known != unit}


def edges_of_symbols(symbols: Mapping[str, tuple[set[str], set[str]]]) -> Edges:
    """Find the edges between objects, from what each of them defines and what it leaves to others."""
    owners = {symbol: unit for unit, (defined, _) in symbols.items() for symbol in defined}
    return {
        (unit, owners[symbol])
        for unit, (_, left) in symbols.items()
        for symbol in left
        if symbol in owners and owners[symbol] != unit
    }


def symbols_of(path: Path) -> tuple[set[str], set[str]]:
    """Name the global symbols that an object defines, and those that it leaves to others."""
    listed = subprocess.run(["nm", "-P", "-g", str(path)], capture_output=True, text=True, check=True).stdout
    defined, left = set(), set()
    for line in listed.splitlines():
        name, kind = line.split()[:2]
        # macOS puts an underscore in front of every name.
        (left if kind == "U" else defined).add(name.removeprefix("_"))
    return defined, left


def declared(header: str) -> set[str]:
    """Name what a header declares and leaves to a C file."""
    return set(PROTOTYPE.findall(header)) | set(OBJECT.findall(header))


def unit_of(path: Path) -> str:
    return path.relative_to(NATIVE).with_suffix("").as_posix()


SOURCES = sorted([*NATIVE.rglob("*.c"), *NATIVE.rglob("*.h")])
TEXTS: dict[str, str] = {}
for source in SOURCES:
    TEXTS[unit_of(source)] = TEXTS.get(unit_of(source), "") + source.read_text()


def object_of(source: Path, folder: Path) -> Path:
    return folder / source.relative_to(ROOT).with_suffix(".o")


def last_build() -> Path | None:
    """Find the objects of the last build of this interpreter, unless a source is newer than one of them."""
    variant = os.environ.get("ASYNCIO_PULSE_BUILD") or "release"
    folder = ROOT / "build" / variant / f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    newest = max(path.stat().st_mtime for path in SOURCES)
    made = [object_of(path, folder) for path in SOURCES if path.suffix == ".c"]
    return folder if all(path.is_file() and path.stat().st_mtime >= newest for path in made) else None


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[set[str], set[str]]]:
    """Give the symbols of every object of the core; where it was not just built, it is compiled once more, apart."""
    if shutil.which("nm") is None or shutil.which(COMPILER) is None:
        pytest.skip(f"nm or {COMPILER} is not installed")
    folder = last_build()
    if folder is None:
        folder = tmp_path_factory.mktemp("objects")
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-temp", str(folder), "--build-lib"]
        done = subprocess.run(
            [*command, str(folder)], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return {unit_of(path): symbols_of(object_of(path, folder)) for path in SOURCES if path.suffix == ".c"}


def test_every_file_is_in_a_layer_and_includes_only_lower_ones() -> None:
    assert not faults(TEXTS, edges_of_includes(TEXTS), CIRCLES)
    assert len(TEXTS) > 50


def test_every_file_calls_only_lower_ones(symbols: dict[str, tuple[set[str], set[str]]]) -> None:
    edges = edges_of_symbols(symbols)
    assert not faults(TEXTS, edges | edges_of_includes(TEXTS), CIRCLES)
    assert ("types/coroutine_type", "poll/poll") in edges


def test_the_map_names_every_file_in_its_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("\n## The core")[2].partition("\n## ")[0]
    named: list[str] = []
    folder = ""
    for first, files in re.findall(r"^\| (.*?) ?\| (`.+?`) \|", text, re.MULTILINE):
        folder = first.split("`")[1] if first else folder
        named += [f"{folder}/{name}" for name in re.findall(r"`(\w+)`", files)]
    assert sorted(named) == sorted(TEXTS)


def test_a_header_names_another_with_its_folder() -> None:
    included = {name for text in TEXTS.values() for name in INCLUDED.findall(text)}
    assert not [name for name in included if not (NATIVE / f"{name}.h").is_file()]


def test_the_queue_does_not_know_python(symbols: dict[str, tuple[set[str], set[str]]]) -> None:
    edges = edges_of_includes(TEXTS)
    queue = {unit for unit in TEXTS if folder_of(unit) == "queue"}
    known = queue.union(*(reachable(unit, edges) for unit in queue))
    assert not [unit for unit in known if "<Python.h>" in TEXTS[unit]]
    assert not [
        unit for unit in queue if unit in symbols for name in symbols[unit][1] if name.startswith(("Py", "_Py"))
    ]


def test_a_header_declares_what_its_own_file_defines(symbols: dict[str, tuple[set[str], set[str]]]) -> None:
    headers = {unit_of(path): declared(path.read_text()) for path in SOURCES if path.suffix == ".h"}
    defined = {unit: symbols[unit][0] if unit in symbols else set() for unit in headers}
    assert not {unit: names - defined[unit] for unit, names in headers.items() if names - defined[unit]}
    assert "pulse_poll_judge" in headers["poll/poll"]


def test_an_include_upward_is_found() -> None:
    planted = TEXTS | {"base/clock": TEXTS["base/clock"] + '\n#include "poll/poll.h"\n'}
    found = faults(planted, edges_of_includes(planted))
    assert "base/clock knows poll/poll, which is not lower" in found
    assert any(fault.startswith("circle of folders: ") for fault in found)


def test_a_call_upward_is_found(tmp_path: Path) -> None:
    """GIVEN an object of a low folder that calls a function of a high one, which no include shows."""
    if shutil.which("nm") is None or shutil.which(COMPILER) is None:
        pytest.skip(f"nm or {COMPILER} is not installed")
    planted = {
        "base/clock": "void pulse_poll_end(void); void pulse_clock_read(void) { pulse_poll_end(); }",
        "poll/poll": "void pulse_poll_end(void); void pulse_poll_end(void) {}",
    }
    symbols = {}
    for unit, text in planted.items():
        path = tmp_path / f"{unit.replace('/', '_')}.c"
        path.write_text(text)
        subprocess.run([COMPILER, "-c", path, "-o", path.with_suffix(".o")], env=environment(), check=True)
        symbols[unit] = symbols_of(path.with_suffix(".o"))
    assert not faults(planted, edges_of_includes(planted))
    assert faults(planted, edges_of_symbols(symbols)) == ["base/clock knows poll/poll, which is not lower"]


def test_neighbours_of_one_rank_do_not_know_each_other() -> None:
    assert faults([], {("queue/flows", "bytecode/frames")}) == ["queue/flows knows bytecode/frames, which is not lower"]


def test_a_file_outside_of_the_layers_is_found() -> None:
    assert faults(["clock", "extra/clock"], set()) == ["clock is in no layer", "extra/clock is in no layer"]


def test_a_circle_of_files_is_found_unless_it_has_its_reason() -> None:
    edges = {("park/park", "park/pump"), ("park/pump", "park/waiting"), ("park/waiting", "park/park")}
    circle = frozenset({"park/park", "park/pump", "park/waiting"})
    assert faults([], edges) == ["circle of files: park/park, park/pump, park/waiting"]
    assert not faults([], edges, [circle])
    assert len(CIRCLES) <= 2


def test_a_declaration_is_told_from_a_definition() -> None:
    header = """
typedef int (*pulse_visitor)(void *context);
extern const char *const pulse_names[PULSE_NAMES];
PyObject *pulse_made(PyObject *const *args, Py_ssize_t count,
                     PyObject *keywords);
static inline uint64_t
pulse_inlined(uint64_t value)
{
    return pulse_called(value);
}
"""
    assert declared(header) == {"pulse_names", "pulse_made"}
