"""Names of the environment variables, files and tables of an operator's configuration.

`asyncio-pulse run` always imports this module, and the settings only if a configuration exists, so this import is cheap.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["MODE_VARIABLE", "PROFILE_VARIABLE", "RUN_VARIABLE", "TABLE_NAMES", "TARGET_VARIABLE", "find_config_file"]

MODE_VARIABLE = "ASYNCIO_PULSE_MODE"
PROFILE_VARIABLE = "ASYNCIO_PULSE_PROFILE"
TARGET_VARIABLE = "ASYNCIO_PULSE_TARGET"
RUN_VARIABLE = "ASYNCIO_PULSE_RUN"
"""The options of `asyncio-pulse run`, as JSON. `config_path` is the absolute path of the file, or null."""
FILE_NAME = "pulse.toml"
PROJECT_FILE_NAME = "pyproject.toml"
TABLE_NAMES = ("asyncio-pulse", "asyncio_pulse")
"""Possible names of the table below `[tool]`: those of the distribution and of the package."""


def find_config_file(directory: Path) -> Path | None:
    """Return the configuration file of a directory that the command line uses by default, or None.

    This is `pulse.toml`, or else `pyproject.toml` if it has a table `[tool.asyncio-pulse]`. A file that is not TOML has no
    table.
    """
    if (directory / FILE_NAME).is_file():
        return directory / FILE_NAME
    project = directory / PROJECT_FILE_NAME
    if not project.is_file():
        return None
    import tomllib  # imported late, because most directories hold no project

    try:
        tool = tomllib.loads(project.read_text("utf-8")).get("tool")
    except (OSError, ValueError):
        return None
    return project if isinstance(tool, dict) and any(name in tool for name in TABLE_NAMES) else None
