"""Charts as inline SVG: means with intervals by row, and curves with bands. Colours are ``steve1.page.COLOURS``."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from steve1.page import COLOURS

_WIDTH = 520


@dataclass(frozen=True)
class Row:
    """A mean with its interval (None: no bounds) and the values that it is the mean of. ``colour``: a place."""

    label: str
    colour: int
    mean: float
    low: float | None
    high: float | None
    values: Sequence[float]


@dataclass(frozen=True)
class Curve:
    """Means over ``xs`` with their intervals. ``colour``: a place."""

    label: str
    colour: int
    xs: Sequence[float]
    means: Sequence[float]
    lows: Sequence[float | None]
    highs: Sequence[float | None]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that lie evenly from at or below ``low`` to at or above ``high``."""
    if not high > low:
        high = low + 1
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) + 0.0 for i in range(first, last + 1)]


def intervals(rows: Sequence[Row], unit: str) -> str:
    """A line a row: the values as faint dots, the mean as a full one, its 95 % interval as a bar.

    Rows of one label that follow one another share it. Bars are cut at the chart's ends, which the values set.
    """
    left, right, step, gap = 176, _WIDTH - 16, 17, 7
    shown = [value for row in rows for value in (row.mean, *row.values)]
    low, high = min(0.0, *shown), max(0.0, *shown)
    if unit == "share":
        high = 1.0
    else:
        highs = [row.high for row in rows if row.high is not None]
        high = max([high, *(bound for bound in highs if bound < high + 0.5 * (high - low))])
    marks = ticks(low, high)
    scale = (right - left) / (marks[-1] - marks[0])

    def x(value: float) -> float:
        return left + (min(max(value, marks[0]), marks[-1]) - marks[0]) * scale

    parts, y = [], 0.0
    for place, row in enumerate(rows):
        begins = place == 0 or rows[place - 1].label != row.label
        if begins and place:
            y += gap
            parts.append(
                f'<line x1="0" x2="{right}" y1="{y - gap / 2}" y2="{y - gap / 2}" stroke="#f0f0f0"/>'
            )
        middle, colour = y + step / 2, COLOURS[row.colour % len(COLOURS)]
        y += step
        bounded = row.low is not None and row.high is not None
        spread = f", 95 % interval {row.low:.4g} to {row.high:.4g}" if bounded else ""
        parts.append(
            f"<g><title>{html.escape(row.label)}: {row.mean:.4g}{spread}, {len(row.values)} episodes</title>"
        )
        if begins:
            _, same_rows = next(itertools.groupby(rows[place:], key=lambda other: other.label))
            same = len(list(same_rows))
            at = middle + step * (same - 1) / 2 + 4
            label = html.escape(_cut(row.label, 29))
            parts.append(f'<text x="{left - 8}" y="{at:.1f}" text-anchor="end">{label}</text>')
        parts += [
            f'<circle cx="{x(value):.1f}" cy="{middle:.1f}" r="3" fill="{colour}" fill-opacity="0.3"/>'
            for value in row.values
        ]
        if bounded:
            ends = x(row.low or 0.0), x(row.high or 0.0)
            parts.append(
                f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}" stroke="{colour}" '
                'stroke-width="2.5"/>'
            )
        parts.append(
            f'<circle cx="{x(row.mean):.1f}" cy="{middle}" r="4.5" fill="{colour}" stroke="#fff"/></g>'
        )
    grid = [
        f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="0" y2="{y}" stroke="{"#888" if mark == 0 else "#e6e6e6"}"/>'
        f'<text x="{x(mark):.1f}" y="{y + 14}" text-anchor="middle">{mark:,.6g}</text>'
        for mark in marks
    ]
    name = f'<text x="{(left + right) / 2}" y="{y + 29}" text-anchor="middle">{html.escape(unit)}</text>'
    return f'<svg viewBox="0 0 {_WIDTH} {y + 34}" role="img">{"".join([*grid, *parts, name])}</svg>'


def curves(lines: Sequence[Curve], x_unit: str, y_unit: str, points: bool = False) -> str:
    """Curves with bands of 95 % intervals; with ``points`` dots and error bars instead of bands, x from 0."""
    left, right, top, bottom, height = 52, _WIDTH - 12, 22, 190, 228
    xs = [x for line in lines for x in line.xs]
    means = [m for line in lines for m in line.means]
    spans = [b for line in lines for b in (*line.lows, *line.highs) if b is not None]
    room = (max(means) - min(means)) or abs(max(means)) or 1
    kept = [b for b in spans if min(means) - room <= b <= max(means) + room]
    y_marks = ticks(min(means + kept + ([0.0] if points else [])), max(means + kept))
    x_marks = ticks(0 if points else min(xs), max(xs), 8)

    def x(value: float) -> float:
        return left + (right - left) * (value - x_marks[0]) / (x_marks[-1] - x_marks[0])

    def y(value: float) -> float:
        clipped = min(max(value, y_marks[0]), y_marks[-1])
        return bottom - (bottom - top) * (clipped - y_marks[0]) / (y_marks[-1] - y_marks[0])

    parts = [
        f'<line x1="{left}" x2="{right}" y1="{y(m):.1f}" y2="{y(m):.1f}" stroke="{"#888" if m == 0 else "#e6e6e6"}"/>'
        f'<text x="{left - 5}" y="{y(m) + 4:.1f}" text-anchor="end">{m:,.6g}</text>'
        for m in y_marks
    ]
    parts += [f'<text x="{x(m):.1f}" y="{bottom + 15}" text-anchor="middle">{m:,.6g}</text>' for m in x_marks]
    # Points of several curves at one x would hide each other.
    shifts = [6 * (i - (len(lines) - 1) / 2) if points else 0.0 for i in range(len(lines))]
    for line, shift in zip(lines, shifts, strict=True):
        colour = COLOURS[line.colour % len(COLOURS)]
        path = [(x(a) + shift, y(m)) for a, m in zip(line.xs, line.means, strict=True)]
        parts.append(f"<g><title>{html.escape(line.label)}</title>")
        banded = [
            (x(a) + shift, y(low), y(high))
            for a, low, high in zip(line.xs, line.lows, line.highs, strict=True)
            if low is not None and high is not None
        ]
        if points:
            parts += [
                f'<line x1="{a:.1f}" x2="{a:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}" stroke-width="2"/>'
                for a, low, high in banded
            ]
        elif banded:
            edge = [f"{a:.1f},{low:.1f}" for a, low, _ in banded]
            edge += [f"{a:.1f},{high:.1f}" for a, _, high in reversed(banded)]
            parts.append(f'<polygon points="{" ".join(edge)}" fill="{colour}" fill-opacity="0.15"/>')
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in path)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if points or len(path) == 1:
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}" stroke="#fff"/>' for a, b in path
            ]
        parts.append("</g>")
    parts.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 31}" text-anchor="middle">{html.escape(x_unit)}</text>'
        f'<text x="4" y="11">{html.escape(y_unit)}</text>'
    )
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(parts)}</svg>'


def legend(labels: Sequence[str]) -> str:
    """The colours by name, in the order of their places; HTML."""
    return (
        '<p class="legend">'
        + " ".join(
            f'<span><i style="background:{COLOURS[place % len(COLOURS)]}"></i>{html.escape(label)}</span>'
            for place, label in enumerate(labels)
        )
        + "</p>"
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
