"""What default governing costs unmodified programs: their CPU time, and their neighbours' latency.

Each program of `programs/` does a fixed amount of work. It runs with plain Python, with plain Python once more, and under
`asyncio-pulse run` without any configuration. The second plain run is the control. The difference between two runs of one
program is the noise, and the effect of governing must not exceed it. Only the program's work is timed; the cost of the
start-up is a separate figure.

The three run at the same time on one processor, and begin together. Other load on the machine, which changed the time of
one program by 20 %, then affects them alike, and two plain ones differ by 1 %. Percentiles and elapsed times are therefore
those of a processor shared by three, where each switch of processes costs more than elsewhere. So each also runs alone, in
turn with the others; there the noise is larger.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .method import Figure, on_processor

__all__ = ["GOVERNED", "PLAIN", "measure", "ratios_of", "run_at_once"]

ROUNDS = 3
ALONE_ROUNDS = 5
# Each program does its work so many times, in 0.6 to 3.6 s of CPU: the first offence costs some milliseconds, once.
TIMES = 4
CPU_BOUND = 1.02
TIMEOUT_S = 60
PLAIN = (sys.executable, "-m")
GOVERNED = (sys.executable, "-m", "asyncio_pulse", "run", "--quiet", "-m")
NAMES = (
    "worker_loop",
    "worker_calls",
    "worker_comprehensions",
    "worker_parser",
    "small_offenders",
    "short_steps",
    "blocking_handlers",
    "loops_in_threads",
    "web_service",
    "batch_example",
)
# Compared quantities, and the allowed ratio without noise. The elapsed time has no bound.
ALONE = "CPU time alone"
QUANTITIES = {
    "CPU time": ("cpu_s", CPU_BOUND),
    ALONE: ("cpu_s", CPU_BOUND),
    "neighbours' p50": ("p50_s", 1.0),
    "neighbours' p99": ("p99_s", 1.0),
    "elapsed": ("elapsed_s", None),
}

Sample = Mapping[str, float]


class Running:
    """A program run by a command. After its start-up it waits for `work`."""

    def __init__(self, command: Sequence[str], name: str, times: int) -> None:
        # Allows bytecode files, so that imports are compiled once rather than in every run.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        self._process = subprocess.Popen(
            [*command, "benchmarks.programs", name, str(times)],
            cwd=Path(__file__).parents[1],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Wait for the end of the start-up."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{self._process.args} did not start")

    def work(self) -> None:
        """Start the program's work."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def sample(self) -> Sample:
        """Wait for the end, and return the measurements."""
        output, _ = self._process.communicate(timeout=TIMEOUT_S)
        sample: Sample = json.loads(output)
        return sample

    def stop(self) -> None:
        """Kill the program, and collect what is left of it."""
        self._process.kill()
        self._process.communicate()


def run_at_once(contenders: Mapping[str, Sequence[str]], name: str, times: int = 1) -> dict[str, Sample]:
    """Run a program with each command at the same time, all on one processor, and let them begin together."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Running] = {}
        # A new process inherits the processors of the process that starts it.
        with on_processor(0):
            for contender, command in contenders.items():
                running[contender] = Running(command, name, times)
                stack.callback(running[contender].stop)
        for each in running.values():
            each.wait_until_ready()
        for each in running.values():
            each.work()
        return {contender: each.sample() for contender, each in running.items()}


def ratios_of(rounds: Sequence[Mapping[str, Sample]], contender: str, key: str) -> list[float]:
    """Return a contender's quantity divided by that of plain Python, round by round."""
    return [samples[contender][key] / samples["plain"][key] for samples in rounds]


def _noise_of(ratios: Sequence[float]) -> float:
    """Return the largest difference between two equal runs in a round, in either direction; 0.1 is ten per cent."""
    return max(max(ratio, 1 / ratio) for ratio in ratios) - 1


def _run_alone(contenders: Mapping[str, Sequence[str]], name: str) -> dict[str, Sample]:
    """Run a program with each command, one after the other."""
    return {contender: run_at_once({contender: command}, name)[contender] for contender, command in contenders.items()}


def _figure(name: str, quantity: str, rounds: Sequence[Mapping[str, Sample]]) -> Figure:
    key, allowed = QUANTITIES[quantity]
    control = ratios_of(rounds, "control", key)
    # One after the other, two equal runs differ by up to 20 %, so many rounds are compared by their median.
    noise = _noise_of([statistics.median(control)] if quantity == ALONE else control)
    plain_ms = 1000 * statistics.median(samples["plain"][key] for samples in rounds)
    bound = None if allowed is None else round(allowed + noise, 3)
    note = f"plain {plain_ms:.1f} ms, noise {noise:.1%}"
    return Figure.of(f"{name}: {quantity}", "x", ratios_of(rounds, "governed", key), bound, note)


def measure() -> list[Figure]:
    """Measure every program. The web service needs uvicorn and FastAPI."""
    contenders = {"plain": PLAIN, "governed": GOVERNED, "control": PLAIN}
    backwards = dict(reversed(contenders.items()))
    web = importlib.util.find_spec("uvicorn") and importlib.util.find_spec("fastapi")
    figures: list[Figure] = []
    startups_ms: list[float] = []
    for name in NAMES:
        if name == "web_service" and not web:
            continue
        rounds = [run_at_once(backwards if number % 2 else contenders, name, TIMES) for number in range(ROUNDS)]
        alone = [_run_alone(backwards if number % 2 else contenders, name) for number in range(ALONE_ROUNDS)]
        figures += [_figure(name, quantity, alone if quantity == ALONE else rounds) for quantity in QUANTITIES]
        startups_ms += [1000 * (each["governed"]["startup_s"] - each["plain"]["startup_s"]) for each in rounds]
    return [*figures, Figure.of("start-up, governed beyond plain", "ms", startups_ms)]
