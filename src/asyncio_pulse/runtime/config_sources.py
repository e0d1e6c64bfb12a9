"""The names by which an operator's configuration is found.

`asyncio-pulse run` reads this module each time, and the settings only if there are any: its import is cheap.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["MODE_VARIABLE", "PROFILE_VARIABLE", "RUN_VARIABLE", "TABLE_NAMES", "find_config_file"]

MODE_VARIABLE = "ASYNCIO_PULSE_MODE"
PROFILE_VARIABLE = "ASYNCIO_PULSE_PROFILE"
RUN_VARIABLE = "ASYNCIO_PULSE_RUN"
"""What `asyncio-pulse run` was asked for, as JSON; `config_path` is the file, absolute, or null."""
FILE_NAME = "pulse.toml"
PROJECT_FILE_NAME = "pyproject.toml"
TABLE_NAMES = ("asyncio-pulse", "asyncio_pulse")
"""Of the table below `[tool]`: the name of the distribution, and that of the package."""


def find_config_file(directory: Path) -> Path | None:
    """Return the file of a directory that the command line uses when it is not told one, or None.

    That is `pulse.toml`, or `pyproject.toml` if it has a table `[tool.asyncio-pulse]`; one that is not TOML has none.
    """
    if (directory / FILE_NAME).is_file():
        return directory / FILE_NAME
    project = directory / PROJECT_FILE_NAME
    if not project.is_file():
        return None
    import tomllib  # most directories hold no project, and would wait for the import

    try:
        tool = tomllib.loads(project.read_text("utf-8")).get("tool")
    except (OSError, ValueError):
        return None
    return project if isinstance(tool, dict) and any(name in tool for name in TABLE_NAMES) else None
