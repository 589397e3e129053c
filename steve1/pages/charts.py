"""Charts as SVG that stands in a page: drawn by matplotlib, the same bytes for the same figures, in the page's colours.

Every chart has a text in its place for who can't see it (``alt``). Texts are never read as formulas.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that stay apart for colour-blind eyes (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_WIDTH = 520  # units of a drawing; letters are 11 high
# What matplotlib is told, and what the page's style sheet then decides, by day and by night.
_INK, _LINE, _PAPER = "#010203", "#040506", "#070809"
_BLUE = "#0072b2"  # the first of COLOURS, as matplotlib writes it
_PAGE_COLOURS = {_INK: "var(--ink)", _LINE: "var(--line)", _PAPER: "var(--paper)", _BLUE: "var(--blue)"}


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


def intervals(rows: Sequence[Row], unit: str) -> Markup:
    """A line a row: the values as faint dots, the mean as a full one, its interval as a bar.

    Rows of one label that follow one another share it.
    """
    places, y = [], 0.0
    for i, row in enumerate(rows):
        y += (1.4 if rows[i - 1].label != row.label else 1.0) if i else 0.0
        places.append(y)
    with _axes(17 * y + 70) as (axes, drawn):
        for place, row in zip(places, rows, strict=True):
            colour = _colour(row.colour)
            axes.scatter(row.values, [place] * len(row.values), s=30, color=colour, alpha=0.3, linewidths=0)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.5)
            axes.scatter([row.mean], [place], s=60, color=colour, edgecolors=_PAPER, zorder=3)
        named = itertools.groupby(zip(places, rows, strict=True), key=lambda pair: pair[1].label)
        spots = [(label, [place for place, _ in same]) for label, same in named]
        axes.set_yticks([sum(at) / len(at) for _, at in spots], [_cut(label) for label, _ in spots])
        axes.set_ylim(y + 0.7, -0.7)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        _from_zero(axes.set_xlim, [v for row in rows for v in (row.mean, *row.values)], unit)
        axes.set_xlabel(unit)
        return drawn("; ".join(_said(row.label, row.mean, row.low, row.high, unit) for row in rows))


def sweep(lines: Sequence[Curve], x_unit: str, y_unit: str) -> Markup:
    """Means at a few ``xs``, joined, with their intervals as bars; levels are dashed lines."""
    xs = sorted({x for line in lines for x in line.xs})
    step = min((b - a for a, b in itertools.pairwise(xs)), default=1.0)
    with _axes(228) as (axes, drawn):
        for i, line in enumerate(lines):
            shift = (
                0.06 * step * (i - (len(lines) - 1) / 2)
            )  # points of several curves at one x hide each other
            at, colour = [x + shift for x in line.xs], _colour(line.colour)
            axes.plot(at, line.means, color=colour, marker="o", markersize=8, markeredgecolor=_PAPER)
            for x, low, high in zip(at, line.lows, line.highs, strict=True):
                if low is not None and high is not None:
                    axes.plot([x, x], [low, high], color=colour, linewidth=2)
            if line.level is not None:
                axes.axhline(line.level, color=colour, linewidth=1.5, linestyle=(0, (4, 3)))
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
        axes.margins(x=0.06)
        axes.grid(axis="y")
        levels = [line.level for line in lines if line.level is not None]
        ends = [v for line in lines for v in (*line.means, *line.lows, *line.highs) if v is not None]
        _from_zero(axes.set_ylim, ends + levels, y_unit)
        axes.set(xlabel=x_unit, ylabel=y_unit)
        parts = [
            _said(f"{line.label} at {x:g}", mean, low, high, y_unit)
            for line in lines
            for x, mean, low, high in zip(line.xs, line.means, line.lows, line.highs, strict=True)
        ]
        return drawn("; ".join(parts))


def curves(lines: Sequence[Curve], x_unit: str, y_unit: str) -> Markup:
    """Curves with bands of their intervals."""
    with _axes(228) as (axes, drawn):
        for line in lines:
            colour = _colour(line.colour)
            axes.plot(line.xs, line.means, color=colour, marker="o" if len(line.xs) == 1 else None)
            band = [b for b in zip(line.xs, line.lows, line.highs, strict=True) if None not in b]
            if band:
                xs, lows, highs = zip(*band, strict=True)
                axes.fill_between(xs, lows, highs, color=colour, alpha=0.2, linewidth=0)
        axes.margins(x=0)
        axes.grid(axis="y")
        axes.set(xlabel=x_unit, ylabel=y_unit)
        ends = [f"{line.label} from {line.means[0]:.3g} to {line.means[-1]:.3g} {y_unit}" for line in lines]
        return drawn("; ".join(ends))


def bars(rows: Sequence[tuple[str, float]]) -> Markup:
    """Horizontal bars of shares, each with its name and value."""
    with _axes(18 * max(1, len(rows)) + 12) as (axes, drawn):
        names, shares = [name for name, _ in rows], [share for _, share in rows]
        drawn_bars = axes.barh(range(len(rows)), shares, height=0.72, color=COLOURS[0])
        axes.bar_label(drawn_bars, [f"{share:.2%}" for share in shares], padding=4)
        axes.set_yticks(range(len(rows)), [_cut(name) for name in names])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1.15 * max(shares, default=0) or 1)
        axes.tick_params(length=0, labelbottom=False)
        return drawn(", ".join(f"{name} {share:.2%}" for name, share in rows))


def columns(
    edges: Sequence[float],
    series: Mapping[str, Sequence[float]],
    unit: str,
    shares: bool = False,
    labels: Sequence[str] | None = None,
) -> Markup:
    """A histogram: filled for one series, stepped outlines for several.

    ``shares``: heights are shares of 1. ``labels`` name the columns; without them the axis has the edges' numbers.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    with _axes(205) as (axes, drawn):
        several = len(series) > 1
        for i, (name, counts) in enumerate(series.items()):
            axes.stairs(
                counts, edges, fill=True, color=_colour(i), alpha=0.2 if several else 1.0, linewidth=0
            )
            if several:
                axes.stairs(counts, edges, color=_colour(i), linewidth=1.5, label=name)
            elif len(edges) < 60:
                axes.vlines(edges[1:-1], 0, max(counts), color=_PAPER, linewidth=1)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=not shares))
        if shares:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if labels is not None:
            middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
            axes.set_xticks(middles, labels)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 1.05 * max((max(counts) for counts in series.values()), default=0) or 1)
        axes.grid(axis="y")
        axes.set_xlabel(unit)
        if several:
            axes.legend(frameon=False, loc="upper left")
        tops = []
        for name, counts in series.items():
            top = max(range(len(counts)), key=lambda i: counts[i])
            where = labels[top] if labels is not None else f"{edges[top]:.4g} to {edges[top + 1]:.4g}"
            height = f"{counts[top]:.1%}" if shares else f"{counts[top]:,.4g}"
            tops.append(f"{name} most at {where} {unit}: {height}".strip())
        return drawn("; ".join(tops))


@dataclass(frozen=True)
class Heat:
    """A table of shares as colours. ``texts``: what stands in the cells. ``framed``: (row, column) to point out."""

    rows: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float]]
    texts: Sequence[Sequence[str]]
    framed: Sequence[tuple[int, int]]


def heat(table: Heat) -> Markup:
    """The table, a row below the other, from white (0) to the first of COLOURS (1)."""
    with _axes(30 * len(table.rows) + 80, 105 * len(table.columns) + 100) as (axes, drawn):
        _draw_heat(axes, table)
        names = [name.replace("\n", " ") for name in table.columns]
        cells = [[f"{name} {text}" for name, text in zip(names, texts, strict=True)] for texts in table.texts]
        said = [f"{row}: {', '.join(line)}" for row, line in zip(table.rows, cells, strict=True)]
        return drawn("; ".join(said))


def heat_png(table: Heat) -> bytes:
    """The same as a PNG on white, for where no page is."""
    import warnings

    import matplotlib
    from matplotlib.figure import Figure

    settings = {"font.size": 11, "text.parse_math": False, "figure.constrained_layout.use": True}
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **settings}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(1.15 * len(table.columns) + 3, 0.42 * len(table.rows) + 1.1))
        _draw_heat(figure.add_subplot(), table)
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=110, metadata={"Software": None})
        return written.getvalue()


def _draw_heat(axes: Axes, table: Heat) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colours = LinearSegmentedColormap.from_list("heat", ["#ffffff", COLOURS[0]])
    axes.pcolormesh(table.shares, cmap=colours, vmin=0, vmax=1, edgecolors="#cccccc", linewidth=0.5)
    for i, texts in enumerate(table.texts):
        for j, text in enumerate(texts):
            ink = "#ffffff" if table.shares[i][j] > 0.6 else "#111111"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=ink)
    for i, j in table.framed:
        axes.add_patch(Rectangle((j, i), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2.5))
    axes.set_xticks([j + 0.5 for j in range(len(table.columns))], table.columns)
    axes.set_yticks([i + 0.5 for i in range(len(table.rows))], table.rows)
    axes.invert_yaxis()
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


@contextmanager
def _axes(height: float, width: float = _WIDTH) -> Iterator[tuple[Axes, Any]]:
    """Axes of a new drawing, and what ends it: called with the text in its place it gives the SVG."""
    import warnings

    import matplotlib
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",  # letters stay letters
        "svg.hashsalt": "steve1",
        "text.parse_math": False,
        "font.size": 11,
        "font.family": "sans-serif",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
        ),
        "grid.color": _LINE,
        "axes.axisbelow": True,
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.spines.left"), False),
        "ytick.major.size": 0,
        "figure.constrained_layout.use": True,
    }
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **settings}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's own fonts draw the letters
        figure = Figure(figsize=(width / 72, height / 72))

        def drawn(alt: str) -> Markup:
            written = io.StringIO()
            figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
            return _inline(written.getvalue(), alt)

        yield figure.add_subplot(), drawn


def _inline(svg: str, alt: str) -> Markup:
    """What matplotlib wrote as a part of a page: without a file's head, and with ids that no other chart has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    for told, shown in _PAGE_COLOURS.items():
        svg = svg.replace(told, shown)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", svg))
    mark = hashlib.sha256(svg.encode()).hexdigest()[:10]
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{mark}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", svg)
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box is not None
    head = f'<svg {box[0]} role="img" aria-label="{escape(alt)}">'
    return Markup(re.sub(r"<svg .*?>", lambda _: head, svg, count=1, flags=re.DOTALL).strip())


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _from_zero(set_limits: Any, values: Sequence[float], unit: str) -> None:
    """An axis from 0, or the least value, to the greatest, or all of a share."""
    low, high = min(0.0, *values), 1.0 if unit == "share" else max(0.0, *values)
    room = 0.03 * ((high - low) or 1.0)
    set_limits(low - room, (high if high > low else low + 1.0) + room)


def _said(label: str, mean: float, low: float | None, high: float | None, unit: str) -> str:
    bounds = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    return f"{label}: {mean:.3g}{bounds} {unit}"


def _cut(text: str, length: int = 29) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
