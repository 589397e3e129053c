"""What a sampling holds, as figures, as a table and as a picture: asked and got shares, lengths of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.sampling.sessions import Episode
from data.sampling.split import Split, total
from steve1.config import FIRST_EMBED, FPS
from steve1.files import whole_file
from steve1.pages.charts import COLOURS

ELSEWHERE = "(--val_from)"  # episodes that stand in none of the dataset folders


def figures(
    folders: Sequence[str], weights: Sequence[float] | None, result: Split, left_out: Sequence[Episode]
) -> dict[str, dict[str, Any]]:
    """Return for ``train``, ``val``, ``unused`` and ``left_out`` the counts of the whole and of each dataset.

    ``asked`` is the share of the items that training draws, None where no weights were given or none can apply;
    ``got`` is the share of the side's frames.
    """
    asked = [weight / sum(weights) for weight in weights] if weights else None
    sides = {"train": result.train, "val": result.val, "unused": result.unused, "left_out": list(left_out)}
    found: dict[str, dict[str, Any]] = {}
    for side, episodes in sides.items():
        frames = total(episodes)
        parts = []
        for index, folder in [*enumerate(folders), (-1, ELSEWHERE)]:
            mine = [episode for episode in episodes if episode.dataset == index]
            if index < 0 and not mine:
                continue
            chosen = side == "train" or (side == "val" and all(e.dataset >= 0 for e in episodes))
            parts.append(
                {
                    "dataset": folder,
                    "asked": asked[index] if asked and chosen and index >= 0 else None,
                    "got": total(mine) / frames if frames else 0.0,
                    **_counts(mine),
                }
            )
        found[side] = {**_counts(episodes), "datasets": parts}
    return found


def _counts(episodes: Sequence[Episode]) -> dict[str, Any]:
    frames = total(episodes)
    return {
        "frames": frames,
        "hours": frames / FPS / 3600,
        "episodes": len(episodes),
        "sessions": len({episode.session for episode in episodes}),
    }


def table(name: str, found: dict[str, dict[str, Any]]) -> str:
    """Return :func:`figures` as lines of text: a row for each dataset on each side that holds anything."""
    head = ("", "dataset", "drawn", "of frames", "frames", "hours", "episodes", "sessions")
    rows: list[tuple[str, ...]] = []
    for side, counts in found.items():
        if not counts["episodes"] and side not in ("train", "val"):
            continue
        parts = counts["datasets"]
        label = side.replace("_", " ")
        for part in parts:
            asked = "" if part["asked"] is None else f"{part['asked']:.1%}"
            got = f"{part['got']:.1%}" if side in ("train", "val") else ""
            rows.append((label, part["dataset"], asked, got, *_cells(part)))
            label = ""
        if len(parts) > 1:
            rows.append(("", "all", "", "", *_cells(counts)))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [f"sampling {name}"]
    for row in (head, *rows):
        cells = [
            f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cells(counts: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{counts['frames']:,}",
        f"{counts['hours']:,.2f}",
        f"{counts['episodes']:,}",
        f"{counts['sessions']:,}",
    )


def draw_histogram(
    path: Path, name: str, folders: Sequence[str], result: Split, T: int | None = None
) -> None:
    """Draw the lengths of the episodes to train and to validate on, coloured by dataset, into a PNG.

    ``T``: where given, a line marks the least length that holds an item, T + 15.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    sides = [("train", result.train), ("validation", result.val)]
    lengths = [episode.frames for _, episodes in sides for episode in episodes]
    low, high = min(lengths), max(lengths)
    bins = min(40, 8 + int(len(lengths) ** 0.5), high - low) if high > low else 1
    edges = [low + (high - low) * i / bins for i in range(bins + 1)] if high > low else [low - 0.5, low + 0.5]
    labels = [*enumerate(folders), (-1, ELSEWHERE)]
    shown = [
        (index, label) for index, label in labels if any(e.dataset == index for _, s in sides for e in s)
    ]

    figure = Figure(figsize=(11, 6.5))
    figure.subplots_adjust(left=0.07, right=0.98, top=0.89, bottom=0.15, hspace=0.2)
    FigureCanvasAgg(figure)
    figure.suptitle(f"sampling {name}: lengths of its episodes")
    for axes, (side, episodes) in zip(figure.subplots(2, 1, sharex=True), sides, strict=True):
        axes.hist(
            [[e.frames for e in episodes if e.dataset == index] for index, _ in shown],
            bins=edges,
            stacked=True,
            color=[COLOURS[place % len(COLOURS)] for place in range(len(shown))],
            label=[_short(label) for _, label in shown],
            edgecolor="white",
            linewidth=0.5,
        )
        frames = total(episodes)
        axes.set_title(
            f"{side}: {len(episodes):,} episodes, {frames:,} frames, {frames / FPS / 3600:,.2f} h",
            fontsize=10,
        )
        axes.set_ylabel("episodes")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        if T is not None:
            axes.axvline(
                T + FIRST_EMBED, color="black", linestyle="--", linewidth=1, label=f"T + {FIRST_EMBED}"
            )
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="lower center", ncols=min(3, len(texts)), fontsize=9, frameon=False)
    figure.axes[-1].set_xlabel(f"frames an episode ({FPS} are a second)")
    with whole_file(path) as partial:
        # No date and version inside: the same sampling makes the same file.
        figure.savefig(partial, format="png", dpi=90, metadata={"Software": None})


def _short(label: str) -> str:
    """The end of a long path."""
    return label if len(label) <= 60 else f"...{label[-57:]}"
