"""The options of `asyncio-pulse run`, as the command passes them to the processes below it.

They travel in two environment variables, because only the environment reaches every Python process, however the process is
started.
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
    """The options of a run that every process of it needs. Paths are absolute."""

    main_pid: int
    """The process that prints the report and writes the JSON file."""
    spool_directory: str
    """The directory where other processes leave their reports; empty if there is none."""
    spool_token: str = ""
    """A secret that marks reports of this run among other files."""
    config_path: str | None = None
    json_path: str | None = None
    advice_path: str | None = None
    """Where the advice is written as a configuration."""
    quiet: bool = False
    """Whether to omit the text report at the end."""
    worst_count: int = 10
    """Number of worst polls that the text shows, >= 0."""
    routes: bool = True
    """Whether the applications of known servers are wrapped, so that their routes have names."""
    child_faults: int = 0
    """Page faults of children from before the program began, for example of an interpreter that printed its version."""
    starts_off: bool = False
    """Whether the file sets the mode "off" at the start. Then no signal is taken before a loop is governed."""

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `from_environment` reads."""
        fields = self._asdict()
        main_pid = fields.pop("main_pid")
        return {OPTIONS_VARIABLE: json.dumps(fields), MAIN_PID_VARIABLE: str(main_pid)}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RunOptions:
        """Read the variables that the command wrote.

        Raises:
            KeyError: The process was not started by `asyncio-pulse run`.
            ValueError: The program changed the variables.
            TypeError: Likewise.
        """
        fields = json.loads(environment[OPTIONS_VARIABLE])
        return cls(main_pid=int(environment[MAIN_PID_VARIABLE]), **fields)


def count_child_faults() -> int:
    """Return the page faults of the children that this process has waited for. Each child adds some."""
    try:
        import resource
    except ImportError:
        # Windows lacks the module. A process that gave up its privileges may no longer be able to read the standard
        # library.
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
