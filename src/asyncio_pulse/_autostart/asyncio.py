"""Stands in for asyncio when another tool's sitecustomize, such as opentelemetry-instrument's, is found in place of ours.

Our directory is then still on the path, before the standard library. This module starts what our sitecustomize would have
started, and gives way to asyncio itself. Usually it is not found, because our sitecustomize takes the directory off the
path.
"""

import os
import sys

_directory = os.path.dirname(__file__)
if sys.version_info >= (3, 11) and not sys.flags.no_site:
    try:
        import asyncio_pulse_autostart  # type: ignore[import-not-found]

        asyncio_pulse_autostart.start()
    except Exception as error:
        sys.stderr.write("asyncio-pulse: this process is not governed: %r\n" % (error,))  # noqa: UP031

sys.path[:] = [_entry for _entry in sys.path if _entry != _directory]
del sys.modules["asyncio"]
import asyncio  # noqa: E402, F401 - the real one, whose module the import system hands out instead of this
