"""The import of a large module, in a coroutine."""

import sys
import tempfile
from pathlib import Path

CLASS = "importing"


def prepare() -> None:
    directory = tempfile.mkdtemp()
    source = "\n".join(
        f"def function_{n}(a, b=({n}, {n})):\n    return [a + b[0] for _ in range({n})]" for n in range(12_000)
    )
    Path(directory, "a_large_module.py").write_text(source)
    sys.path.insert(0, directory)
    sys.dont_write_bytecode = True


async def culprit() -> None:
    import a_large_module  # type: ignore[import-not-found] # noqa: F401  # <- here
