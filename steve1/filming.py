"""Episodes on film: played, filmed and counted, by one agent or by several on the same seeds.

Each episode becomes NAME.mp4 and, beside it, NAME.json with its settings and counts; several agents' episodes of one
prompt and seed stand side by side in one film. What is played, and with which models, is the caller's to say.
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
from steve1.playing.prompts import PUBLISHED_PROMPTS

if TYPE_CHECKING:
    import torch

    from steve1.embed_conditioned_policy import MinecraftAgentPolicy
    from steve1.playing.scoring import EpisodeScore

# Makes what scores the n-th film's episode, or None; called once for every agent.
ScoreOf = Callable[[int], "EpisodeScore | None"]


@dataclass
class Episode:
    """One film to make: a prompt in one world. ``kind`` is "text", "visual" or "no_goal".

    ``seed`` is the world's, and ``sampling_seed`` that of the actions and the prior's sample; None is the same one.
    """

    name: str
    kind: str
    prompt: str
    seed: int
    cond_scale: float | None
    video: Path
    sampling_seed: int | None = None

    @property
    def sampling(self) -> int:
        return self.seed if self.sampling_seed is None else self.sampling_seed

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


@dataclass
class Agent:
    """Who plays. ``note``: what the JSON of its episodes says of its weights."""

    label: str
    policy: MinecraftAgentPolicy
    note: Mapping[str, Any]


def film_all(
    agents: Sequence[Agent],
    films: Sequence[Episode],
    goals: Sequence[torch.Tensor],
    make_world: Callable[[], Any],
    note: Mapping[str, Any],
    gameplay_length: int,
    num_envs: int = 1,
    deterministic: bool = False,
    score_of: ScoreOf = lambda film: None,
) -> None:
    """Play, film and count all episodes, ``num_envs`` worlds an agent at once; a batch has one guidance scale.

    ``goals``: float [E], one a film. ``make_world``: makes one world. ``note``: goes into every JSON.
    An episode whose world is lost keeps its film up to there, and says so in its JSON and on stderr; where it was
    lost before the first picture there is neither.
    """
    import torch
    from tqdm import tqdm

    from steve1.MineRLConditionalAgent import check_env

    batches = []
    for scale in dict.fromkeys(film.cond_scale for film in films):
        rows = [row for row, film in enumerate(films) if film.cond_scale == scale]
        batches += [rows[first : first + num_envs] for first in range(0, len(rows), num_envs)]
    with ExitStack() as worlds:
        envs: list[list[Any]] = [[] for _ in agents]
        for mine in envs:
            for _ in range(max(len(rows) for rows in batches)):
                mine.append(make_world())
                worlds.callback(mine[-1].close)
                check_env(mine[-1])
        note = {"world": type(envs[0][0]).__name__, **note}
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
            batch = [films[row] for row in rows]
            goal_rows = torch.stack([goals[row] for row in rows])
            scores = [[score_of(row) for row in rows] for _ in agents]
            _film_batch(
                agents,
                [mine[: len(rows)] for mine in envs],
                batch,
                goal_rows,
                scores,
                note,
                gameplay_length,
                deterministic,
                bar,
            )


def _film_batch(
    agents: Sequence[Agent],
    envs: Sequence[Sequence[Any]],
    batch: Sequence[Episode],
    goals: torch.Tensor,
    scores: Sequence[Sequence[EpisodeScore | None]],
    note: Mapping[str, Any],
    gameplay_length: int,
    deterministic: bool,
    bar: Any,
) -> None:
    import numpy as np

    from steve1.files import write_json
    from steve1.film import Film, SideBySide
    from steve1.playing.rollout import Rollout

    rows = range(len(batch))
    labels = [agent.label for agent in agents]
    joiners = [SideBySide(labels) for _ in rows]
    frames = np.zeros((len(agents), len(batch)), int)
    with ExitStack() as open_films:
        reels: dict[int, Film] = {}
        rollouts = [
            Rollout(
                agent.policy,
                worlds,
                [film.seed for film in batch],
                goals,
                gameplay_length,
                batch[0].cond_scale,
                deterministic,
                [film.sampling for film in batch],
            )
            for agent, worlds in zip(agents, envs, strict=True)
        ]
        while not all(rollout.over for rollout in rollouts):
            moments = [[None] * len(batch) if rollout.over else rollout.step() for rollout in rollouts]
            for row in rows:
                pictures = [seen[row] for seen in moments]
                if all(picture is None for picture in pictures):
                    continue
                if row not in reels:
                    reels[row] = open_films.enter_context(Film(batch[row].video, batch[row].caption))
                reels[row].add(joiners[row].join(pictures))
                for side, picture in enumerate(pictures):
                    if picture is None:
                        continue
                    frames[side, row] += 1
                    score = scores[side][row]
                    if score is not None:
                        score.add(picture)
            bar.update(len(batch))
        # The JSON first: a video that is there always has its counts.
        for row, film in enumerate(batch):
            sides = []
            for side, (agent, rollout) in enumerate(zip(agents, rollouts, strict=True)):
                measured, score = rollout.measures[row], scores[side][row]
                part: dict[str, Any] = {
                    "label": agent.label,
                    **agent.note,
                    "frames": int(frames[side, row]),
                    "ended_early": bool(frames[side, row] < gameplay_length),
                    "lost": measured.lost,
                }
                if score is not None:
                    series = score.finish()
                    measured.cosines = series.cosines
                    part["scores"] = {"frames": series.frames, "cosines": series.cosines}
                sides.append({**part, "measures": measured.result()})
                if measured.lost:
                    who = f"{film.video}" if len(agents) == 1 else f"{film.video} ({agent.label})"
                    bar.write(f"{who}: {measured.lost}", file=sys.stderr)
            if row not in reels:
                continue
            content = {
                "name": film.name,
                "kind": film.kind,
                "prompt": film.prompt,
                "seed": film.seed,
                "sampling_seed": film.sampling,
                "cond_scale": film.cond_scale,
                "deterministic": deterministic,
                "gameplay_length": gameplay_length,
                **note,
                "version": version(),
            }
            content |= sides[0] if len(sides) == 1 else {"frames": reels[row].frames, "sides": sides}
            write_json(film.json, content)


def read_json(film: Episode) -> dict[str, Any]:
    """What is noted of a film that is there; empty where it isn't, or nothing can be read."""
    try:
        content = json.loads(film.json.read_text(encoding="utf-8")) if film.video.exists() else {}
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def read_sides(film: Episode) -> list[dict[str, Any]]:
    """What is noted of each agent's episode in a film, in the order in which they stand; empty as above."""
    content = read_json(film)
    sides = content.get("sides", [content] if content else [])
    return [{"label": "", "measures": None, **side} for side in sides]
