"""What films come to: figures over seeds, and paired differences, from the JSON files beside the videos.

Every interval is a 95 % one over seeds (``steve1.intervals``), none is corrected for how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from steve1.filming import Episode, read_sides
from steve1.intervals import Interval, mean_interval, paired_difference
from steve1.playing.measures import MEASURES, own_measure
from steve1.tables import aligned

MORE, LESS, OPEN = "more", "less", "not told apart"


@dataclass
class Group:
    """The episodes of one prompt, agent and guidance scale. ``sides``: their notes, a film each."""

    name: str
    kind: str
    prompt: str
    behaviour: str
    agent: str
    cond_scale: float | None
    films: list[Episode] = field(default_factory=list)
    sides: list[dict[str, Any]] = field(default_factory=list)

    @property
    def own(self) -> str | None:
        """The measure that the prompt is judged by."""
        return next(
            filter(None, (own_measure(self.behaviour, side["measures"]) for side in self.sides)), None
        )

    def values(self, measure: str) -> dict[tuple[int, int], float]:
        """A measure's value by the episode's two seeds; what is not known is left out."""
        return {
            (film.seed, film.sampling): side["measures"][measure]
            for film, side in zip(self.films, self.sides, strict=True)
            if side["measures"].get(measure) is not None
        }

    def figures(self, measures: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Mean, bounds and number of episodes of each measure that is known of any."""
        known = ((name, list(self.values(name).values())) for name in measures)
        return {name: _plain(mean_interval(values), len(values)) for name, values in known if values}

    def score_series(self) -> dict[str, list[Any]]:
        """The MineCLIP score along the way: at each frame the mean over the episodes that reached it."""
        at: dict[int, list[float]] = {}
        for side in self.sides:
            series = side.get("scores") or {"frames": [], "cosines": []}
            for frame, cosine in zip(series["frames"], series["cosines"], strict=True):
                at.setdefault(frame, []).append(cosine)
        spans = [_plain(mean_interval(values), len(values)) for _, values in sorted(at.items())]
        return {"frames": sorted(at), **{key: [span[key] for span in spans] for key in _KEYS}}


_KEYS = ("mean", "low", "high", "n")


def _plain(span: Interval, n: int) -> dict[str, Any]:
    """JSON has no infinity: the bounds of a single value are None."""
    mean, low, high = (value if math.isfinite(value) else None for value in span)
    return dict(zip(_KEYS, (mean, low, high, n), strict=True))


def groups_of(films: Sequence[Episode]) -> list[Group]:
    """The films that are there, prompt by prompt, in the films' order; no goal comes last."""
    groups: dict[tuple, Group] = {}
    for film in films:
        for side in read_sides(film):
            if not isinstance(side["measures"], dict):
                continue
            key = (film.kind, film.prompt, film.name, film.cond_scale, side["label"])
            group = groups.setdefault(
                key,
                Group(film.name, film.kind, film.caption, film.behaviour, side["label"], film.cond_scale),
            )
            group.films.append(film)
            group.sides.append(side)
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


def evaluation(films: Sequence[Episode], measures: Sequence[str]) -> dict[str, Any]:
    """All of it as plain JSON. ``measures``: those that differences are taken of, besides each prompt's own."""
    groups = groups_of(films)
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
                "lost": sum(bool(side["lost"]) for side in group.sides),
                "figures": group.figures(MEASURES),
                "score_series": group.score_series(),
                "episodes": [
                    {
                        "seed": film.seed,
                        "sampling_seed": film.sampling,
                        "video": film.video.name,
                        "frames": side["frames"],
                        "lost": side["lost"],
                        "measures": side["measures"],
                    }
                    for film, side in zip(group.films, group.sides, strict=True)
                ],
            }
            for group in groups
        ],
        "differences": differences(groups, measures),
    }


def table(films: Sequence[Episode], measures: Sequence[str]) -> str:
    """The counts of all films, a line a prompt (and agent, and scale), over its seeds."""
    groups = groups_of(films)
    agents = {group.agent for group in groups}
    scales = {group.cond_scale or 0.0 for group in groups if group.kind != "no_goal"}
    extra = [name for name, many in (("agent", agents), ("guidance", scales)) if len(many) > 1]

    def cell(group: Group, name: str) -> str:
        values = list(group.values(name).values())
        if not values:
            return "-"
        mean, low, _ = mean_interval(values)
        return f"{mean:.4g}" if len(values) == 1 else f"{mean:.4g} ± {mean - low:.2g}"

    heads = [f"{name} ({MEASURES[name].unit})" for name in measures]
    lines = [["prompt", *extra, "seeds", *heads, "its own measure"]]
    for group in groups:
        own = group.own
        shown = group.prompt if len(group.prompt) <= 40 else f"{group.prompt[:37]}..."
        facts = {"agent": group.agent, "guidance": f"{group.cond_scale or 0:g}"}
        own_cell = f"{own} {cell(group, own)} ({MEASURES[own].unit})" if own else ""
        lines.append(
            [
                shown,
                *(facts[name] for name in extra),
                str(len(group.sides)),
                *(cell(group, m) for m in measures),
                own_cell,
            ]
        )
    return aligned(lines)


def difference_table(films: Sequence[Episode], measures: Sequence[str]) -> str:
    """The paired differences in each prompt's own measure (in all of ``measures`` where it has none), a line each."""
    found = telling(differences(groups_of(films), measures))
    if not found:
        return ""
    lines = [["prompt", "measure", "difference", "guidance", "mean [95 % interval]", "seeds", "reading"]]
    for row in found:
        shown = row["prompt"] if len(row["prompt"]) <= 40 else f"{row['prompt'][:37]}..."
        unit = MEASURES[row["measure"]].unit
        lines.append(
            [
                shown,
                f"{row['measure']} ({unit})",
                f"{who(row)} - {row['minus']}",
                f"{row['cond_scale'] or 0:g}",
                spread(row),
                str(row["n"]),
                row["reading"],
            ]
        )
    return aligned(lines)


def spread(span: dict[str, Any]) -> str:
    """``mean [low, high]``, or the mean alone where one value gives no bounds."""
    if span["low"] is None:
        return f"{span['mean']:.3g}"
    return f"{span['mean']:.3g} [{span['low']:.3g}, {span['high']:.3g}]"


def losses(films: Sequence[Episode]) -> list[str]:
    """A line for each episode that its world's loss cut short, and for each that has no film because of it."""
    lines = []
    for film in films:
        if not film.video.exists():
            lines.append(
                f"{film.video}: not made, its world was lost before its first step; run the same command again"
            )
        sides = read_sides(film)
        for side in sides:
            if side.get("lost"):
                who = f" ({side['label']})" if len(sides) > 1 else ""
                lines.append(
                    f"{film.video}{who}: {side['lost']} (to play it again, remove it and run the same command)"
                )
    return lines
