"""The text report for a terminal, with rich: the same words, in tables as wide as the window and in colour."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from asyncio_pulse.metrics.model import GroupMetrics, Report

from . import target_lines, text, wording

__all__ = ["render_reports"]


def render_reports(reports: Sequence[Report], worst_count: int) -> str:
    """Format the report of a run with the terminal's control sequences.

    Args:
        reports: One report per process, the main process first; at least one.
        worst_count: Number of worst polls to show, >= 0.

    Returns:
        Text to be written to the terminal unchanged.
    """
    # Rendered to a string, because the caller writes it in one piece, and sys.stderr may be gone.
    console = Console(file=io.StringIO(), force_terminal=True, stderr=True, highlight=False)
    with console.capture() as captured:
        spare_width = max(0, console.width - wording.WIDTH)
        for each in _renderables(reports, worst_count, text.NAME_WIDTH + spare_width):
            console.print(each)
    return captured.get()


def _renderables(reports: Sequence[Report], worst_count: int, name_width: int) -> Iterator[RenderableType]:
    yield Text(text.title(reports), style="bold")
    for report in reports:
        kept = target_lines.target_lines(report)
        if kept:
            yield Text("\n" + kept[0], style="bold yellow")
            yield Text("\n".join(kept[1:]))
        first, *others = text.process_lines(report)
        yield Text(f"\n{first}", style="bold cyan")
        yield Text("\n".join(others) + "\n")
        yield _group_table(report.groups, name_width)
        for heading, records in text.sections(report, worst_count):
            yield Text(f"\n{heading}", style="bold")
            for headline, *details in records:
                yield Text(headline, style="yellow")
                yield Text("\n".join(details), style="dim")


def _group_table(groups: Sequence[GroupMetrics], name_width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(text.GROUP_HEADINGS):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    shown, hidden_count = text.longest_groups(groups)
    for group in shown:
        harmful = group.slow_polls or group.violations
        # Text rather than str, because rich could take parts of a name for markup.
        cells = (Text(cell) for cell in text.group_cells(group, name_width))
        table.add_row(*cells, style="yellow" if harmful else None)
    if hidden_count:
        table.add_row(Text(f"and {hidden_count:,} more"))
    return table
