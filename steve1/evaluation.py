"""What played episodes come to: figures over seeds, and paired differences, from their records alone.

Every interval is a 95 % one over seeds (``steve1.intervals``), none is corrected for how many there are. An episode
whose world was lost is left out of all figures, and named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from steve1.intervals import Interval, mean_interval, paired_difference
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES, own_measure

MORE, LESS, OPEN = "more", "less", "not told apart"


@dataclass
class Group:
    """The episodes of one prompt, agent and guidance scale."""

    name: str
    kind: str
    prompt: str
    behaviour: str
    agent: str
    cond_scale: float | None
    episodes: list[PlayedEpisode] = field(default_factory=list)

    @property
    def whole(self) -> list[PlayedEpisode]:
        """Those whose world was not lost."""
        return [episode for episode in self.episodes if not episode.measured["lost"]]

    @property
    def own(self) -> str | None:
        """The measure that the prompt is judged by."""
        return next(
            filter(None, (own_measure(self.behaviour, e.measured["measures"]) for e in self.whole)), None
        )

    def values(self, measure: str) -> dict[tuple[int, int], float]:
        """A measure's value by the episode's two seeds; what is not known is left out."""
        return {
            (episode.decides["world_seed"], episode.decides["sampling_seed"]): value
            for episode in self.whole
            if (value := episode.measured["measures"].get(measure)) is not None
        }

    def figures(self, measures: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Mean, bounds and number of episodes of each measure that is known of any."""
        known = ((name, list(self.values(name).values())) for name in measures)
        return {name: _plain(mean_interval(values), len(values)) for name, values in known if values}

    def score_series(self) -> dict[str, list[Any]]:
        """The MineCLIP score along the way: at each frame the mean over the episodes that reached it."""
        at: dict[int, list[float]] = {}
        for episode in self.whole:
            series = episode.measured["scores"] or {"frames": [], "cosines": []}
            for frame, cosine in zip(series["frames"], series["cosines"], strict=True):
                at.setdefault(frame, []).append(cosine)
        spans = [_plain(mean_interval(values), len(values)) for _, values in sorted(at.items())]
        return {"frames": sorted(at), **{key: [span[key] for span in spans] for key in _KEYS}}


_KEYS = ("mean", "low", "high", "n")


def _plain(span: Interval, n: int) -> dict[str, Any]:
    """JSON has no infinity: the bounds of a single value are None."""
    mean, low, high = (value if math.isfinite(value) else None for value in span)
    return dict(zip(_KEYS, (mean, low, high, n), strict=True))


def groups_of(episodes: Sequence[PlayedEpisode]) -> list[Group]:
    """The episodes prompt by prompt, in their order."""
    groups: dict[tuple, Group] = {}
    for episode in episodes:
        decides, about = episode.decides, episode.about
        key = (decides["kind"], decides["prompt"], about["name"], decides["cond_scale"], about["label"])
        shown = (about["name"], decides["kind"], about["caption"], about["behaviour"], about["label"])
        groups.setdefault(key, Group(*shown, decides["cond_scale"])).episodes.append(episode)
    return list(groups.values())


def differences(groups: Sequence[Group], measures: Sequence[str]) -> list[dict[str, Any]]:
    """Paired differences: each prompt against no goal, and each agent against the first one, on the same seeds.

    For every measure of ``measures`` and the prompt's own. ``reading`` says whether the interval lies above 0
    (:data:`MORE`), below it (:data:`LESS`), or neither.
    """
    found = []
    first_agent = groups[0].agent if groups else ""
    for group in groups:
        others = [("no goal", g) for g in groups if g.kind == "no_goal" and g.agent == group.agent]
        if group.kind == "no_goal":
            others = []
        if group.agent != first_agent:
            same = (group.kind, group.prompt, group.name, group.cond_scale)
            others += [
                (first_agent, g)
                for g in groups
                if g.agent == first_agent and (g.kind, g.prompt, g.name, g.cond_scale) == same
            ]
        for minus, other in others:
            for measure in dict.fromkeys([*filter(None, [group.own]), *measures]):
                ours, theirs = group.values(measure), other.values(measure)
                seeds = [seed for seed in ours if seed in theirs]
                if not seeds:
                    continue
                span = paired_difference([ours[s] for s in seeds], [theirs[s] for s in seeds])
                found.append(
                    {
                        "name": group.name,
                        "kind": group.kind,
                        "prompt": group.prompt,
                        "cond_scale": group.cond_scale,
                        "agent": group.agent,
                        "minus": minus,
                        "measure": measure,
                        "own": measure == group.own,
                        **_plain(span, len(seeds)),
                        "reading": MORE if span.low > 0 else LESS if span.high < 0 else OPEN,
                    }
                )
    return found


def telling(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the differences those that tell most: a prompt's in its own measure, or in all where it has none."""
    judged = {row["prompt"] for row in found if row["own"]}
    return [row for row in found if row["own"] or (row["kind"] != "no_goal" and row["prompt"] not in judged)]


def who(row: dict[str, Any]) -> str:
    """What a difference's other side is subtracted from."""
    return f"{row['agent']} with the prompt" if row["minus"] == "no goal" else row["agent"]


def evaluation(episodes: Sequence[PlayedEpisode], measures: Sequence[str]) -> dict[str, Any]:
    """All of it as plain JSON. ``measures``: those that differences are taken of, besides each prompt's own."""
    groups = groups_of(episodes)
    return {
        "measures": {
            name: {"unit": m.unit, "better": m.better, "about": m.about, "published": m.published}
            for name, m in MEASURES.items()
        },
        "shown": list(measures),
        "groups": [
            {
                "name": group.name,
                "kind": group.kind,
                "prompt": group.prompt,
                "agent": group.agent,
                "cond_scale": group.cond_scale,
                "own_measure": group.own,
                "lost": len(group.episodes) - len(group.whole),
                "figures": group.figures(MEASURES),
                "score_series": group.score_series(),
                "episodes": [
                    {
                        "seed": episode.decides["world_seed"],
                        "sampling_seed": episode.decides["sampling_seed"],
                        "video": None if episode.film is None else episode.film.name,
                        "frames": episode.measured["frames"],
                        "lost": episode.measured["lost"],
                        "measures": episode.measured["measures"],
                        "actions_hash": episode.measured["actions_hash"],
                    }
                    for episode in group.episodes
                ],
            }
            for group in groups
        ],
        "differences": differences(groups, measures),
    }


def spread(span: dict[str, Any]) -> str:
    """``mean [low, high]``, or the mean alone where one value gives no bounds."""
    if span["low"] is None:
        return f"{span['mean']:.3g}"
    return f"{span['mean']:.3g} [{span['low']:.3g}, {span['high']:.3g}]"
