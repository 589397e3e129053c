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
    """Means over ``xs`` with their intervals. ``colour``: a place. ``level``: a mean to compare with, or None."""

    label: str
    colour: int
    xs: Sequence[float]
    means: Sequence[float]
    lows: Sequence[float | None]
    highs: Sequence[float | None]
    level: float | None = None


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that lie evenly from at or below ``low`` to at or above ``high``."""
    if not high > low:
        high = low + 1
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) + 0.0 for i in range(first, last + 1)]


def _axis(values: Sequence[float], highs: Sequence[float | None], unit: str) -> list[float]:
    """Ticks from 0, or the least value, upward; bounds that lie far above all values don't stretch them."""
    low, high = min(0.0, *values), max(0.0, *values)
    if unit == "share":
        return ticks(low, 1.0)
    near = [bound for bound in highs if bound is not None and bound < high + 0.5 * (high - low)]
    return ticks(low, max([high, *near]))


def intervals(rows: Sequence[Row], unit: str) -> str:
    """A line a row: the values as faint dots, the mean as a full one, its 95 % interval as a bar.

    Rows of one label that follow one another share it. Bars are cut at the chart's ends, which the values set.
    """
    left, right, step, gap = 176, _WIDTH - 16, 17, 7
    shown = [value for row in rows for value in (row.mean, *row.values)]
    marks = _axis(shown, [row.high for row in rows], unit)
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


def sweep(lines: Sequence[Curve], x_unit: str, y_unit: str) -> str:
    """Means at a few ``xs``, joined, with their 95 % intervals as bars; levels are dashed lines."""
    xs = sorted({x for line in lines for x in line.xs})
    means = [m for line in lines for m in (*line.means, *([] if line.level is None else [line.level]))]
    y_marks = _axis(means, [high for line in lines for high in line.highs], y_unit)
    plot = _Plot((xs[0], xs[-1]), y_marks, inset=24)
    parts = [plot.frame(xs, x_unit, y_unit)]
    for place, line in enumerate(lines):
        colour = COLOURS[line.colour % len(COLOURS)]
        shift = 6 * (place - (len(lines) - 1) / 2)  # points of several curves at one x would hide each other
        spots = [(plot.x(a) + shift, plot.y(m)) for a, m in zip(line.xs, line.means, strict=True)]
        parts.append(f"<g><title>{html.escape(line.label)}</title>")
        if line.level is not None:
            parts.append(
                f'<line x1="{plot.left}" x2="{plot.right}" y1="{plot.y(line.level):.1f}" y2="{plot.y(line.level):.1f}" '
                f'stroke="{colour}" stroke-width="1.5" stroke-dasharray="5 4"/>'
            )
        parts += [
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{plot.y(low):.1f}" y2="{plot.y(high):.1f}" stroke="{colour}" '
            'stroke-width="2"/>'
            for (at, _), low, high in zip(spots, line.lows, line.highs, strict=True)
            if low is not None and high is not None
        ]
        parts.append(_polyline(spots, colour))
        parts += [
            f'<circle cx="{at:.1f}" cy="{y:.1f}" r="4" fill="{colour}" stroke="#fff"/>' for at, y in spots
        ]
        parts.append("</g>")
    return plot.drawn(parts)


def curves(lines: Sequence[Curve], x_unit: str, y_unit: str) -> str:
    """Curves with bands of 95 % intervals."""
    xs = [x for line in lines for x in line.xs]
    means = [m for line in lines for m in line.means]
    room = (max(means) - min(means)) or abs(max(means)) or 1.0
    bounds = [b for line in lines for b in (*line.lows, *line.highs) if b is not None]
    near = [b for b in bounds if min(means) - room <= b <= max(means) + room]
    x_marks = ticks(min(xs), max(xs), 8)
    plot = _Plot((x_marks[0], x_marks[-1]), ticks(min(means + near), max(means + near)))
    parts = [plot.frame(x_marks, x_unit, y_unit)]
    for line in lines:
        colour = COLOURS[line.colour % len(COLOURS)]
        band = [
            (plot.x(a), plot.y(low), plot.y(high))
            for a, low, high in zip(line.xs, line.lows, line.highs, strict=True)
            if low is not None and high is not None
        ]
        edge = [f"{a:.1f},{low:.1f}" for a, low, _ in band] + [
            f"{a:.1f},{high:.1f}" for a, _, high in band[::-1]
        ]
        parts.append(f"<g><title>{html.escape(line.label)}</title>")
        if band:
            parts.append(f'<polygon points="{" ".join(edge)}" fill="{colour}" fill-opacity="0.15"/>')
        spots = [(plot.x(a), plot.y(m)) for a, m in zip(line.xs, line.means, strict=True)]
        parts.append(f"{_polyline(spots, colour)}</g>")
    return plot.drawn(parts)


class _Plot:
    """Where values lie in a drawing with two axes."""

    left, right, top, bottom, height = 52, _WIDTH - 12, 22, 190, 228

    def __init__(self, xs: tuple[float, float], y_marks: Sequence[float], inset: float = 0) -> None:
        self._low, self._span = xs[0], (xs[1] - xs[0]) or 1.0
        self._marks, self._inset = y_marks, inset

    def x(self, value: float) -> float:
        width = self.right - self.left - 2 * self._inset
        return self.left + self._inset + width * (value - self._low) / self._span

    def y(self, value: float) -> float:
        low, high = self._marks[0], self._marks[-1]
        return self.bottom - (self.bottom - self.top) * (min(max(value, low), high) - low) / (high - low)

    def frame(self, x_marks: Sequence[float], x_unit: str, y_unit: str) -> str:
        across = [
            f'<line x1="{self.left}" x2="{self.right}" y1="{self.y(m):.1f}" y2="{self.y(m):.1f}" '
            f'stroke="{"#888" if m == 0 else "#e6e6e6"}"/>'
            f'<text x="{self.left - 5}" y="{self.y(m) + 4:.1f}" text-anchor="end">{m:,.6g}</text>'
            for m in self._marks
        ]
        below = [
            f'<text x="{self.x(m):.1f}" y="{self.bottom + 15}" text-anchor="middle">{m:,.6g}</text>'
            for m in x_marks
        ]
        middle = (self.left + self.right) / 2
        names = (
            f'<text x="{middle}" y="{self.bottom + 31}" text-anchor="middle">{html.escape(x_unit)}</text>'
            f'<text x="4" y="11">{html.escape(y_unit)}</text>'
        )
        return "".join([*across, *below, names])

    def drawn(self, parts: Sequence[str]) -> str:
        return f'<svg viewBox="0 0 {_WIDTH} {self.height}" role="img">{"".join(parts)}</svg>'


def _polyline(spots: Sequence[tuple[float, float]], colour: str) -> str:
    joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


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
