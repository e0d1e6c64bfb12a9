"""A subinterpreter governs loops of its own, where that version of Python lets it have asyncio at all."""

from __future__ import annotations

import os
import sys
import textwrap

import asyncio_pulse as pulse

PROGRAM = """
import sys
sys.path[:0] = {path!r}
try:
    import asyncio
except ImportError:
    import os
    os.write({pipe}, b"no asyncio here")
else:
    import asyncio_pulse as pulse
    async def work():
        for _ in range(4):
            await asyncio.sleep(0)
    loop = asyncio.new_event_loop()
    manager = pulse.install(loop=loop)
    loop.run_until_complete(work())
    assert manager.get_metrics().polls == 5, manager.get_metrics()
    pulse.uninstall(loop=loop)
    assert loop.get_task_factory() is None
    loop.close()
    import os
    os.write({pipe}, b"governed")
"""


def run_in_subinterpreter(program: str) -> None:
    if sys.version_info >= (3, 13):
        import _interpreters

        # Not isolated: asyncio's own extension modules need not support more.
        interpreter = _interpreters.create("legacy")
        failure = _interpreters.exec(interpreter, program)
        _interpreters.destroy(interpreter)
        assert failure is None, failure
    else:
        import _xxsubinterpreters

        interpreter = _xxsubinterpreters.create(isolated=False)
        _xxsubinterpreters.run_string(interpreter, program)
        _xxsubinterpreters.destroy(interpreter)


def main() -> None:
    loop = pulse.new_event_loop()
    for _ in range(3):
        reader, writer = os.pipe()
        run_in_subinterpreter(textwrap.dedent(PROGRAM.format(path=sys.path, pipe=writer)))
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            assert answers.read() in (b"governed", b"no asyncio here")

    async def work() -> None:
        pass

    loop.run_until_complete(work())
    assert pulse.get_manager(loop=loop).get_metrics().polls == 1
    pulse.uninstall(loop=loop)
    loop.close()


main()
print("ok")
