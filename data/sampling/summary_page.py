"""A dataset's figures as one HTML page (``summary_page.html``): charts, and frames of some episodes as JPEG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.sampling.sessions import Episode
from steve1.pages import charts
from steve1.pages.render import data_uri
from steve1.pages.render import page as render
from steve1.vpt.actions import BIN_ANGLES, CAMERA_NULL_BIN

N_FRAMES = 8  # frames shown of an episode
_COSINES = {"neighbours": "neighbours", "same_episode": "same episode", "other_episode": "two episodes"}
Sheet = Sequence[tuple[str, Sequence[bytes]]]  # for each episode a caption and JPEG files


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


def page(summaries: Mapping[str, dict], sheets: Mapping[str, Sheet]) -> str:
    """Return the page for the summaries of ``summary_figures.summarize`` and their contact sheets, by title."""
    sections = [_section(title, summary, sheets.get(title, [])) for title, summary in summaries.items()]
    return render(Path(__file__).with_suffix(".html"), sections=sections)


def _section(title: str, summary: dict[str, Any], sheet: Sheet) -> dict[str, Any]:
    lengths, histograms, embeddings = summary["length"], summary["histograms"], summary["embeddings"]
    norm, cosine = embeddings["norm"], embeddings["cosine"]
    pressed = sorted(summary["pressed"].items(), key=lambda pair: -pair[1])
    cosines = {_COSINES[kind]: counts for kind, counts in histograms["cosine"].items() if kind != "edges"}
    # Shares, because there are far more neighbours than random pairs.
    shares = {name: [n / max(1, sum(counts)) for n in counts] for name, counts in cosines.items()}
    return {
        "title": title,
        "sheet": [
            (caption, [data_uri("image/jpeg", picture) for picture in pictures])
            for caption, pictures in sheet
        ],
        "facts": {
            "frames": f"{summary['frames']:,}",
            "hours": f"{summary['hours']:,.2f}",
            "episodes": f"{summary['episodes']:,}",
            "play sessions": f"{summary['sessions']:,}",
            "GB": f"{summary['gigabytes']:,.3g}",
            "KB a frame": f"{summary['gigabytes'] * 1e6 / summary['frames']:,.1f}",
            "doing nothing": f"{summary['doing_nothing']:.1%}",
        },
        "entropy": summary["entropy"],
        "lengths": lengths,
        "pressed": charts.bars(pressed),
        "combinations": charts.bars([(row["buttons"], row["share"]) for row in summary["most_common"]]),
        "cameras": [(axis, *_camera(summary["camera"][axis])) for axis in ("pitch", "yaw")],
        "episodes": charts.columns(
            histograms["length"]["edges"], {"episodes": histograms["length"]["counts"]}, "frames"
        ),
        "embeddings": {
            "width": ", ".join(map(str, embeddings["width"])) or "unknown",
            "norm, mean ± std": f"{norm['mean']:.3f} ± {norm['std']:.3f}",
            "norm, least to greatest": f"{norm['min']:.3f} to {norm['max']:.3f}",
            "cosine of neighbours (one frame apart)": f"{cosine['neighbours']:.3f}",
            "cosine of two moments of an episode": f"{cosine['same_episode']:.3f}",
            "cosine of moments of two episodes": f"{cosine['other_episode']:.3f}",
            "made by MineCLIP": ", ".join(embeddings["mineclip_hashes"]) or "unknown",
        },
        "not_finite": f"{embeddings['not_finite']:,} ({embeddings['not_finite_share']:.2%})",
        "spoilt": bool(embeddings["not_finite"]),
        "norms": charts.columns(
            histograms["norm"]["edges"], {"moments": histograms["norm"]["counts"]}, "norm"
        ),
        "cosines": charts.columns(histograms["cosine"]["edges"], shares, "cosine", shares=True),
    }


def _camera(shares: Sequence[float]) -> tuple[str, str]:
    """How often an axis is still, and the chart of its other moves."""
    moves = [0.0 if place == CAMERA_NULL_BIN else share for place, share in enumerate(shares)]
    labels = [f"{angle:+.1f}" for angle in BIN_ANGLES]
    chart = charts.columns(range(len(moves) + 1), {"": moves}, "degrees", shares=True, labels=labels)
    return f"{shares[CAMERA_NULL_BIN]:.1%}", chart
