"""A dataset's figures as one HTML page: charts as inline SVG, frames as inline JPEG, nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.sampling.sessions import Episode
from steve1.page import COLOURS, chart, data_uri, document, tiles
from steve1.vpt.actions import BIN_ANGLES, CAMERA_NULL_BIN

N_FRAMES = 8  # frames shown of an episode
_STYLE = """
.sheet { display: grid; grid-template-columns: repeat(8, 1fr); gap: 2px; margin-bottom: .2em }
.sheet img { width: 100%; display: block }
"""


def contact_sheet(episodes: Sequence[Episode]) -> list[tuple[str, list[bytes]]]:
    """For each episode a caption and :data:`N_FRAMES` of its frames, evenly apart, as JPEG files."""
    import cv2

    from data.EpisodeStorage import EpisodeStorage

    rows = []
    for episode in episodes:
        storage = EpisodeStorage(episode.path)
        places = sorted({round(i * (episode.frames - 1) / (N_FRAMES - 1)) for i in range(N_FRAMES)})
        pictures = []
        for place in places:
            frame = storage.load_frames(place, place + 1)[0]
            _, coded = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
            pictures.append(coded.tobytes())
        shown = ", ".join(f"{place:,}" for place in places)
        rows.append((f"{Path(episode.path).name}: {episode.frames:,} frames; shown are {shown}", pictures))
    return rows


def page(summaries: Mapping[str, dict], sheets: Mapping[str, list[tuple[str, list[bytes]]]]) -> str:
    """Return the page for the summaries of ``summary_figures.summarize`` and their contact sheets, by title."""
    sections = "\n".join(
        _section(title, summary, sheets.get(title, [])) for title, summary in summaries.items()
    )
    return document("Dataset summary", sections, _STYLE)


def _section(title: str, summary: dict[str, Any], sheet: list[tuple[str, list[bytes]]]) -> str:
    lengths, histograms = summary["length"], summary["histograms"]
    facts = {
        "frames": f"{summary['frames']:,}",
        "hours": f"{summary['hours']:,.2f}",
        "episodes": f"{summary['episodes']:,}",
        "play sessions": f"{summary['sessions']:,}",
        "GB": f"{summary['gigabytes']:,.3g}",
        "KB a frame": f"{summary['gigabytes'] * 1e6 / summary['frames']:,.1f}",
        "doing nothing": f"{summary['doing_nothing']:.1%}",
    }
    entropy = summary["entropy"]
    charts = [
        chart(
            "Buttons held",
            "Share of frames.",
            _bars(sorted(summary["pressed"].items(), key=lambda pair: -pair[1])),
        ),
        chart(
            "Most common combinations of buttons",
            "Share of frames, whether the camera moves or not. Entropy of the joint actions: "
            f"{entropy['buttons']:.3f} (buttons) + {entropy['camera']:.3f} (camera) nats a frame; a policy that looks "
            "at nothing can reach that loss.",
            _bars([(row["buttons"], row["share"]) for row in summary["most_common"]]),
        ),
        *(_camera(axis, summary["camera"][axis]) for axis in ("pitch", "yaw")),
        chart(
            "Lengths of the episodes",
            f"Frames: {lengths['min']:,} to {lengths['max']:,}, median {lengths['median']:,.0f}.",
            _columns(histograms["length"]["edges"], {"episodes": histograms["length"]["counts"]}, "frames"),
        ),
        *_embeddings(summary["embeddings"], histograms),
    ]
    rows = "\n".join(
        '<div class="sheet">'
        + "".join(f'<img src="{data_uri("image/jpeg", picture)}" alt="a frame">' for picture in pictures)
        + f'</div><p class="caption">{html.escape(caption)}</p>'
        for caption, pictures in sheet
    )
    return (
        f"<h2>{html.escape(title)}</h2>\n{tiles(facts)}\n{rows}\n"
        f'<div class="charts">\n{"".join(charts)}</div>'
    )


def _embeddings(embeddings: dict[str, Any], histograms: dict[str, Any]) -> list[str]:
    norm, cosine, bad = embeddings["norm"], embeddings["cosine"], embeddings["not_finite"]
    facts = {
        "width": ", ".join(map(str, embeddings["width"])) or "unknown",
        "norm, mean ± std": f"{norm['mean']:.3f} ± {norm['std']:.3f}",
        "norm, least to greatest": f"{norm['min']:.3f} to {norm['max']:.3f}",
        "cosine of neighbours (one frame apart)": f"{cosine['neighbours']:.3f}",
        "cosine of two moments of an episode": f"{cosine['same_episode']:.3f}",
        "cosine of moments of two episodes": f"{cosine['other_episode']:.3f}",
        "rows that are not finite, from frame 15 on": f"{bad:,} ({embeddings['not_finite_share']:.2%})",
        "made by MineCLIP": ", ".join(embeddings["mineclip_hashes"]) or "unknown",
    }

    def mark(name: str) -> str:
        return ' class="bad"' if bad and name.startswith("rows") else ""

    rows = "".join(
        f"<tr><th>{name}</th><td{mark(name)}>{html.escape(value)}</td></tr>" for name, value in facts.items()
    )
    cosines = dict(histograms["cosine"])
    edges = cosines.pop("edges")
    names = {"neighbours": "neighbours", "same_episode": "same episode", "other_episode": "two episodes"}
    # Shares, because there are far more neighbours than random pairs.
    shares = {names[k]: [n / max(1, sum(counts)) for n in counts] for k, counts in cosines.items()}
    return [
        f"<div><h3>Goal embeddings</h3><table>{rows}</table></div>",
        chart(
            "Norms of the embeddings",
            "Of up to 64 moments of each episode.",
            _columns(histograms["norm"]["edges"], {"moments": histograms["norm"]["counts"]}, "norm"),
        ),
        chart(
            "Cosine similarity of embeddings",
            "Share of the pairs of each kind. Where all three lie on one another near 1, goals can hardly be told "
            "apart.",
            _columns(edges, shares, "cosine", "%"),
        ),
    ]


def _camera(axis: str, shares: Sequence[float]) -> str:
    moves = [0.0 if place == CAMERA_NULL_BIN else share for place, share in enumerate(shares)]
    labels = [f"{angle:+.1f}" for angle in BIN_ANGLES]
    return chart(
        f"Camera, {axis}",
        f"Share of frames by degrees a frame; still in {shares[CAMERA_NULL_BIN]:.1%} of them (not drawn).",
        _columns(list(range(len(moves) + 1)), {"": moves}, "degrees", "%", labels),
    )


def _bars(rows: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars of shares, each with its name and value."""
    left, width, step = 165, 520, 18
    top = max((share for _, share in rows), default=0) or 1
    parts = []
    for place, (name, share) in enumerate(rows):
        y, length = place * step, (width - left - 60) * share / top
        parts.append(
            f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{html.escape(_cut(name))}'
            f"<title>{html.escape(name)}</title></text>"
            f'<rect x="{left}" y="{y + 3}" width="{max(length, 0.5):.1f}" height="{step - 5}" fill="{COLOURS[0]}"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 13}">{share:.2%}</text>'
        )
    return f'<svg viewBox="0 0 {width} {max(1, len(rows)) * step}" role="img">{"".join(parts)}</svg>'


def _cut(name: str) -> str:
    return name if len(name) <= 28 else name[:26] + "…"


def _columns(
    edges: Sequence[float],
    series: Mapping[str, Sequence[float]],
    unit: str,
    values: str = "",
    labels: Sequence[str] | None = None,
) -> str:
    """A histogram: filled for one series, stepped outlines for several.

    ``values`` "%" shows shares. ``labels`` name the columns; without them the axis has the edges' numbers.
    """
    left, right, bottom, width, height = 52, 512, 168, 520, 205
    top = max((max(counts) for counts in series.values()), default=0) or 1
    scale = (right - left) / (edges[-1] - edges[0])

    def x(value: float) -> float:
        return left + (value - edges[0]) * scale

    def y(value: float) -> float:
        return bottom - (bottom - 12) * value / top

    parts = []
    for share in (0.5, 1.0):
        text = f"{top * share:.1%}" if values == "%" else f"{top * share:,.4g}"
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{y(top * share):.1f}" y2="{y(top * share):.1f}" stroke="#e2e2e2"/>'
            f'<text x="{left - 5}" y="{y(top * share) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for colour, counts in zip(COLOURS, series.values(), strict=False):
        if len(series) == 1:
            parts += [
                f'<rect x="{x(a) + 0.5:.1f}" y="{y(n):.1f}" width="{max(x(b) - x(a) - 1, 0.5):.1f}" '
                f'height="{bottom - y(n):.1f}" fill="{colour}"/>'
                for a, b, n in zip(edges, edges[1:], counts, strict=False)
            ]
            continue
        steps = "".join(
            f"L{x(a):.1f},{y(n):.1f}H{x(b):.1f}" for a, b, n in zip(edges, edges[1:], counts, strict=False)
        )
        parts.append(
            f'<path d="M{left},{bottom}{steps}V{bottom}" fill="{colour}" fill-opacity="0.15" stroke="{colour}" '
            'stroke-width="1.5"/>'
        )
    parts.append(f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="#888"/>')
    if labels is None:
        for share in (0, 0.25, 0.5, 0.75, 1):
            value = edges[0] + (edges[-1] - edges[0]) * share
            anchor = "end" if share == 1 else "middle"
            parts.append(
                f'<text x="{x(value):.1f}" y="{bottom + 15}" text-anchor="{anchor}">{value:,.4g}</text>'
            )
    else:
        for place, label in enumerate(labels):
            parts.append(
                f'<text x="{x(place + 0.5):.1f}" y="{bottom + 15}" text-anchor="middle">{label}</text>'
            )
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 32}" text-anchor="middle">{unit}</text>')
    if len(series) > 1:
        for place, (colour, name) in enumerate(zip(COLOURS, series, strict=False)):
            parts.append(
                f'<rect x="{left + 8}" y="{16 + 15 * place}" width="10" height="10" fill="{colour}"/>'
                f'<text x="{left + 23}" y="{25 + 15 * place}">{name}</text>'
            )
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'
