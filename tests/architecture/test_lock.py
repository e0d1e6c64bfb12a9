"""The lock of the runtime is held in blocks only, and what is to be told is told after each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src" / "asyncio_pulse").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_who_holds_the_lock_tells_afterwards(path: Path) -> None:
    text = path.read_text()
    assert not re.findall(r"^ +with (?!AFTERWARDS, ).*\bLOCK\b.*", text, re.MULTILINE)
    assert text.count("LOCK.acquire") <= text.count("with AFTERWARDS:")
