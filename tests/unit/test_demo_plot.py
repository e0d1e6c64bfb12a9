"""The demo's plots show what was measured, within their bounds."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import pytest

from asyncio_pulse.demo.phase import Phase, percentile
from asyncio_pulse.demo.plot import BLOCKS, COLUMNS, Scale, draw_svg, draw_terminal

SVG = "{http://www.w3.org/2000/svg}"
CALM = Phase("calm", tuple((second / 100, 2.0) for second in range(1000)))
STORM = Phase("storm <&>", tuple((second / 100, 250.0 if 500 <= second < 525 else 2.0) for second in range(1000)))


def _bars(text: str) -> list[str]:
    return [re.split("[┤│]", line, maxsplit=1)[1] for line in text.splitlines() if re.search("[┤│]", line)]


def _dots(svg: str) -> list[list[tuple[float, float]]]:
    paths = [path.get("d", "") for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("stroke-linecap")]
    return [[(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", path)] for path in paths]


@pytest.mark.parametrize("phases", [(CALM,), (CALM, STORM), (Phase("one", ((0.0, 0.5),)),)])
def test_terminal_plot_fits_80_columns(phases: tuple[Phase, ...]) -> None:
    lines = draw_terminal(phases).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("slowest request" in line for line in lines) == len(phases)


def test_terminal_plot_shows_the_storm_where_it_was() -> None:
    rows = _bars(draw_terminal([CALM, STORM]))
    calm, storm = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    highest = {panel: next(row for row in lines if row.strip()) for panel, lines in (("calm", calm), ("storm", storm))}
    assert len(highest["calm"]) == COLUMNS
    # 250 ms from second 5 to 5.25 of 10: two or three columns right of the middle.
    assert COLUMNS / 2 - 1 <= len(highest["storm"]) - len(highest["storm"].lstrip()) <= COLUMNS / 2 + 1
    assert 1 <= len(highest["storm"].strip()) <= 3
    assert sum(map(len, (row.strip() for row in storm))) > sum(map(len, (row.strip() for row in calm)))
    assert set("".join(rows)) <= set(BLOCKS)


def test_labels_stand_at_their_decade() -> None:
    # A bar of exactly 10 ms ends at the upper edge of the row that is labelled so.
    text = draw_terminal([Phase("ten", ((0.0, 1.0), (0.5, 10.0), (1.0, 100.0)))])
    row = next(line for line in text.splitlines() if line.startswith("   10 ms"))
    above = text.splitlines()[text.splitlines().index(row) - 1]
    middle = 10 + COLUMNS // 2
    assert row[middle] == "█"
    assert above[middle : middle + 1].strip() == ""


def test_scale_covers_every_sample_in_whole_decades() -> None:
    scale = Scale.around([CALM, STORM])
    assert scale.decades() == pytest.approx([1.0, 10.0, 100.0, 1000.0])
    assert (scale.height(1.0), scale.height(1000.0)) == pytest.approx((0.0, 1.0))
    assert scale.height(0.0) == 0.0


@pytest.mark.parametrize("seconds", [0.001, 0.9, 3.0, 18.0, 600.0])
def test_there_are_at_most_eleven_ticks(seconds: float) -> None:
    ticks = Scale(seconds, 1.0, 10.0).second_ticks()
    assert ticks[0] == 0
    assert len(ticks) <= 11
    assert ticks[-1] <= seconds


def test_svg_has_a_panel_for_each_phase() -> None:
    calm, storm = _dots(draw_svg([CALM, STORM], title="a <title>", subtitle="b & c"))
    left, middle, right, top, bottom = 76, 506, 936, 130, 404
    assert all(left <= x < middle for x, _ in calm)
    assert all(middle < x <= right for x, _ in storm)
    assert all(top <= y <= bottom for _, y in calm + storm)
    # Up is slow. All requests of the calm phase took the same time.
    assert min(y for _, y in storm) < min(y for _, y in calm) == max(y for _, y in calm)
    assert sum(y < calm[0][1] for _, y in storm) == pytest.approx(len(storm) * 25 / 1000, rel=0.3)


def test_svg_stays_small() -> None:
    busy = Phase("busy", tuple((number / 10_000, 1.0 + number % 7) for number in range(100_000)))
    assert len(draw_svg([busy] * 3, title="t", subtitle="s")) < 100_000


def test_svg_says_what_it_shows() -> None:
    phases = [dataclasses.replace(CALM, cpu_s=2.34), dataclasses.replace(STORM, report_ms=(250.0,))]
    svg = draw_svg(phases, title="a <title>", subtitle="b & c")
    texts = [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert {"a <title>", "b & c", "latency", "intended time, s", "1 ms", "100 ms", "5", "calm", "storm <&>"} <= set(
        texts
    )
    assert "/ping: p50 2, p99 250, max 250 ms" in texts
    assert "1,000 /ping, 0 /report, 2.3 s of CPU time" in texts
    assert "1,000 /ping, 1 /report" in texts


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1.0), (50, 50.0), (50.5, 51.0), (99, 99.0), (99.1, 100.0), (100, 100.0)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], percent) == expected


def test_percentiles_of_a_phase() -> None:
    falling = Phase("falling", tuple((second, 100.0 - second) for second in range(100)))
    assert falling.percentiles() == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
