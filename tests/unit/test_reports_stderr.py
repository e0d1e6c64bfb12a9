"""A report reaches standard error whole, whatever the program made of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# The reader begins when the pipe is full, and a megabyte fills it many times over.
NON_BLOCKING = """
import os, select, threading
from asyncio_pulse.runtime.stderr import write_stderr

reading, writing = os.pipe()
os.dup2(writing, 2)
os.close(writing)
os.set_blocking(2, False)
sizes = []

def read():
    while select.select([], [2], [], 0)[1]:
        pass
    while part := os.read(reading, 4096):
        sizes.append(len(part))

reader = threading.Thread(target=read)
reader.start()
write_stderr("x" * 1_000_000)
os.close(2)
reader.join()
print(sum(sizes))
"""

WITHOUT_READER = """
import os
from asyncio_pulse.runtime.stderr import write_stderr

reading, writing = os.pipe()
os.dup2(writing, 2)
os.close(reading)
write_stderr("x")
os.close(2)
write_stderr("x")
print("unharmed")
"""

# More than a pipe holds, blocking, and nobody reads: plain Python would hang here for ever.
WITHOUT_READING = """
import os
from asyncio_pulse.runtime import stderr

stderr.PATIENCE_S = 0.1
reading, writing = os.pipe()
os.dup2(writing, 2)
stderr.write_stderr("x" * 1_000_000)
print("went on")
"""


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=False, stdout=subprocess.PIPE, text=True, timeout=60
    ).stdout


@pytest.mark.skipif(os.name != "posix", reason="non-blocking pipes")
def test_a_pipe_that_the_program_made_non_blocking_gets_all_of_it() -> None:
    assert run(NON_BLOCKING) == "1000000\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_reader_that_stopped_reading_holds_nobody_up() -> None:
    assert run(WITHOUT_READING) == "went on\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_pipe_without_a_reader_and_a_closed_descriptor_do_no_harm() -> None:
    assert run(WITHOUT_READER) == "unharmed\n"


def test_what_no_encoding_knows_is_written_as_an_escape() -> None:
    code = "from asyncio_pulse.runtime.stderr import write_stderr; write_stderr('\\udc80\\u00e9')"
    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE, timeout=60)
    assert done.stderr == b"\\udc80\xc3\xa9"
