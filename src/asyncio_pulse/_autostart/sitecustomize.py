"""Runs at the start of every Python process below `asyncio-pulse run`, then gives way to the user's own sitecustomize.

Only old syntax is allowed here: a child process may be an older Python, which is left alone.
"""

import os
import sys

_directory = os.path.dirname(__file__)
if sys.version_info >= (3, 11):
    try:
        import asyncio_pulse_autostart  # type: ignore[import-not-found]

        asyncio_pulse_autostart.start()
    except Exception as error:
        sys.stderr.write("asyncio-pulse: this process is not governed: %r\n" % (error,))  # noqa: UP031

# From here on the process is as if asyncio-pulse were absent. Without a sitecustomize of the user's own, this import raises
# the very error that `site` expects, and sys.modules lacks the name, as in a plain interpreter.
sys.path[:] = [_entry for _entry in sys.path if _entry != _directory]
del sys.modules["sitecustomize"]
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
