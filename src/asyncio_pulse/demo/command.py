"""`asyncio-pulse demo`: what one slow route does to a web service, and what asyncio-pulse does about it.

The same service gets the same load three times: plain, under `asyncio-pulse run` with nothing changed, and with the
configuration that the second run advised.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

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
    parser = _Parser(prog="asyncio-pulse demo", description=__doc__.partition("\n")[0])
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Service:
    """How the service is started in one phase."""

    name: str
    log: str
    """Name of the file with its output."""
    pulse: tuple[str, ...]
    """Arguments after `python -m` before those of uvicorn."""


def _run(options: argparse.Namespace) -> None:
    # Needs the extra, which was checked before.
    from .app import CUSTOMERS_VARIABLE, customers_taking

    customers = customers_taking(REPORT_CPU_MS)
    print(f"Calibrated: a /report of {customers} customers should take {REPORT_CPU_MS:g} ms of CPU time here.")
    report, advised = options.output / "report.json", options.output / "advised.toml"
    for path in (report, advised):
        path.unlink(missing_ok=True)
    # A file of its own, as a program of the user's: asyncio-pulse leaves the code of its own package alone.
    shutil.copyfile(Path(__file__).with_name("app.py"), options.output / "service.py")
    run = ("asyncio_pulse", "run")
    services = (
        _Service("plain", "plain.log", ()),
        _Service("nothing changed", "server.log", (*run, "--json", str(report), "--advise", str(advised), "-m")),
        _Service("advised file", "advised.log", (*run, "--quiet", "--config", str(advised), "-m")),
    )
    environment = {CUSTOMERS_VARIABLE: str(customers)}
    phases = [_measure(service, options, environment) for service in services]
    print(f"\n{_table(phases)}\n\n{draw_terminal(phases)}\n")
    print(f"What the second server printed at its end:\n\n{_report_in((options.output / 'server.log').read_text())}\n")
    print(f"The file that it advised, and the third server used, {advised}:\n\n{advised.read_text()}\nFiles:")
    logs = [options.output / service.log for service in services]
    for path in (*_write(options.output, phases, customers), report, advised, *logs, options.output / "service.py"):
        print(f"  {path}")


def _measure(service: _Service, options: argparse.Namespace, environment: dict[str, str]) -> Phase:
    """Run the service as a user would, warm it up, and put it under load."""
    port = find_free_port()
    command = [*service.pulse, *uvicorn_arguments(port, options.loop, "service:app")]
    command += ["--app-dir", str(options.output)]
    print(f"Starting: {' '.join(command).replace('asyncio_pulse run', 'asyncio-pulse run')}")
    log_path = options.output / service.log
    with Server(command, port=port, log_path=log_path, environment=environment) as server:
        print(f"Warmed up: one /report alone took {_time_one_report_ms(port):.0f} ms.")
        before_s = server.cpu_s()
        phase = _load(port, service.name, options.seconds)
        after_s = server.cpu_s()
    if "--advise" in service.pulse and not (options.output / "advised.toml").exists():
        raise DemoError(f"the server left no advice; see {log_path}")
    used_s = None if before_s is None or after_s is None else after_s - before_s
    return dataclasses.replace(phase, cpu_s=used_s)


def _report_in(log: str) -> str:
    """Extract the report from the server's output. Earlier log lines stay in the file."""
    before, heading, report = log.partition(REPORT_HEADING)
    return (heading + report if heading else before).strip()


def _time_one_report_ms(port: int) -> float:
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report") as answer:
        answer.read()
    return (time.perf_counter() - started) * 1e3


def _load(port: int, name: str, seconds: float) -> Phase:
    """Run the load generator once and show its progress."""
    command = [sys.executable, "-m", "asyncio_pulse.demo.load", str(port), "--seconds", str(seconds)]
    command += ["--pings-per-second", str(PINGS_PER_SECOND), "--report-period", str(REPORT_PERIOD_S)]
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


def _table(phases: Sequence[Phase]) -> str:
    """Return what each server answered, the CPU time that it took, and how long `/ping` waited."""
    lines = [
        f"{'':16}{'answered':>17} {'CPU time':>9}   latency of /ping, ms",
        f"{'':16}{'/ping':>8} {'/report':>8} {'s':>9} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}",
    ]
    for phase in phases:
        cpu = "-" if phase.cpu_s is None else f"{phase.cpu_s:.1f}"
        figures = " ".join(f"{latency_ms:8.2f}" for latency_ms in phase.percentiles().values())
        lines.append(f"{phase.name:16}{len(phase.samples):8} {len(phase.report_ms):8} {cpu:>9} {figures}")
    lateness_ms = max(phase.lateness_ms for phase in phases)
    lines.append(f"Counted from the intended time; the generator's own lateness is p99 {lateness_ms:.2f} ms.")
    return "\n".join(lines)


def _write(output: Path, phases: Sequence[Phase], customers: int) -> list[Path]:
    plot_path, result_path = output / "demo.svg", output / "demo.json"
    subtitle = (
        f"{PINGS_PER_SECOND} /ping a second beside one /report every {REPORT_PERIOD_S:g} s; each dot is one /ping"
    )
    plot_path.write_text(draw_svg(phases, title="What one heavy route does to the others", subtitle=subtitle))
    result = {
        "customers": customers,
        "phases": [{**dataclasses.asdict(phase), "percentiles_ms": phase.percentiles()} for phase in phases],
    }
    result_path.write_text(json.dumps(result) + "\n")
    return [plot_path, result_path]
