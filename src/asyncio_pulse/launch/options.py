"""What the user asked of `asyncio-pulse run`, as the command tells it to the processes below it.

The command and these processes talk through two environment variables, because only the environment reaches every Python
process however it is started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from asyncio_pulse.runtime.config_sources import RUN_VARIABLE

__all__ = ["MAIN_PID_VARIABLE", "OPTIONS_VARIABLE", "RunOptions", "count_child_faults"]

OPTIONS_VARIABLE = RUN_VARIABLE
MAIN_PID_VARIABLE = "ASYNCIO_PULSE_MAIN_PID"


class RunOptions(NamedTuple):
    """What the user asked for, as every process of the run needs it; paths are absolute."""

    main_pid: int
    """The process that prints the report and writes the JSON file."""
    spool_directory: str
    """Where the other processes leave their reports for it; empty if there is no such place."""
    spool_token: str = ""
    """What tells their reports from files of strangers."""
    config_path: str | None = None
    json_path: str | None = None
    quiet: bool = False
    """No text report at the end."""
    worst_count: int = 10
    """How many worst polls the text shows, >= 0."""
    child_faults: int = 0
    """How many page faults children had before the program began: an interpreter may have been asked for its version."""
    starts_off: bool = False
    """The file says at the start that the mode is "off": then no signal is taken before a loop is governed."""

    def to_environment(self) -> dict[str, str]:
        """Write the variables that `from_environment` reads."""
        fields = self._asdict()
        main_pid = fields.pop("main_pid")
        return {OPTIONS_VARIABLE: json.dumps(fields), MAIN_PID_VARIABLE: str(main_pid)}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RunOptions:
        """Read what the command wrote.

        Raises:
            KeyError: The process was not started by `asyncio-pulse run`.
            ValueError: The program changed the variables.
            TypeError: Likewise.
        """
        fields = json.loads(environment[OPTIONS_VARIABLE])
        return cls(main_pid=int(environment[MAIN_PID_VARIABLE]), **fields)


def count_child_faults() -> int:
    """How many page faults the children had that this process has waited for: each child adds some."""
    try:
        import resource
    except ImportError:
        # Windows has none; and who gave up his privileges may not be able to read the standard library any more.
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
