"""Programs run as without us on systems that let them write nothing, and after they gave up their privileges."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import PULSE, environment, run

READ_ONLY = """
for directory in /tmp /var/tmp /usr/tmp /dev/shm; do
    if [ -d "$directory" ]; then mount -t tmpfs -o ro tmpfs "$directory"; fi
done
cd /proc
exec "$@"
"""

WITH_A_CHILD = """
import asyncio, subprocess, sys
print("began", flush=True)
async def work():
    await asyncio.sleep(0)
asyncio.run(work())
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-c", {child!r}], check=True)
    print("ended")
"""

CHILD = "import asyncio; asyncio.run(asyncio.sleep(0)); print('child', flush=True)"

DROPPED = """
import asyncio, os
async def work():
    await asyncio.sleep(0)
if {after}:
    asyncio.run(work())
os.setgid(65534)
os.setuid(65534)
asyncio.run(work())
print("ended as", os.getuid(), flush=True)
"""


def can_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o ro tmpfs /tmp"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="file systems cannot be mounted here")
def test_without_a_place_for_temporary_files_a_program_and_its_children_run() -> None:
    # The program comes on the command line: no file can be written.
    code = f"exec({WITH_A_CHILD.format(child=CHILD)!r})"
    command = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", *PULSE, "run", "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["began", "child", "ended"]
    assert "Traceback" not in done.stderr
    # There is nowhere to leave a report, so the child speaks for itself.
    assert done.stderr.count("1 loop,") == 2, done.stderr


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root has privileges to give up")
@pytest.mark.parametrize("after", [False, True])
def test_a_program_that_gives_up_its_privileges_runs_and_is_reported(after: bool, tmp_path: Path) -> None:
    script = tmp_path / "dropped.py"
    script.write_text(DROPPED.format(after=after))
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    done = run([*PULSE, "run", script])
    assert (done.code, done.stdout) == (0, "ended as 65534\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert "not governed" not in done.stderr
    assert f"{1 + after} loop" in done.report, done.stderr
