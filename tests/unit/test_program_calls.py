"""Lines of advice that are read from the program's source, and that can be pasted."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from asyncio_pulse.metrics.model import StackFrame
from asyncio_pulse.reports.counterparts import _BY_LINE, _BY_MODULE
from asyncio_pulse.reports.imports import import_line
from asyncio_pulse.reports.program_calls import called_in, moved_call

PACKAGES = str(Path(os.__file__).parent / "site-packages")
ROUTE = StackFrame("report", "/srv/app/routes.py", 40)
SOURCE = """\
@decorated
async def handler(rows):
    note = '''
a string'''
    return await send(
        render(rows,
               indent=2))

class Page:
    async def show(self):
        return len(self.encoder.encode(self.text))

    def fill(self):
        for each in re.finditer("a", "b"): pass
"""


def frame_at(directory: Path, function: str, line: int) -> StackFrame:
    path = directory / "app.py"
    path.write_text(SOURCE)
    return StackFrame(function, str(path), line)


def test_the_call_to_move_is_read_from_the_source(tmp_path: Path) -> None:
    handler, show, fill = (frame_at(tmp_path, *at) for at in (("handler", 6), ("Page.show", 11), ("Page.fill", 14)))
    render = StackFrame("render", f"{PACKAGES}/pages/render.py", 5)
    call = moved_call((render, handler))
    assert call is not None
    assert call.in_thread() == "await asyncio.to_thread(render, rows, indent=2)"
    assert call.in_process() == "await loop.run_in_executor(process_pool, functools.partial(render, rows, indent=2))"
    call = moved_call((show,))
    assert call is not None
    assert call.in_thread() == "await asyncio.to_thread(self.encoder.encode, self.text)"
    # It is not the program's line that calls this, and a plain function cannot await.
    assert moved_call((StackFrame("other", render.filename, 5), handler)) is None
    assert moved_call((fill,)) is None
    assert [found.name for found in called_in(fill)] == ["finditer"]
    # What is awaited gives way by itself.
    assert [found.name for found in called_in(handler)] == ["render"]


def test_an_import_is_given_as_a_line(tmp_path: Path) -> None:
    importer = StackFrame("_load", "<frozen importlib._bootstrap>", 9)
    inner, outer = (StackFrame("<module>", f"{PACKAGES}/{name}", 3) for name in ("heavy/types.py", "heavy/__init__.py"))
    function = StackFrame("Client.beta", f"{PACKAGES}/heavy/client.py", 3)
    assert import_line((inner, importer, outer, importer, function, ROUTE)) == "import heavy"
    source = tmp_path / "app.py"
    source.write_text("def f():\n    from heavy import types  # late\n")
    assert import_line((outer, importer, StackFrame("f", str(source), 2), ROUTE)) == "from heavy import types"
    assert import_line((importer, ROUTE)) == ""


def test_every_counterpart_can_be_pasted() -> None:
    for line in {*_BY_MODULE.values(), *(line for _, line in _BY_LINE)}:
        ast.parse(line.replace("{}", "..."))
