"""Nothing of ours runs or prints while the interpreter ends, whatever way a loop came to be governed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SET_LOOP = """
loop = {new_loop}
asyncio.set_event_loop(loop)
loop.run_until_complete(asyncio.sleep(0))
{close}
"""

ENDINGS = {
    # As web.run_app of aiohttp leaves it: closed, and still the current loop of the policy.
    "closed and set": SET_LOOP.format(new_loop="pulse.new_event_loop()", close="loop.close()"),
    "open and set": SET_LOOP.format(new_loop="pulse.new_event_loop()", close=""),
    "closed and set, uvloop": SET_LOOP.format(new_loop="pulse.new_uvloop_event_loop()", close="loop.close()"),
    "open and set, uvloop": SET_LOOP.format(new_loop="pulse.new_uvloop_event_loop()", close=""),
    "pulse.run": "pulse.run(asyncio.sleep(0))",
    "installed inside asyncio.run": """
from asyncio_pulse.lowlevel import PreemptionHooks
async def main():
    global manager
    manager = pulse.install()
    manager.hooks.register(Hook())
    stream = manager.events()
    await asyncio.gather(*(pulse.spawn(asyncio.sleep(0), group="g") for _ in range(3)))

class Hook(PreemptionHooks):
    def on_tier_change(self, change, **kwargs): pass

asyncio.run(main())
""",
    "a loop in a cycle that lives until the end": """
import sys
loop = pulse.new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
loop.own = loop
sys.kept = [loop, pulse.get_manager(loop=loop)]
""",
    "a manager of no loop": "manager = pulse.TierManager()",
    "a loop of a daemon thread": """
import threading
ready = threading.Event()
async def main():
    ready.set()
    await asyncio.sleep(3600)
threading.Thread(target=lambda: pulse.run(main()), daemon=True).start()
ready.wait()
""",
    "sys.exit inside a task": """
import sys
async def main():
    sys.exit(0)
pulse.run(main())
""",
    "governed by run": """
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(asyncio.sleep(0))
loop.close()
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_without_a_word(ending: str, tmp_path: Path) -> None:
    if "uvloop" in ending:
        pytest.importorskip("uvloop")
    script = tmp_path / "program.py"
    script.write_text("import asyncio\nimport asyncio_pulse as pulse\n" + ENDINGS[ending])
    launcher = ["-m", "asyncio_pulse", "run", "--quiet"] if ending == "governed by run" else []
    command = [sys.executable, *launcher, str(script)]
    # No trace function, and the program's own warnings as it would see them.
    left_out = ("COVERAGE_", "PYTHONWARNINGS", "PYTHONDEVMODE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
