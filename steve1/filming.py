"""Episodes on film: played, filmed, counted, and the table of their counts.

Each episode becomes NAME.mp4 and, beside it, NAME.json with its settings and counts. What is played, and with which
models, is the caller's to say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steve1.config import version
from steve1.prompts import PUBLISHED_PROMPTS

if TYPE_CHECKING:
    import torch

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy

TABLE_COLUMNS = ("logs_held", "dirt_held", "seeds_held", "travel_distance")


@dataclass
class Episode:
    """One film to make: a prompt in one world. ``kind`` is "text", "visual" or "no_goal"."""

    name: str
    kind: str
    prompt: str
    seed: int
    cond_scale: float | None
    video: Path

    @property
    def caption(self) -> str:
        return {"text": self.prompt, "visual": f"{self.name} (visual prompt)"}.get(self.kind, "no goal")

    @property
    def behaviour(self) -> str:
        """The published prompt's name, or the film's own where its text is another."""
        names = {text: name for name, text in PUBLISHED_PROMPTS.items()}
        return names.get(self.prompt, self.name)

    @property
    def json(self) -> Path:
        return self.video.with_suffix(".json")


def film_all(
    policy: MinecraftAgentPolicy,
    films: Sequence[Episode],
    goals: Sequence[torch.Tensor],
    make_world: Callable[[], Any],
    note: Mapping[str, Any],
    gameplay_length: int,
    num_envs: int = 1,
    deterministic: bool = False,
) -> None:
    """Play, film and count all episodes, ``num_envs`` worlds at once; a batch has one guidance scale.

    ``goals``: float [E], one a film. ``make_world``: makes one world. ``note``: goes into every JSON.
    An episode whose world is lost keeps its film up to there, and says so in its JSON and on stderr; where it was
    lost before the first picture there is neither.
    """
    import torch
    from tqdm import tqdm

    from steve1.MineRLConditionalAgent import check_env

    scales = list(dict.fromkeys(film.cond_scale for film in films))
    batches = []
    for scale in scales:
        rows = [row for row, film in enumerate(films) if film.cond_scale == scale]
        batches += [rows[first : first + num_envs] for first in range(0, len(rows), num_envs)]
    with ExitStack() as worlds:
        envs = []
        for _ in range(max(len(rows) for rows in batches)):
            env = make_world()
            worlds.callback(env.close)
            check_env(env)
            envs.append(env)
        note = {"world": type(envs[0]).__name__, **note}
        bar = worlds.enter_context(
            tqdm(
                total=len(films) * gameplay_length,
                unit="frame",
                unit_scale=True,
                mininterval=1,
                disable=None,
            )
        )
        for rows in batches:
            goal_rows = torch.stack([goals[row] for row in rows])
            batch = [films[row] for row in rows]
            _film_batch(
                policy, envs[: len(rows)], batch, goal_rows, note, gameplay_length, deterministic, bar
            )


def _film_batch(
    policy: MinecraftAgentPolicy,
    envs: Sequence[Any],
    batch: Sequence[Episode],
    goals: torch.Tensor,
    note: Mapping[str, Any],
    gameplay_length: int,
    deterministic: bool,
    bar: Any,
) -> None:
    import numpy as np

    from steve1.files import write_json
    from steve1.film import Film
    from steve1.rollout import play

    with ExitStack() as open_films:
        reels: dict[int, Film] = {}

        def watch(row: int, pov: np.ndarray) -> None:
            if row not in reels:
                reels[row] = open_films.enter_context(Film(batch[row].video, batch[row].caption))
            reels[row].add(pov)

        figures = play(
            policy,
            envs,
            [film.seed for film in batch],
            goals,
            gameplay_length,
            batch[0].cond_scale,
            deterministic,
            watch=watch,
            tick=lambda: bar.update(len(batch)),
        )
        # The JSON first: a video that is there always has its counts.
        for row, (film, measured) in enumerate(zip(batch, figures, strict=True)):
            if measured.lost:
                bar.write(f"{film.video}: {measured.lost}", file=sys.stderr)
            if row not in reels:
                continue
            content = {
                "name": film.name,
                "kind": film.kind,
                "prompt": film.prompt,
                "seed": film.seed,
                "cond_scale": film.cond_scale,
                "deterministic": deterministic,
                "gameplay_length": gameplay_length,
                "frames": reels[row].frames,
                "ended_early": reels[row].frames < gameplay_length,
                "lost": measured.lost,
                **note,
                "version": version(),
                "measures": measured.result(),
            }
            write_json(film.json, content)


def read_json(film: Episode) -> dict[str, Any]:
    """What is noted of a film that is there; empty where it isn't, or nothing can be read."""
    try:
        content = json.loads(film.json.read_text(encoding="utf-8")) if film.video.exists() else {}
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def losses(films: Sequence[Episode]) -> list[str]:
    """A line for each episode that its world's loss cut short, and for each that has no film because of it."""
    lines = []
    for film in films:
        lost = read_json(film).get("lost")
        if lost:
            lines.append(f"{film.video}: {lost} (to play it again, remove it and run the same command)")
        elif not film.video.exists():
            lines.append(
                f"{film.video}: not made, its world was lost before its first step; run the same command again"
            )
    return lines


def table(films: Sequence[Episode]) -> str:
    """The counts of all films, a line a prompt, over its seeds; from the JSON files beside the videos."""
    from steve1.intervals import mean_interval
    from steve1.measures import MEASURES, own_measure

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for film in films:
        measures = read_json(film).get("measures")
        if isinstance(measures, dict):
            groups.setdefault((film.caption, film.behaviour), []).append(measures)

    def cell(rows: list[dict[str, Any]], name: str) -> str:
        values = [row[name] for row in rows if row.get(name) is not None]
        if not values:
            return "-"
        mean, low, _ = mean_interval(values)
        return f"{mean:.4g}" if len(values) == 1 else f"{mean:.4g} ± {mean - low:.2g}"

    heads = [f"{name} ({MEASURES[name].unit})" for name in TABLE_COLUMNS]
    lines = [["prompt", "seeds", *heads, "its own measure"]]
    for (caption, behaviour), rows in groups.items():
        own = own_measure(behaviour, rows[0])
        shown = caption if len(caption) <= 40 else f"{caption[:37]}..."
        own_cell = f"{own} {cell(rows, own)} ({MEASURES[own].unit})" if own else ""
        lines.append([shown, str(len(rows)), *(cell(rows, column) for column in TABLE_COLUMNS), own_cell])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
