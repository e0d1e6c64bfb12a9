"""Write the stored results of the benchmarks into the tables of docs/benchmarks.md.

python tools/benchmark_tables.py

The prose of each benchmark's section stays. Its table, and the line below it with the interpreter and the day, are
generated from benchmarks/results/NAME.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
SECTION = re.compile(r"^### (\w+)\n", re.MULTILINE)
# A table, and the paragraph after it that begins with the interpreter.
TABLE = re.compile(r"^\|.*?\n\nCPython [^\n]*\n", re.MULTILINE | re.DOTALL)


def number(value: float | None) -> str:
    """Format a value with its significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def figure_row(figure: dict[str, Any]) -> str:
    """Return one figure as a row of a table."""
    unit, bound = figure["unit"], figure["bound"]
    spread = f"{number(figure['lowest'])} to {number(figure['highest'])}"
    met = {None: figure["note"], True: "yes", False: "no"}[figure["met"]]
    bound = "" if bound is None else f"{bound:g}"
    return f"| {figure['name'].strip()} | {number(figure['median'])} {unit} | {spread} | {bound} | {met} |"


def plain_table(figures: list[dict[str, Any]]) -> str:
    """Return a table with one row per figure."""
    head = "| figure | median | lowest to highest | bound | met |\n| --- | ---: | ---: | ---: | --- |\n"
    return head + "\n".join(map(figure_row, figures))


def ratio_cell(figure: dict[str, Any]) -> str:
    """Format a ratio, with its bound if it has one."""
    if figure["bound"] is None:
        return f"{figure['median']:.3f}"
    missed = "" if figure["met"] else ", **no**"
    return f"{figure['median']:.3f} ({figure['bound']:.3f}{missed})"


def harmless_table(figures: list[dict[str, Any]]) -> str:
    """Return a table with one row per program and one column per quantity."""
    programs: dict[str, dict[str, dict[str, Any]]] = {}
    others = []
    for figure in figures:
        program, separator, quantity = figure["name"].partition(": ")
        if separator:
            programs.setdefault(program, {})[quantity] = figure
        else:
            others.append(f"{figure['name'].capitalize()}: {number(figure['median'])} {figure['unit']}.")
    quantities = list(next(iter(programs.values())))
    lines = ["| program | " + " | ".join(quantities) + " |", "| --- |" + " ---: |" * len(quantities)]
    for program, by_quantity in programs.items():
        cells = " | ".join(ratio_cell(by_quantity[each]) for each in quantities)
        lines.append(f"| `{program}` | {cells} |")
    return "\n".join([*lines, "", *others])


def section_of(name: str, text: str) -> str:
    """Return a section with the table of its stored results."""
    kept = json.loads((RESULTS / f"{name}.json").read_text())
    facts, figures = kept["facts"], kept["figures"]
    table = harmless_table(figures) if name == "harmless" else plain_table(figures)
    day, load, count = facts["date"][:10], facts["load_average"], facts["processors"]
    line = f"{facts['python']}, {day}, load average at the start {load:.1f} on {count} processors."
    renewed, found = TABLE.subn(lambda _: f"{table}\n\n{line}\n", text, count=1)
    if not found:
        raise SystemExit(f"{PAGE.name}: section {name} has no table that ends with a line 'CPython ...'")
    return renewed


def main() -> None:
    """Rewrite every section."""
    head, *sections = SECTION.split(PAGE.read_text())
    pairs = zip(sections[::2], sections[1::2], strict=True)
    PAGE.write_text(head + "".join(f"### {name}\n{section_of(name, text)}" for name, text in pairs))


if __name__ == "__main__":
    main()
