"""A real Jupyter kernel: a cell that only calls `install()` governs the loop that runs the cells."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "import asyncio, asyncio_pulse as pulse\nmanager = pulse.install()",
    "async def job():\n    await asyncio.sleep(0)\nfor _ in range(5):\n    await asyncio.create_task(job())",
    "print(next(group.polls for group in manager.groups() if group.name == 'job'))",
    "pulse.uninstall(); print(manager.groups() is not None)",
]


# The kernel's own libraries warn of each other.
@pytest.mark.filterwarnings("ignore")
def test_a_cell_governs_the_loop_of_its_kernel() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    printed = ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]
    assert printed[2].splitlines()[-1] == "10"
    assert printed[3].splitlines()[-1] == "True"
