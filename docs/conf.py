"""How the documentation is built: `make docs`."""

from importlib.metadata import version as installed_version

project = "asyncio-pulse"
author = "asyncio-pulse contributors"
project_copyright = f"2026, {author}"
release = version = installed_version("asyncio-pulse")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "asyncio-pulse"

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
# The signature of a native class is in its `.pyi`, which autodoc does not read.
autodoc_docstring_signature = True
