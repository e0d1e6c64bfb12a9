"""A build without a compiler fails with one plain line: it names what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="setuptools itself names the missing compiler there")
def test_without_a_compiler_the_build_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", tmp_path, "--build-temp", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path / "bin"), "CC": "/nonexistent/cc", "ASYNCIO_PULSE_BUILD": "release"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: asyncio-pulse needs a C compiler, and /nonexistent/cc was not found: install one (Debian: gcc libc6-dev"
        " python3-dev; macOS: xcode-select --install), or use a wheel: pip install --only-binary :all: asyncio-pulse\n"
    )
