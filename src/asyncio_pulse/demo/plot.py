"""Latency over time: as characters for a terminal, and as a small SVG file.

Both have a logarithmic latency axis, because the calm and the storm are two orders of magnitude apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from .phase import Phase

__all__ = ["Scale", "draw_svg", "draw_terminal"]

BLOCKS = " ▁▂▃▄▅▆▇█"
COLUMNS = 68
ROWS_PER_DECADE = 2

# Vermilion, blue and green of Okabe and Ito, distinguishable with every kind of colour vision.
COLORS = ("#d55e00", "#0072b2", "#009e73")
WIDTH, HEIGHT = 960, 460
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 130, 56
GAP = 22


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """The axes that the phases share. The latency axis covers whole decades."""

    seconds: float
    low_ms: float
    high_ms: float

    @classmethod
    def around(cls, phases: Sequence[Phase]) -> Scale:
        """Return axes that fit every sample of every phase."""
        latencies = [max(latency_ms, 1e-3) for phase in phases for _, latency_ms in phase.samples]
        low = math.floor(math.log10(min(latencies)))
        high = max(low + 1, math.ceil(math.log10(max(latencies))))
        seconds = max(intended_s for phase in phases for intended_s, _ in phase.samples)
        return cls(max(seconds, 1e-3), 10.0**low, 10.0**high)

    def decades(self) -> list[float]:
        """Return the labelled latencies, ascending."""
        low, high = round(math.log10(self.low_ms)), round(math.log10(self.high_ms))
        return [10.0**exponent for exponent in range(low, high + 1)]

    def height(self, latency_ms: float) -> float:
        """Return the position of a latency between the lowest (0.0) and the highest (1.0)."""
        ratio = math.log(max(latency_ms, self.low_ms) / self.low_ms) / math.log(self.high_ms / self.low_ms)
        return min(1.0, ratio)

    def second_ticks(self) -> list[int]:
        """Return whole seconds to label: at most ten, in steps of 1, 2 or 5 times a power of ten."""
        steps = (factor * 10**exponent for exponent in range(9) for factor in (1, 2, 5))
        step = next(step for step in steps if self.seconds / step <= 10)
        return list(range(0, math.floor(self.seconds) + 1, step))


def _label(latency_ms: float) -> str:
    return f"{latency_ms / 1e3:g} s" if latency_ms >= 1e3 else f"{latency_ms:g} ms"


def draw_terminal(phases: Sequence[Phase]) -> str:
    """Draw one panel per phase, 78 columns wide: the slowest request of each slice of time as a bar.

    Returns:
        Lines without a trailing newline.
    """
    scale = Scale.around(phases)
    return "\n\n".join("\n".join(_panel(phase, scale)) for phase in phases)


def _panel(phase: Phase, scale: Scale) -> Iterator[str]:
    slowest_ms = [0.0] * COLUMNS
    for intended_s, latency_ms in phase.samples:
        column = min(COLUMNS - 1, int(intended_s / scale.seconds * COLUMNS))
        slowest_ms[column] = max(slowest_ms[column], latency_ms)
    decades = scale.decades()
    rows = ROWS_PER_DECADE * (len(decades) - 1)
    # Every bar is visible: even the fastest request gets one eighth of a row.
    eighths = [max(1, round(scale.height(ms) * rows * 8)) if ms else 0 for ms in slowest_ms]
    # The label of a decade is at the upper edge of its row. The lowest decade is the axis below the rows.
    labels = {ROWS_PER_DECADE * number - 1: _label(ms) for number, ms in enumerate(decades)}
    yield f"{'':9} {phase.name}: slowest request"
    for row in reversed(range(rows)):
        bars = "".join(BLOCKS[min(8, max(0, count - 8 * row))] for count in eighths)
        yield f"{labels.get(row, ''):>8} {'┤' if row in labels else '│'}{bars}".rstrip()
    axis, numbers = ["─"] * COLUMNS, [" "] * (COLUMNS + 6)
    for second in scale.second_ticks():
        column = min(COLUMNS - 1, int(second / scale.seconds * COLUMNS))
        axis[column] = "┬"
        numbers[column : column + len(f"{second} s")] = f"{second} s"
    yield f"{labels[-1]:>8} └{''.join(axis)}"
    yield f"{'':10}{''.join(numbers).rstrip()}"


def draw_svg(phases: Sequence[Phase], *, title: str, subtitle: str) -> str:
    """Draw one panel per phase, side by side: each request is a dot, intended time across, latency up.

    Returns:
        The text of a stand-alone SVG document.
    """
    scale = Scale.around(phases)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="system-ui, sans-serif" font-size="13" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="28" font-size="18" font-weight="600" fill="#111">{escape(title)}</text>',
        f'<text x="{LEFT}" y="48" fill="#666">{escape(subtitle)}</text>',
        *_latency_axis(scale),
    ]
    width = (WIDTH - LEFT - RIGHT - GAP * (len(phases) - 1)) / len(phases)
    for number, phase in enumerate(phases):
        color = COLORS[number % len(COLORS)]
        parts.extend(_svg_panel(phase, scale, LEFT + number * (width + GAP), width, color))
    return "\n".join([*parts, "</svg>", ""])


def _svg_panel(phase: Phase, scale: Scale, left: float, width: float, color: str) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    yield f'<text x="{left:.0f}" y="78" font-size="15" font-weight="600" fill="{color}">{escape(phase.name)}</text>'
    for line, text in enumerate(_figures(phase)):
        yield f'<text x="{left:.0f}" y="{98 + 17 * line}">{escape(text)}</text>'
    # Requests of one place share a dot. A line of zero length with round caps is a dot, and one path holds thousands
    # of them in little space.
    dots = {(round(left + at / scale.seconds * width), round(_up(scale, ms))) for at, ms in phase.samples}
    path = "".join(f"M{x} {y}h0" for x, y in sorted(dots))
    yield f'<path d="{path}" stroke="{color}" stroke-width="4" stroke-linecap="round" opacity="0.45"/>'
    yield f'<path d="M{left:.1f} {TOP}V{bottom}h{width:.1f}" stroke="#888" fill="none"/>'
    for second in scale.second_ticks():
        x = left + second / scale.seconds * width
        yield f'<path d="M{x:.1f} {bottom}v5" stroke="#888"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{second}</text>'
    yield f'<text x="{left + width / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">intended time, s</text>'


def _figures(phase: Phase) -> Iterator[str]:
    of = phase.percentiles()
    yield f"/ping: p50 {of['p50']:.3g}, p99 {of['p99']:.3g}, max {of['max']:.3g} ms"
    cpu = "" if phase.cpu_s is None else f", {phase.cpu_s:.1f} s of CPU time"
    yield f"{len(phase.samples):,} /ping, {len(phase.report_ms)} /report{cpu}"


def _up(scale: Scale, latency_ms: float) -> float:
    return HEIGHT - BOTTOM - scale.height(latency_ms) * (HEIGHT - TOP - BOTTOM)


def _latency_axis(scale: Scale) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for decade in scale.decades():
        y = _up(scale, decade)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_label(decade)}</text>'
        for factor in range(2, 10):
            if decade < scale.high_ms:
                yield f'<path d="M{LEFT} {_up(scale, decade * factor):.1f}h-4" stroke="#aaa"/>'
    yield f'<text transform="translate(18 {(TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">latency</text>'
