"""The films of a report, prompt by prompt: where each is, its poster, its figure, its timeline and its goal strip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from steve1.films.film import middle_picture
from steve1.judging.tables import guidance
from steve1.judging.verdicts import Group
from steve1.pages.render import data_uri
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES
from steve1.playing.timeline import PITCH

_POSTER = 480  # pixels wide


def films_inside(groups: Sequence[Group], limit: float) -> set[Path]:
    """The films that fit into ``limit`` bytes, every prompt's first ones first."""
    order = [
        (nth, episode.film)
        for group in groups
        for nth, episode in enumerate(e for e in group.episodes if e.film is not None)
    ]
    taken, chosen = 0, set[Path]()
    for _, film in sorted(order, key=lambda pair: pair[0]):
        if film is None or film in chosen:
            continue
        size = film.stat().st_size
        if taken + size > limit:
            break
        taken += size
        chosen.add(film)
    return chosen


def shown_films(groups: Sequence[Group], inside: set[Path], folder: Path) -> list[dict[str, Any]]:
    """The films of all groups, prompt by prompt, as the template shows them.

    ``inside``: those that go into the page itself; the others are links from ``folder``.
    """
    owns = {id(episode): group.own for group in groups for episode in group.episodes}
    played = [episode for group in groups for episode in group.episodes]
    parts: dict[tuple, dict[str, Any]] = {}
    for film in dict.fromkeys(episode.film for episode in played if episode.film is not None):
        sides = [episode for episode in played if episode.film == film]
        decides, about = sides[0].decides, sides[0].about
        key = (decides["kind"], decides["prompt"], decides["cond_scale"])
        scale = "" if decides["kind"] == "no_goal" else f"guidance {guidance(decides['cond_scale'])}"
        strip = about.get("goal_strip") or {"moments": [], "warning": ""}
        new = {"caption": about["caption"], "guidance": scale, "strip": strip, "warnings": [], "films": []}
        part = parts.setdefault(key, new)
        if strip["warning"] and strip["warning"] not in part["warnings"]:
            part["warnings"].append(strip["warning"])
        world, sampling = decides["world_seed"], decides["sampling_seed"]
        link = "" if film in inside else quote(os.path.relpath(film, folder).replace(os.sep, "/"))
        part["films"].append(
            {
                "source": link or data_uri("video/mp4", film.read_bytes()),
                "poster": data_uri("image/jpeg", middle_picture(film, _POSTER)),
                "link": link,
                "file": film.name,
                "seeds": f"seed {world}" if sampling == world else f"world {world}, sampling {sampling}",
                "figures": [figure(side, owns[id(side)], len(sides) > 1) for side in sides],
                "curves": [line for side in sides for line in curves(side, owns[id(side)], len(sides) > 1)],
                "agents": [side.about["label"] for side in sides],
            }
        )
    return list(parts.values())


def worlds(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The seeds on which several prompts were filmed, for a look at one world with all of them."""
    times: dict[str, int] = {}
    for part in parts:
        for seeds in dict.fromkeys(film["seeds"] for film in part["films"]):
            times[seeds] = times.get(seeds, 0) + 1
    return [seeds for seeds, n in times.items() if n > 1]


def figure(episode: PlayedEpisode, own: str | None, named: bool) -> str:
    """What an episode came to in its own measure, in words; why there is no more of it, where its world was lost.

    ``named``: with the agent's name in front. "" where there is nothing to say.
    """
    value = None if own is None else episode.measured["measures"].get(own)
    said = (
        [] if own is None or value is None else [f"{own.replace('_', ' ')} {value:.3g} {MEASURES[own].unit}"]
    )
    said += [episode.measured["lost"]] if episode.measured["lost"] else []
    return f"{episode.about['label']}: {'; '.join(said)}" if said and named else "; ".join(said)


def curves(episode: PlayedEpisode, own: str | None, named: bool) -> list[dict[str, Any]]:
    """An episode's curves over its frames: ``name``, ``points`` [frame, value], bounds ``low`` and ``high``, or None.

    Its own measure so far, the pitch, and the MineCLIP score, as far as its record has them.
    """
    timeline = episode.measured.get("timeline") or {"frames": [], "curves": {}}
    lines = [
        (name, timeline["frames"], timeline["curves"][name])
        for name in filter(None, (own, PITCH))
        if name in timeline["curves"]
    ]
    scores = episode.measured.get("scores")
    lines += [("mineclip_score", scores["frames"], scores["cosines"])] if scores else []
    return [
        {
            "name": f"{episode.about['label']}: {_called(name)}" if named else _called(name),
            "points": list(zip(frames, values, strict=True)),
            "low": -90 if name == PITCH else None if name == "mineclip_score" else 0,
            "high": 90 if name == PITCH else None,
        }
        for name, frames, values in lines
        if frames
    ]


def _called(name: str) -> str:
    unit = "degrees, down is positive" if name == PITCH else MEASURES[name].unit
    return f"{name.replace('_', ' ')} ({unit})"
