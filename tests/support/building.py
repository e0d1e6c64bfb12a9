"""Compiles what the tests need of the Python-free parts of the core."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
C_TESTS = ROOT / "tests" / "native"
NATIVE = ROOT / "src" / "asyncio_pulse" / "_native"

COMPILER = os.environ.get("CC", "gcc")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def environment() -> dict[str, str]:
    """Give the environment without a preloaded sanitizer: neither the compiler nor its product is the interpreter."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def compile_c(output: Path, *sources: Path, shared: bool = False) -> Path:
    """Compile C sources into a program, sanitized where the core is, or into a shared object."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed")
    options = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-g", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}"]
    if shared:
        options += ["-shared", "-fPIC"]
    elif os.environ.get("ASYNCIO_PULSE_BUILD") == "sanitize":
        options += SANITIZERS
    done = subprocess.run(
        [COMPILER, *options, *map(str, sources), "-o", str(output)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output
