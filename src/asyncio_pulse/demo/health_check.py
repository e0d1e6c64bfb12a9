"""How late a health check comes beside a crowd of busy tasks: plain, observed and governed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence

from .crowd import TASKS
from .phase import Phase
from .plot import draw_svg
from .progress import Progress
from .server import DemoError, stop_process

__all__ = ["HealthCheck", "check", "draw", "table"]

LONGEST_S = 5.0
PATIENCE_S = 60.0
NAMES = {"plain": "plain asyncio", "act": "with asyncio-pulse"}
"""The modes in the picture. Observing changes nothing, so its dots would cover the plain ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class HealthCheck:
    """What one mode measured."""

    mode: str
    checks: Phase
    put_off: int
    """Steps of the crowd that waited for a later turn of the loop."""

    def figures(self) -> dict[str, float]:
        """Percentiles of the lateness in ms, the number of checks, and the steps that were put off."""
        return {**self.checks.percentiles(), "checks": len(self.checks.samples), "put_off": self.put_off}


def check(mode: str, seconds: float, loop: str) -> HealthCheck:
    """Run the crowd and the health check in a process of their own.

    Args:
        mode: One of `crowd.MODES`.
        seconds: Duration after a warm-up; at most 5 are used.
        loop: `asyncio` or `uvloop`.

    Raises:
        DemoError: The process failed or did not end.
    """
    seconds = min(seconds, LONGEST_S)
    command = [sys.executable, "-m", "asyncio_pulse.demo.crowd", mode, "--seconds", str(seconds), "--loop", loop]
    with Progress(f"health check, {mode}", seconds) as progress:
        progress.show(0.0)
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            output, _ = child.communicate(timeout=seconds + PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the crowd did not end in mode {mode}") from None
        finally:
            stop_process(child)
        progress.show(seconds)
    if child.returncode:
        raise DemoError(f"the crowd ended with code {child.returncode} in mode {mode}")
    result = json.loads(output)
    return HealthCheck(
        mode,
        Phase(NAMES.get(mode, mode), tuple((at_s, late_ms) for at_s, late_ms in result["checks"])),
        result["put_off"],
    )


def table(checks: Sequence[HealthCheck]) -> str:
    """Lines of text, one for each mode."""
    lines = [
        f"A health check every 10 ms beside {TASKS} tasks that compute 10 ms and yield:",
        f"{'late by ms':10} {'checks':>7} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}  steps put off",
    ]
    for each in checks:
        figures = each.figures()
        numbers = " ".join(f"{figures[name]:8.1f}" for name in ("p50", "p90", "p99", "max"))
        lines.append(f"{each.mode:10} {figures['checks']:7} {numbers}  {each.put_off}")
    return "\n".join(lines)


def draw(checks: Sequence[HealthCheck]) -> str:
    """Return a picture of the plain and the governed checks as an SVG document."""
    return draw_svg(
        [each.checks for each in checks if each.mode in NAMES],
        title="A health check beside twenty busy tasks",
        subtitle="due every 10 ms; each dot is one check: how late it came",
    )
