"""What the operator gives to a program: a file, a profile, a mode. Code that asks for nothing gets it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.running import PULSE, environment, run, run_governed

PLAIN = environment(ASYNCIO_PULSE_MODE="", ASYNCIO_PULSE_PROFILE="")

WAYS = """\
import asyncio, sys
import asyncio_pulse as pulse

def show(way, manager):
    config = manager.config
    print(way, config.max_groups, config.mode, config.max_tier.name, config.audit_size)

async def main(way):
    show(way, pulse.get_manager())

async def installs():
    show("install", pulse.install())
    pulse.get_manager().update_config(None)
    show("update", pulse.get_manager())

show("by hand", pulse.TierManager())
pulse.run(main("run"))
asyncio.run(installs())
for name in sys.argv[1:]:
    with asyncio.Runner(loop_factory=getattr(pulse, name)) as runner:
        runner.run(main(name))
async def asks():
    pulse.install(pulse.TierConfig(max_groups=99))
    show("code", pulse.get_manager())
asyncio.run(asks())
pulse.run(main("argument"), config=pulse.TierConfig(max_groups=98))
"""
FACTORIES = ("new_event_loop", "new_uvloop_event_loop")

SEEN = """\
import asyncio, os, signal, sys
import asyncio_pulse as pulse

async def main():
    loop = asyncio.get_running_loop()
    threads = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else [1]
    signals = [signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGUSR2", "SIGHUP", "SIGURG")]
    print(pulse.get_manager().config.mode, loop.get_task_factory(), type(loop._selector._selector).__name__,
          len(threads), {signal.SIG_DFL} == set(signals), pulse.current().group)

asyncio.run(main())
pulse.run(main())
"""
OFF_SEEN = "off None epoll 1 True \n" * 2


def shown(tmp_path: Path, *options: str | Path, **variables: str) -> dict[str, list[str]]:
    """Run the program, and give what each way of asking for nothing, and of asking for something, got."""
    pytest.importorskip("uvloop")
    (tmp_path / "ways.py").write_text(WAYS)
    command = [*PULSE, "run", "--quiet", *options, "ways.py", *FACTORIES]
    ending = run(command, cwd=tmp_path, env={**PLAIN, **variables})
    assert (ending.code, ending.stderr) == (0, "")
    rows = [line.rsplit(" ", 4) for line in ending.stdout.splitlines()]
    return {way: values for way, *values in rows}


@pytest.mark.parametrize("way", ["named", "found"])
def test_whoever_asks_for_nothing_gets_the_file(way: str, tmp_path: Path) -> None:
    path = tmp_path / ("own.toml" if way == "named" else "pulse.toml")
    path.write_text('mode = "observe"\nmax_groups = 77\nmax_tier = "warn"\n')
    rows = shown(tmp_path, *(["--config", path] if way == "named" else []), ASYNCIO_PULSE_PROFILE="permissive")
    assert rows.pop("code")[0] == "99"
    assert rows.pop("argument")[0] == "98"
    assert set(rows) == {"by hand", "run", "install", "update", *FACTORIES}
    assert {" ".join(values) for values in rows.values()} == {"77 observe WARN 1024"}


def test_the_mode_of_the_environment_is_above_code_and_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('mode = "off"\nmax_groups = 77\n')
    rows = shown(tmp_path, "--config", "own.toml", ASYNCIO_PULSE_MODE="Observe")
    assert {values[1] for values in rows.values()} == {"observe"}
    assert rows["argument"][0] == "98"


def test_the_profile_of_the_environment_reaches_code_that_asks_for_nothing(tmp_path: Path) -> None:
    program = (
        "import asyncio_pulse as pulse\n"
        "async def main(): print(pulse.get_manager().config.idle_decay_ms)\n"
        "pulse.run(main())\n"
        "pulse.run(main(), config='balanced')\n"
    )
    variables = {**PLAIN, "ASYNCIO_PULSE_PROFILE": "permissive"}
    for command in ([sys.executable, "-c", program], [*PULSE, "run", "--quiet", "program.py"]):
        (tmp_path / "program.py").write_text(program)
        assert run(command, cwd=tmp_path, env=variables).own == (0, "5000\n10000\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.parametrize("content", ["max_groups = 12", "max_groups = 1", 'mode = "off"'], ids=["new", "bad", "off"])
def test_a_forked_worker_reads_the_file_at_its_own_start(content: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, os\n"
        "import asyncio_pulse as pulse\n"
        "async def main():\n"
        "    config = pulse.get_manager().config\n"
        "    print(config.max_groups, config.mode, asyncio.get_running_loop()._selector._selector, flush=True)\n"
        "asyncio.run(main())\n"
        "open('own.toml', 'w').write(os.environ['CONTENT'])\n"
        "if os.fork() == 0:\n"
        "    asyncio.run(main())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    (tmp_path / "own.toml").write_text("max_groups = 11\n")
    command = [*PULSE, "run", "--quiet", "--config", "own.toml", program]
    ending = run(command, cwd=tmp_path, env={**PLAIN, "CONTENT": content})
    assert ending.code == 0
    master, worker = ending.stdout.splitlines()
    assert master.startswith("11 act <asyncio_pulse._core.SelectWatch")
    expected = {
        "max_groups = 12": "12 act <asyncio_pulse._core.SelectWatch",
        "max_groups = 1": "11 act <asyncio_pulse._core.SelectWatch",
        'mode = "off"': "1024 off <select.epoll",
    }
    assert worker.startswith(expected[content])
    said = "max_groups must be a whole number from 8 to 65536, got 1; what it said before goes on\n"
    assert ending.report.endswith(said) if content == "max_groups = 1" else ending.report == ""


# A mistake stops nothing.


@pytest.mark.skipif(sys.platform != "linux", reason="epoll, and how many threads there are")
@pytest.mark.parametrize("mode", ["off", "OFF", "0", "false", "nonsense"])
@pytest.mark.parametrize("way", ["run", "plain"])
def test_the_kill_switch_installs_nothing(mode: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "bad.toml").write_text("max_groups = 1\n")
    report = tmp_path / "report.json"
    runs = [*PULSE, "run", "--config", "bad.toml", "--json", report, "seen.py"]
    variables = {**PLAIN, "ASYNCIO_PULSE_MODE": mode}
    command = runs if way == "run" else [sys.executable, "seen.py"]
    ending = run(command, json_path=report, cwd=tmp_path, env=variables)
    assert (ending.code, ending.stdout, ending.stderr) == (0, OFF_SEEN, "")
    said = (
        ""
        if mode.lower() == "off"
        else (
            f"asyncio-pulse pid #: ASYNCIO_PULSE_MODE must be one of off, observe, act, got '{mode}'; the mode is off\n"
        )
    )
    at_start = "asyncio-pulse: the mode is off: nothing is measured, and nothing acts\n" if way == "run" else ""
    assert re.sub("pid [0-9]+", "pid #", ending.report) == said + at_start
    if way == "run":
        assert ending.document is not None
        assert ending.document["processes"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="epoll, and how many threads there are")
def test_off_in_the_file_installs_nothing_either(tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "own.toml").write_text('mode = "off"\n')
    ending = run_governed(tmp_path, "--config", "own.toml", "seen.py", cwd=tmp_path, env=PLAIN)
    assert (ending.code, ending.stdout, ending.stderr) == (0, OFF_SEEN, "")
    assert ending.report == "asyncio-pulse: the mode is off, so nothing was measured\n"


def test_children_of_a_program_that_is_switched_off_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pulse.toml").write_text("max_groups = 1\n")
    program = tmp_path / "program.py"
    program.write_text(
        "import os, subprocess, sys\n"
        "print(os.environ['ASYNCIO_PULSE_MODE'], 'ASYNCIO_PULSE_RUN' in os.environ, flush=True)\n"
        "if not sys.argv[1:]: subprocess.run([sys.executable, __file__, 'child'])\n"
    )
    ending = run([*PULSE, "run", program], cwd=tmp_path, env=PLAIN)
    assert (ending.code, ending.stdout, ending.stderr) == (0, "off False\n" * 2, "")
    first, second = ending.report.splitlines()
    assert "pulse.toml: invalid configuration: max_groups must be" in first
    assert "the mode is off" in second


def test_a_file_that_was_named_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("max_groups = 1\n")
    (tmp_path / "program.py").write_text("print('ran')\n")
    ending = run([*PULSE, "run", "--config", "own.toml", "program.py"], cwd=tmp_path, env=PLAIN)
    assert (ending.code, ending.stdout, ending.report.count("\n")) == (2, "", 1)


def test_a_profile_that_is_none_keeps_nothing_from_starting(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import asyncio\nasyncio.run(asyncio.sleep(0))\nprint('ran')\n")
    variables = {**PLAIN, "ASYNCIO_PULSE_PROFILE": "gentle"}
    ending = run([*PULSE, "run", "--quiet", "program.py"], cwd=tmp_path, env=variables)
    assert ending.own == (0, "ran\n", "")
    assert ending.report.count("\n") == 1
    assert "'gentle'; the defaults hold" in ending.report


# Log records read well where nobody configured logging.


def test_a_record_says_who_speaks_and_what_is_only_observed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, time\n"
        "import asyncio_pulse as pulse\n"
        "async def main():\n"
        "    for _ in range(8):\n"
        "        end = time.perf_counter() + 0.02\n"
        "        while time.perf_counter() < end: pass\n"
        "        await asyncio.sleep(0)\n"
        "pulse.run(main())\n"
    )
    for mode in ("act", "observe"):
        done = run([sys.executable, program], env={**PLAIN, "ASYNCIO_PULSE_MODE": mode})
        lines = [line for line in (done.stderr + done.report).splitlines() if "Monitor to Warn" in line]
        assert lines
        assert all(line.startswith("asyncio-pulse pid ") for line in lines)
        assert all(line.endswith("(only observed)") == (mode == "observe") for line in lines)


SWITCHING = """\
import asyncio
import asyncio_pulse as pulse

def own(loop, coro, **options): return asyncio.Task(coro, loop=loop, **options)

class Own(asyncio.SelectorEventLoop):
    def set_task_factory(self, factory): super().set_task_factory(factory)

async def main(factory):
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    real = asyncio.BaseEventLoop.get_task_factory.__wrapped__
    switch = pulse.get_manager().set_mode
    for step in (lambda: switch("act"), lambda: switch("off"), lambda: switch("act"), pulse.uninstall):
        step()
        task = asyncio.create_task(asyncio.sleep(0))
        print(type(task.get_coro()).__name__, loop.get_task_factory() is factory, real(loop) is factory)
        await task

for factory in (None, own):
    for make in (asyncio.new_event_loop, Own):
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main(factory))
"""


def test_a_mode_that_comes_to_be_off_takes_the_hidden_factory_away(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SWITCHING)
    ending = run([*PULSE, "run", "--quiet", "program.py"], cwd=tmp_path, env=PLAIN)
    seen = ["GovernedCoroutine True False", "coroutine True True"] * 2
    assert (ending.code, ending.stdout.splitlines(), ending.stderr) == (0, seen * 4, "")


CODE_FIRST = """\
import asyncio, os, signal
import asyncio_pulse as pulse
from asyncio_pulse.config import TierPolicyBuilder

async def main(step):
    manager = pulse.get_manager()
    step(manager)
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(0)
    print(manager.config.mode, manager.config.tier_policies[0].promotion_threshold)

policy = TierPolicyBuilder(0).promotion_violations(77).build()
asyncio.run(main(lambda manager: manager.set_mode("off")))
asyncio.run(main(lambda manager: manager.update_tier_policy(0, policy)))
asyncio.run(main(lambda manager: (manager.set_mode("off"), manager.update_config(None))))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_what_code_has_changed_goes_before_the_file_that_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CODE_FIRST)
    (tmp_path / "pulse.toml").write_text('mode = "observe"\n')
    ending = run([*PULSE, "run", "--quiet", "program.py"], cwd=tmp_path, env=PLAIN)
    assert ending.own == (0, "off 5\nobserve 77\nobserve 5\n", "")
