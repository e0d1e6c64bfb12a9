"""`asyncio-pulse demo`: what one slow endpoint does to a web service, and how the report names it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from asyncio_pulse.reports.json import read_reports
from asyncio_pulse.reports.wording import place
from asyncio_pulse.runtime.config_sources import MODE_VARIABLE

from .crowd import MODES
from .culprit import Culprit, find_culprit
from .health_check import HealthCheck, check, draw, table
from .phase import Phase, percentile
from .plot import draw_svg, draw_terminal
from .progress import Progress
from .server import DemoError, Server, find_free_port, stop_process, uvicorn_arguments

__all__ = ["main"]

DEFAULT_SECONDS = 12.0
LONGEST_SECONDS = 600.0
PINGS_PER_SECOND = 200
REPORT_PERIOD_S = 1.0
# The middle of the values in fastapi issue 1224 and its duplicates, for answers of a few megabytes.
REPORT_CPU_MS = 250.0
REPORT_HEADING = "asyncio-pulse: 1 process"
"""Beginning of the text report."""


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="asyncio-pulse demo", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=DEFAULT_SECONDS,
        help="length of each of the three phases (default: %(default)g)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("asyncio-pulse-demo"),
        metavar="DIR",
        help="where the files go (default: %(default)s)",
    )
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    if not 1 <= options.seconds <= LONGEST_SECONDS:
        parser.error(f"argument --seconds: {options.seconds:g} is out of range, give 1 to {LONGEST_SECONDS:g}")
    needed = ["fastapi", "uvicorn", *(["uvloop"] if options.loop == "uvloop" else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"{' and '.join(missing)} not installed; install with: pip install asyncio-pulse[demo]")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: cannot make directory {str(options.output)!r}: {error.strerror}")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the demo.

    Args:
        arguments: The command line after `asyncio-pulse demo`.

    Returns:
        The exit code: 0; 1 if the demo could not be carried out; 130 if it was interrupted.

    Raises:
        SystemExit: With code 2; the arguments are wrong or an extra is missing.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without block characters gets question marks rather than a traceback. A pipe gets each line at once, in
        # order with the progress on stderr.
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    try:
        options = _parse(arguments)
        # SIGTERM from a service manager must clean up just as Ctrl-C does.
        earlier = signal.signal(signal.SIGTERM, _interrupt)
        try:
            _run(options)
        finally:
            signal.signal(signal.SIGTERM, earlier)
    except DemoError as error:
        print(f"asyncio-pulse demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nasyncio-pulse demo: interrupted; everything was stopped", file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> None:
    # Needs the extra, which was checked before.
    from .app import CUSTOMERS_VARIABLE, customers_taking

    customers = customers_taking(REPORT_CPU_MS)
    print(f"Calibrated: a /report of {customers} customers should take {REPORT_CPU_MS:g} ms of CPU time here.")
    report_path = options.output / "report.json"
    report_path.unlink(missing_ok=True)
    environment = {CUSTOMERS_VARIABLE: str(customers)}
    beside = f"/ping beside /report every {REPORT_PERIOD_S:g} s"
    # What the service does by itself, measured and with its causes named, but without any intervention.
    with _server(
        options, "server.log", {**environment, MODE_VARIABLE: "observe"}, ["--json", str(report_path)]
    ) as server:
        log_path = server.log_path
        alone = _load(server.port, "/ping alone", options.seconds, report_period_s=0.0)
        plain = _load(server.port, beside, options.seconds, REPORT_PERIOD_S)
    with _server(options, "governed.log", environment, ["--quiet"]) as server:
        governed = _load(server.port, "the same, governed", options.seconds, REPORT_PERIOD_S)
    phases = (alone, plain, governed)
    if not report_path.exists():
        raise DemoError(f"the server left no report; see {log_path}")
    print(f"\n{_percentile_table(phases)}\n\n{draw_terminal(phases)}\n\n{_report_in(log_path.read_text())}\n")
    culprit = find_culprit(read_reports(str(report_path))[0].worst_polls)
    print(_describe(culprit))
    checks = [check(mode, options.seconds, options.loop) for mode in MODES]
    print(f"\n{table(checks)}\n\nFiles:")
    for path in (*_write(options.output, phases, culprit, customers, checks), report_path, log_path):
        print(f"  {path}")


@contextlib.contextmanager
def _server(
    options: argparse.Namespace, log: str, environment: Mapping[str, str], arguments: Sequence[str]
) -> Iterator[Server]:
    """Run the service as a user would, and warm it up."""
    port = find_free_port()
    command = ["run", *arguments, "-m", *uvicorn_arguments(port, options.loop)]
    mode = f"{MODE_VARIABLE}={environment[MODE_VARIABLE]} " if MODE_VARIABLE in environment else ""
    print(f"Starting: {mode}asyncio-pulse {' '.join(command)}")
    log_path = options.output / log
    with Server(["asyncio_pulse", *command], port=port, log_path=log_path, environment=environment) as server:
        print(f"Warmed up: one /report alone took {_time_one_report_ms(port):.0f} ms.\n")
        yield server


def _report_in(log: str) -> str:
    """Extract the report from the server's output. Earlier log lines stay in the file."""
    before, heading, report = log.partition(REPORT_HEADING)
    return (heading + report if heading else before).strip()


def _time_one_report_ms(port: int) -> float:
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report") as answer:
        answer.read()
    return (time.perf_counter() - started) * 1e3


def _load(port: int, name: str, seconds: float, report_period_s: float) -> Phase:
    """Run the load generator once and show its progress."""
    command = [sys.executable, "-m", "asyncio_pulse.demo.load", str(port), "--seconds", str(seconds)]
    command += ["--pings-per-second", str(PINGS_PER_SECOND), "--report-period", str(report_period_s)]
    with Progress(name, seconds) as progress:
        generator = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            assert generator.stdout is not None
            message = {}
            for line in generator.stdout:
                message = json.loads(line)
                progress.show(message.get("elapsed_s", seconds))
        finally:
            stop_process(generator)
    if generator.returncode or "pings" not in message:
        raise DemoError(f"the load generator ended with code {generator.returncode} and no result")
    if message["errors"]:
        raise DemoError(f"{len(message['errors'])} requests failed, the first: {message['errors'][0]}")
    return Phase(
        name=name,
        samples=tuple((at, ms) for at, ms in message["pings"]),
        report_ms=tuple(ms for _, ms in message["reports"]),
        lateness_ms=percentile(message["lateness_ms"], 99),
    )


def _percentile_table(phases: Sequence[Phase]) -> str:
    width = max(len(phase.name) for phase in phases)
    lines = [f"{'latency in ms':{width}} {'requests':>9} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}"]
    for phase in phases:
        figures = " ".join(f"{latency_ms:8.2f}" for latency_ms in phase.percentiles().values())
        lines.append(f"{phase.name:{width}} {len(phase.samples):9} {figures}")
    lateness_ms = max(phase.lateness_ms for phase in phases)
    lines.append(f"Counted from the intended time; the generator's own lateness is p99 {lateness_ms:.2f} ms.")
    return "\n".join(lines)


def _describe(culprit: Culprit | None) -> str:
    if culprit is None:
        return "The report names no culprit: no poll was slow."
    where = place(culprit.place.filename, culprit.place.line, 60)
    return (
        f"The culprit is number {culprit.rank} of the worst polls: {culprit.place.function}() at\n"
        f"  {where}, in tasks of group {culprit.group}.\n"
        f"  {culprit.count} polls there held the event loop for {culprit.total_ms / 1e3:.1f} s in all, up to\n"
        f"  {culprit.wall_ms:.0f} ms at a time, and while one of them runs every other request waits.\n"
        "  In the last phase such a poll was suspended every 20 ms."
    )


def _write(
    output: Path,
    phases: Sequence[Phase],
    culprit: Culprit | None,
    customers: int,
    checks: Sequence[HealthCheck],
) -> list[Path]:
    plot_path, check_path, result_path = (
        output / name for name in ("ping-latency.svg", "health-check.svg", "demo.json")
    )
    subtitle = f"{PINGS_PER_SECOND} requests a second on loopback; each dot is one /ping, from its intended time"
    plot_path.write_text(draw_svg(phases, title="What one heavy route does to the others", subtitle=subtitle))
    check_path.write_text(draw(checks))
    result = {
        "customers": customers,
        "phases": [{**dataclasses.asdict(phase), "percentiles_ms": phase.percentiles()} for phase in phases],
        "culprit": dataclasses.asdict(culprit) if culprit else None,
        "health_check": {each.mode: each.figures() for each in checks},
    }
    result_path.write_text(json.dumps(result) + "\n")
    return [plot_path, check_path, result_path]
