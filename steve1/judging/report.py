"""The report of played episodes: one page with verdicts, films, charts and figures, and the same as JSON beside it.

The page needs nothing from elsewhere but those films that were too large to put into it, which are links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from steve1.files import write_json, write_text
from steve1.judging.shown_films import films_inside, shown_films, worlds
from steve1.judging.tables import RULE, guidance, losses, sentence, short, spread, summary, verdict_rows
from steve1.judging.verdicts import (
    LOSES,
    WINS,
    Group,
    Interval,
    Verdict,
    groups_of,
    interval,
    judge_groups,
    told,
)
from steve1.pages import charts
from steve1.pages.render import page
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES

_TEMPLATE = Path(__file__).with_name("report.html")
_DECIDED = ("world", "world_version", "gameplay_length", "deterministic", "precision", "device")
_MADE_BY = ("prior_hash", "mineclip_hash", "version")


def write_report(
    path: Path, episodes: Sequence[PlayedEpisode], measures: Sequence[str], embed_mb: float
) -> str:
    """Write ``path`` (.html) and the JSON beside it; a sentence on what was written.

    ``measures``: those of the charts, besides the prompts' own. ``embed_mb``: MB of films that go into the page.
    """
    groups = groups_of(episodes)
    verdicts = judge_groups(groups, measures)
    content = collect(episodes, groups, verdicts, measures)
    films = list(dict.fromkeys(episode.film for episode in episodes if episode.film is not None))
    inside = films_inside(groups, embed_mb * 1e6)
    write_json(path.with_suffix(".json"), content)
    write_text(path, _page(content, episodes, groups, verdicts, inside, path.parent))
    linked = len(films) - len(inside)
    where = "all in the page itself" if not linked else f"{len(inside)} in the page itself, {linked} as links"
    said = f"{len(films)} films, {where}" if films else "without films"
    return f"{path} and {path.with_suffix('.json').name} written; {said}"


def collect(
    episodes: Sequence[PlayedEpisode],
    groups: Sequence[Group],
    verdicts: Sequence[Verdict],
    measures: Sequence[str],
) -> dict[str, Any]:
    """The verdicts, figures and settings of a report as plain JSON; the same episodes give the same."""
    agents: dict[tuple, dict[str, Any]] = {}
    for episode in episodes:
        known = {
            "label": episode.about["label"],
            "in_weights": episode.about["in_weights"],
            "in_weights_hash": episode.decides["weights_hash"],
        }
        agents.setdefault(tuple(known.values()), known)
    settings = {name: _distinct([e.decides.get(name) for e in episodes]) for name in (*_DECIDED, *_MADE_BY)}
    settings["prior_weights"] = _distinct([episode.about.get("prior_weights") for episode in episodes])
    return {
        "seeds": _said(_distinct([episode.about["seeds"] for episode in episodes])),
        # One value, or all that there are where the episodes were played with several.
        "settings": {
            name: found[0] if len(found) == 1 else found for name, found in settings.items() if found
        },
        "agents": list(agents.values()),
        "losses": losses(episodes),
        "measures": {name: asdict(measure) for name, measure in MEASURES.items()},
        "shown": list(measures),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "groups": [_plain(group) for group in groups],
    }


def _plain(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "kind": group.kind,
        "prompt": group.prompt,
        "agent": group.agent,
        "cond_scale": group.cond_scale,
        "own_measure": group.own,
        "lost": group.lost,
        "figures": {name: asdict(span) for name, span in group.figures(MEASURES).items()},
        "score_series": score_series(group),
        "episodes": [
            {
                "seed": episode.decides["world_seed"],
                "sampling_seed": episode.decides["sampling_seed"],
                "video": episode.film.name if episode.film is not None else None,
                "frames": episode.measured["frames"],
                "lost": episode.measured["lost"],
                "measures": episode.measured["measures"],
            }
            for episode in group.episodes
        ],
    }


def score_series(group: Group) -> dict[str, list[Any]]:
    """The MineCLIP score along the way: at each frame the mean over the whole episodes that reached it."""
    at: dict[int, list[float]] = {}
    for episode in group.episodes:
        series = episode.measured.get("scores")
        if series and not episode.measured["lost"]:
            for frame, cosine in zip(series["frames"], series["cosines"], strict=True):
                at.setdefault(frame, []).append(cosine)
    spans = [asdict(interval(values, -1.0, 1.0)) for _, values in sorted(at.items())]
    return {
        "frames": sorted(at),
        **{key: [span[key] for span in spans] for key in ("mean", "low", "high", "n")},
    }


def _distinct(values: Sequence[Any]) -> list[Any]:
    return [v for place, v in enumerate(values) if v is not None and v not in values[:place]]


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _page(
    content: dict[str, Any],
    episodes: Sequence[PlayedEpisode],
    groups: Sequence[Group],
    verdicts: Sequence[Verdict],
    inside: set[Path],
    folder: Path,
) -> str:
    agents = [agent["label"] or "agent" for agent in content["agents"]]
    settings = content["settings"]
    show = _Charts(groups, agents, content["shown"])
    films = shown_films(groups, inside, folder)
    linked = sum(film["link"] != "" for part in films for film in part["films"])
    wide = any(len(film["agents"]) > 1 for part in films for film in part["films"])
    names = [_name(group, len(agents) > 1, show.swept) for group in groups]
    figures = [group.figures(MEASURES) for group in groups]
    return page(
        _TEMPLATE,
        title=" against ".join(reversed(agents)) if len(agents) == 2 else ", ".join(agents),
        facts={
            "episodes": f"{len(episodes):,}",
            "prompts": str(len({(g.kind, g.prompt) for g in groups if g.kind != "no_goal"})),
            "of worlds and sampling": content["seeds"],
            "frames an episode (20 a second)": _said(settings.get("gameplay_length", "-")),
            "world": _said(settings.get("world", "-")).removesuffix("Env"),
            "actions": _said(settings.get("deterministic", "-"))
            .replace("False", "sampled")
            .replace("True", "best"),
        }
        if episodes
        else {},
        losses=content["losses"],
        sentences=[
            ({WINS: "good", LOSES: "bad"}.get(v.word, ""), sentence(v, len(agents) > 1))
            for v in told(verdicts)
        ],
        summary=summary(verdicts),
        rule=RULE,
        films=films,
        worlds=worlds(films),
        curves_js=Markup((_TEMPLATE.parents[1] / "pages" / "curves.js").read_text(encoding="utf-8")),
        wide=wide,
        linked=linked,
        agents=agents,
        colours=charts.COLOURS,
        unshown=show.unshown(),
        swept=show.swept,
        has_control=any(group.kind == "no_goal" for group in groups),
        measured=[] if show.swept else show.measured(),
        sweeps=show.sweeps() if show.swept else [],
        scores=show.scores(),
        verdict_rows=verdict_rows(verdicts),
        figure_heads=["measure", "unit", *names],
        figure_rows=[
            [name, MEASURES[name].unit, *(spread(spans.get(name)) for spans in figures)]
            for name in MEASURES
            if any(name in spans for spans in figures)
        ],
        about=[
            [name, m.unit, f"{m.about}{' (published measure)' if m.published else ''}"]
            for name, m in MEASURES.items()
        ],
        made_by=_made_by(content),
    )


def _name(group: Group, several_agents: bool, several_scales: bool) -> str:
    words = [short(group)]
    if several_scales and group.kind != "no_goal":
        words.append(f"scale {guidance(group.cond_scale)}")
    return ", ".join([*words, group.agent] if several_agents else words)


def _made_by(content: dict[str, Any]) -> list[list[str]]:
    lines = []
    for agent in content["agents"]:
        known = str(agent["in_weights_hash"] or "")[:12]
        lines.append(
            [f"weights of {agent['label'] or 'the agent'}", f"{agent['in_weights']} (tensors {known})"]
        )
    for key, value in content["settings"].items():
        shown = _said([v[:12] for v in _several(value)]) if key.endswith("hash") else _said(value)
        lines.append([key.replace("_", " "), shown])
    lines.append(["seeds", content["seeds"]])
    return lines


def _several(value: Any) -> list[str]:
    return [str(part) for part in (value if isinstance(value, list) else [value])]


class _Charts:
    """The charts of a report. ``shown``: the measures that were asked for, besides the prompts' own."""

    def __init__(self, groups: Sequence[Group], agents: Sequence[str], shown: Sequence[str]) -> None:
        self.groups, self.agents, self.shown = groups, agents, shown
        plays = {(group.kind, group.prompt, group.cond_scale) for group in groups}
        self.swept = len(plays) > len({play[:2] for play in plays})  # some prompt at several guidance scales
        own = [group.own for group in groups if group.own]
        wanted = dict.fromkeys([*own, *shown, "mineclip_score"])
        self.figures = [group.figures(wanted) for group in groups]
        nonzero = {n for g in groups for n in wanted if any(g.values(n).values())}
        self.names = [name for name in wanted if name in own or name in nonzero]

    def unshown(self) -> str:
        """A sentence on the measures that were asked for and have no chart."""
        names = [name for name in self.shown if name not in self.names]
        known = {name for spans in self.figures for name in spans}
        zero = [name.replace("_", " ") for name in names if name in known]
        absent = [name.replace("_", " ") for name in names if name not in known]
        said = [f"0 in every episode: {', '.join(zero)}." if zero else ""]
        said += [f"Not known of any episode: {', '.join(absent)}." if absent else ""]
        return " ".join(filter(None, said))

    def measured(self) -> list[dict[str, Any]]:
        """A chart a measure: every prompt's episodes, mean and interval."""
        drawn = []
        for name in self.names:
            lines = [
                charts.Row(
                    _name(group, False, False),
                    self._colour(group),
                    *_bounds(spans[name]),
                    list(group.values(name).values()),
                )
                for group, spans in zip(self.groups, self.figures, strict=True)
                if name in spans
            ]
            own = dict.fromkeys(group.prompt for group in self.groups if group.own == name)
            if lines:
                svg = charts.intervals(lines, MEASURES[name].unit)
                drawn.append({**_titled(name), "judged": list(own), "svg": svg})
        return drawn

    def sweeps(self) -> list[dict[str, Any]]:
        """For each prompt a chart a measure over the guidance scales."""
        parts = []
        asked = [group for group in self.groups if group.kind != "no_goal"]
        for kind, prompt in dict.fromkeys((group.kind, group.prompt) for group in asked):
            mine = [group for group in asked if (group.kind, group.prompt) == (kind, prompt)]
            drawn = []
            for name in self.names:
                own = any(group.own == name for group in mine)
                lines = list(filter(None, (self._over_scales(mine, name, p) for p in _players(mine))))
                if lines and (own or name in (*self.shown, "mineclip_score")):
                    svg = charts.sweep(lines, "guidance scale", MEASURES[name].unit)
                    drawn.append({**_titled(name), "judged": [prompt] if own else [], "svg": svg})
            parts.append({"prompt": prompt, "charts": drawn})
        return parts

    def _over_scales(self, mine: Sequence[Group], name: str, player: tuple[str, str]) -> charts.Curve | None:
        spans = {id(group): found for group, found in zip(self.groups, self.figures, strict=True)}
        known = [g for g in mine if g.player == player and name in spans[id(g)]]
        known.sort(key=lambda group: group.cond_scale or 0.0)
        if not known:
            return None
        bare = [g for g in self.groups if g.kind == "no_goal" and g.player == player and name in spans[id(g)]]
        means, lows, highs = zip(*(_bounds(spans[id(group)][name]) for group in known), strict=True)
        level = spans[id(bare[0])][name].mean if bare else None
        scales = [group.cond_scale or 0.0 for group in known]
        return charts.Curve(player[0] or "agent", self._colour(known[0]), scales, means, lows, highs, level)

    def scores(self) -> list[dict[str, Any]]:
        """A chart a prompt and scale: the MineCLIP score along the way."""
        series = [(group, score_series(group)) for group in self.groups]
        series = [(group, along) for group, along in series if along["frames"]]
        drawn = []
        for key in dict.fromkeys((g.kind, g.prompt, g.cond_scale) for g, _ in series):
            lines = [
                charts.Curve(g.agent or "agent", self._colour(g), s["frames"], s["mean"], s["low"], s["high"])
                for g, s in series
                if (g.kind, g.prompt, g.cond_scale) == key
            ]
            title = f"{key[1]}, scale {guidance(key[2])}" if self.swept else key[1]
            drawn.append({"title": title, "svg": charts.curves(lines, "frame", "cosine")})
        return drawn

    def _colour(self, group: Group) -> int:
        return self.agents.index(group.agent or "agent")


def _players(groups: Sequence[Group]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(group.player for group in groups))


def _bounds(span: Interval) -> tuple[float, float | None, float | None]:
    return span.mean, span.low, span.high


def _titled(name: str) -> dict[str, str]:
    measure = MEASURES[name]
    about = f"{measure.about[0].upper()}{measure.about[1:]}."
    return {"title": f"{name.replace('_', ' ')} ({measure.unit})", "about": about}
