"""SIGUSR2 asks for a report, and never ends a process of a run, whatever it does at the moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.running import PULSE, environment, run, run_governed, run_plain, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

# Each program sends the signal to a process of its own that is in the state that is meant, and says that it goes on.
ASK = "import os, signal, sys\ndef ask(pid=0): os.kill(pid or os.getpid(), signal.SIGUSR2)\n"
NO_LOOP_YET = """
ask()
print("went on")
import asyncio
ask()
asyncio.run(asyncio.sleep(0))
"""
WITHOUT_ASYNCIO = "ask()\nprint('went on')\n"
AFTER_ITS_LOOP = """
import asyncio
asyncio.run(asyncio.sleep(0))
ask()
print("went on")
"""
LOOP_IN_A_THREAD = """
import asyncio, threading
running, stop = threading.Event(), threading.Event()
async def work():
    running.set()
    while not stop.is_set(): await asyncio.sleep(0.001)
thread = threading.Thread(target=asyncio.run, args=(work(),))
thread.start()
running.wait()
ask()
stop.set()
thread.join()
print("went on")
"""
SUPERVISOR = """
import multiprocessing, time
def child(ready, stop):
    import asyncio
    asyncio.run(asyncio.sleep(0))
    ready.set()
    stop.wait()
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ready, stop = context.Event(), context.Event()
    process = context.Process(target=child, args=(ready, stop))
    process.start()
    ready.wait()
    ask(process.pid)
    ask()
    stop.set()
    process.join()
    print("went on", process.exitcode)
"""
FORKED_WITHOUT_A_LOOP = """
import asyncio
asyncio.run(asyncio.sleep(0))
if os.fork() == 0:
    ask()
    os._exit(0)
print("went on", os.wait()[1])
"""
ANOTHER_PYTHON = """
import subprocess
child = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print('went on', flush=True)"]
subprocess.run(child, check=True)
os.execv(child[0], child)
"""
WHILE_THE_INTERPRETER_ENDS = """
class AtTheEnd:
    def __del__(self, os=os, ask=os.kill, number=signal.SIGUSR2):
        ask(os.getpid(), number)
        os.write(1, b"went on")
kept = AtTheEnd()
"""

PROGRAMS = {
    "no loop yet": (NO_LOOP_YET, 2, 0),
    "without asyncio": (WITHOUT_ASYNCIO, 1, 0),
    "after its loop": (AFTER_ITS_LOOP, 0, 1),
    "loop in a thread": (LOOP_IN_A_THREAD, 0, 1),
    "supervisor fork": (SUPERVISOR, 1, 1),
    "supervisor spawn": (SUPERVISOR, 1, 1),
    "supervisor forkserver": (SUPERVISOR, 1, 1),
    "forked without a loop": (FORKED_WITHOUT_A_LOOP, 1, 0),
    "another Python": (ANOTHER_PYTHON, 2, 0),
    "while the interpreter ends": (WHILE_THE_INTERPRETER_ENDS, 0, 0),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_answers_and_lives(name: str, tmp_path: Path) -> None:
    source, refusals, reports = PROGRAMS[name]
    program = tmp_path / "program.py"
    program.write_text(ASK + source)
    arguments = [program, name.rsplit(maxsplit=1)[-1]]
    # The danger: in plain Python the program, or its child, dies of it.
    assert run_plain(*arguments).stdout in ("", f"went on {signal.SIGUSR2.value}\n")
    ending = run_governed(tmp_path, *arguments)
    assert (ending.code, ending.stderr) == (0, "")
    assert set(ending.stdout.replace(" 0", "").split("\n")) - {""} == {"went on"}
    assert ending.report.count(" has run no event loop so far\n") == refusals
    # One more comes at the end.
    at_the_end = 1 if ending.document is not None and ending.document["processes"] else 0
    assert ending.report.count("asyncio-pulse: 1 process, 1 event loop\n") == reports + at_the_end


def test_what_the_program_makes_of_the_signal_holds(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        ASK + "signal.signal(signal.SIGUSR2, lambda *_: print('its own'))\n"
        "import asyncio\nasyncio.run(asyncio.sleep(0))\nask()\nask()\n"
    )
    ending = run([*PULSE, "run", "--quiet", program])
    assert (ending.code, ending.stdout, ending.report) == (0, "its own\nits own\n", "")
    program.write_text(ASK + "signal.signal(signal.SIGUSR2, signal.SIG_IGN)\nask()\nprint('ignored')\n")
    ending = run([*PULSE, "run", "--quiet", program])
    assert (ending.code, ending.stdout, ending.report) == (0, "ignored\n", "")


def test_a_signal_that_was_ignored_before_the_program_stays_ignored(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(ASK + "ask()\nprint(signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN)\n")
    ignoring = (
        "import os, signal, sys\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])"
    )
    ending = run([sys.executable, "-c", ignoring, *PULSE, "run", "--quiet", program])
    assert (ending.code, ending.stdout, ending.report) == (0, "True\n", "")


def test_children_of_other_programs_have_the_disposition_of_plain_python(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess\nprint(subprocess.run(['sh', '-c', 'kill -USR2 $$; echo went on']).returncode, flush=True)\n"
    )
    assert run_governed(tmp_path, program).own == run_plain(program).own == (0, "-12\n", "")


def test_a_report_while_stderr_is_gone_does_no_harm() -> None:
    source = "import os, signal, time; os.close(2); print('ready', flush=True); time.sleep(30)"
    with started([*PULSE, "run", "-m", "timeit", "-n1", "-r1", source], env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR2)
        time.sleep(0.1)  # two signals at once would be answered in the order of their numbers
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
