"""`python -m benchmarks [names...] [--json FILE]`: run benchmarks, print tables, keep the results."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import importlib
import json
import math
import multiprocessing
import time
from pathlib import Path
from typing import Any

from .facts import collect_facts
from .method import Figure

NAMES = (
    "poll_overhead",
    "task_creation",
    "native_operations",
    "run_queue",
    "live_tasks",
    "peers",
    "web_service",
    "slow_queue",
    "preemption",
    "heartbeats",
    "suspensions",
    "harmless",
)
RESULTS = Path(__file__).parent / "results"


def _number(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if unit == "x" else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _print_table(name: str, figures: list[Figure], seconds: float) -> None:
    print(f"\n{name} ({seconds:.0f} s)")
    print(f"  {'beyond the bare control':52} {'median':>9} {'lowest to highest':>20}  {'bound':>7} met")
    for figure in figures:
        spread = f"{_number(figure.lowest, figure.unit)} to {_number(figure.highest, figure.unit)}"
        bound = "" if figure.bound is None else f"{figure.bound:g}"
        met = {None: figure.note, True: "yes", False: "NO"}[figure.met]
        print(
            f"  {figure.name:52} {_number(figure.median, figure.unit):>9} {spread:>20}  {bound:>7} {met} {figure.unit}"
        )


def _row(figure: Figure) -> dict[str, Any]:
    fields = dataclasses.asdict(figure) | {"met": figure.met}
    # JSON has no NaN, which marks a peer that is not installed.
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in fields.items()}


def main() -> None:
    """Run the benchmarks named on the command line, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every result to one file")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    facts = collect_facts()
    print(f"{facts['python']} on {facts['processor']}, {facts['processors']} processors, {facts['date']}")
    everything: dict[str, Any] = {"facts": facts, "benchmarks": {}}
    for name in options.names or NAMES:
        started = time.perf_counter()
        # A new process, so that no benchmark is affected by memory, threads or patches of an earlier one.
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            figures: list[Figure] = pool.submit(importlib.import_module(f"benchmarks.{name}").measure).result()
        _print_table(name, figures, time.perf_counter() - started)
        rows = [_row(figure) for figure in figures]
        everything["benchmarks"][name] = rows
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps({"facts": facts, "figures": rows}, indent=1) + "\n")
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
