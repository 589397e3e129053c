"""The page of a report: what ``steve1.report`` collected, as tables, charts and videos."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from steve1 import charts
from steve1.evaluation import LESS, MORE, spread, telling, who
from steve1.page import chart, data_uri, document, rows, tiles
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES

_STYLE = """
.legend span { margin-right: 1.4em } .legend i { display: inline-block; width: 11px; height: 11px; border-radius: 50%;
  margin-right: .4em }
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 1em }
.films.wide { grid-template-columns: repeat(auto-fill, minmax(520px, 1fr)) }
h3:not(:first-child) { margin-top: 1.2em }
.films figure { margin: 0 } .films video { width: 100%; display: block; background: #000 }
.films figcaption { font-size: .87em; color: #555 }
th.n { text-align: right } .scroll { overflow-x: auto; font-size: .85em } .scroll td { white-space: nowrap }
tr.more td:last-child { color: #00633f; font-weight: 600 } tr.less td:last-child { color: #a40000; font-weight: 600 }
details summary { cursor: pointer }
"""
# Some browsers can't seek in, or play, a video that stands in its address; as a blob all can.
_SCRIPT = """
for (const video of document.querySelectorAll('video[src^="data:"]'))
  fetch(video.src).then(r => r.blob()).then(b => { video.src = URL.createObjectURL(b); }).catch(() => {});
"""


def page(content: Mapping[str, Any], played: Sequence[PlayedEpisode], inside: set[Path], folder: Path) -> str:
    """The page of what ``steve1.report.collect`` found.

    ``inside``: videos that go into it. ``folder``: where it will be, for the links to the others.
    """
    groups, agents = content["groups"], [agent["label"] or "agent" for agent in content["agents"]]
    settings = content["settings"]
    episodes = sum(len(group["episodes"]) for group in groups)
    facts = {
        "episodes": f"{episodes:,}",
        "prompts": f"{len({(g['kind'], g['prompt']) for g in groups if g['kind'] != 'no_goal'})}",
        "of worlds and sampling": content["seeds"],
        "frames an episode (20 a second)": _said(settings.get("gameplay_length")),
        "world": _said(settings.get("world")).removesuffix("Env"),
        "actions": _said(settings.get("deterministic")).replace("False", "sampled").replace("True", "best"),
    }
    title = (
        " against ".join(reversed(agents)) if len(agents) == 2 else ", ".join(agents) or "Nothing was played"
    )
    parts = [tiles(facts)]
    if content["losses"]:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in content["losses"])
        parts.append(
            f'<p class="bad">Worlds were lost; their episodes are left out of the figures.</p><ul>{lines}</ul>'
        )
    parts += [
        _differences(content),
        _figures(content, agents),
        _sweep(content, agents),
        _scores(content, agents),
    ]
    parts += [_videos(played, inside, folder), _all_figures(groups), _made_by(content)]
    return document(
        f"How they play: {title}" if agents else title, "\n".join(filter(None, parts)), _STYLE, _SCRIPT
    )


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _label(group: Mapping[str, Any], many_agents: bool, many_scales: bool) -> str:
    words = [group["prompt"] if group["kind"] != "text" or len(group["prompt"]) <= 24 else group["name"]]
    if many_scales and group["kind"] != "no_goal":
        words.append(f"scale {group['cond_scale'] or 0:g}")
    if many_agents:
        words.append(group["agent"])
    return ", ".join(words)


def _differences(content: Mapping[str, Any]) -> str:
    """The paired differences in the prompts' own measures, or in all where a prompt has none."""
    lines = []
    for row in telling(content["differences"]):
        mark = {MORE: "more", LESS: "less"}.get(row["reading"], "")
        cells = [
            row["prompt"],
            f"{row['measure']} ({MEASURES[row['measure']].unit})",
            f"{who(row)} − {row['minus']}",
            f"{row['cond_scale'] or 0:g}",
            spread(row),
            str(row["n"]),
            row["reading"],
        ]
        lines.append(f'<tr class="{mark}">' + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    if not lines:
        return ""
    heads = (
        "prompt",
        "its own measure",
        "difference",
        "guidance",
        "mean [95 % interval]",
        "seeds",
        "reading",
    )
    head = "".join(f"<th>{text}</th>" for text in heads)
    return (
        "<h2>Differences on the same seeds</h2>\n"
        '<p class="note">Each episode minus the one on the same world and sampling seeds. “more” or “less” where the '
        "interval (Student’s t over seeds) does not hold 0. Of 20 true zeros about one reads so by chance: intervals "
        f"are not corrected for how many there are.</p>\n<table><tr>{head}</tr>\n{''.join(lines)}</table>"
    )


def _shown(content: Mapping[str, Any]) -> list[str]:
    """The measures that charts are made of: those asked for, then the prompts' own, where any is known."""
    own = [group["own_measure"] for group in content["groups"] if group["own_measure"]]
    wanted = dict.fromkeys([*own, *content["shown"], "mineclip_score"])
    return [name for name in wanted if name in own or not _is_flat(content, name)]


def _is_flat(content: Mapping[str, Any], name: str) -> bool:
    """Whether a measure is known of no episode, or 0 in all."""
    episodes = [episode for group in content["groups"] for episode in group["episodes"]]
    return not any(episode["measures"].get(name) for episode in episodes)


def _flat(content: Mapping[str, Any]) -> str:
    """A sentence on the measures that were asked for and have no chart."""
    names = [name for name in content["shown"] if name not in _shown(content)]
    known = {name for group in content["groups"] for name in group["figures"]}
    zero = [name for name in names if name in known]
    absent = [name for name in names if name not in known]
    said = [f"0 in every episode: {', '.join(zero)}." if zero else ""]
    said += [f"Not offered by this world: {', '.join(absent)}." if absent else ""]
    words = html.escape(" ".join(filter(None, said)).replace("_", " "))
    return f'<p class="note">{words}</p>' if words else ""


def _is_sweep(groups: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some prompt was played at several guidance scales."""
    plays = {(group["kind"], group["prompt"], group["cond_scale"]) for group in groups}
    return len(plays) > len({play[:2] for play in plays})


def _title(name: str) -> str:
    return f"{name.replace('_', ' ')} ({MEASURES[name].unit})"


def _figures(content: Mapping[str, Any], agents: Sequence[str]) -> str:
    groups = content["groups"]
    if _is_sweep(groups):
        return ""  # what follows shows the same by scale
    drawn, names = [], _shown(content)
    for name in names:
        lines = [
            charts.Row(
                _label(group, False, False),
                _place(group, agents),
                group["figures"][name]["mean"],
                group["figures"][name]["low"],
                group["figures"][name]["high"],
                [e["measures"][name] for e in group["episodes"] if e["measures"].get(name) is not None],
            )
            for group in groups
            if name in group["figures"]
        ]
        note = html.escape(f"{MEASURES[name].about[0].upper()}{MEASURES[name].about[1:]}.")
        if any(group["own_measure"] == name for group in groups):
            own = [g["prompt"] for g in groups if g["own_measure"] == name and g["kind"] != "no_goal"]
            note += f" <b>What “{html.escape('”, “'.join(dict.fromkeys(own)))}” is judged by.</b>"
        drawn.append(chart(_title(name), note, charts.intervals(lines, MEASURES[name].unit)))
    return (
        '<h2>Figures</h2>\n<p class="note">Faint dots are episodes, full ones means, bars 95 % intervals over seeds, '
        f"cut where the chart ends.</p>\n{charts.legend(agents)}{_flat(content)}"
        f'<div class="charts">\n{"".join(drawn)}</div>'
    )


def _place(group: Mapping[str, Any], agents: Sequence[str]) -> int:
    return agents.index(group["agent"] or "agent")


def _sweep(content: Mapping[str, Any], agents: Sequence[str]) -> str:
    groups = [group for group in content["groups"] if group["kind"] != "no_goal"]
    bare = [group for group in content["groups"] if group["kind"] == "no_goal"]
    if not _is_sweep(groups):
        return ""
    parts = []
    for kind, prompt in dict.fromkeys((group["kind"], group["prompt"]) for group in groups):
        mine = [group for group in groups if (group["kind"], group["prompt"]) == (kind, prompt)]
        own = next(filter(None, (group["own_measure"] for group in mine)), None)
        drawn = []
        for name in _shown(content):
            if name not in (own, "mineclip_score", *content["shown"]):
                continue
            lines = []
            for agent in dict.fromkeys(group["agent"] for group in mine):
                known = [
                    (group["cond_scale"] or 0.0, group["figures"][name])
                    for group in sorted(mine, key=lambda group: group["cond_scale"] or 0.0)
                    if group["agent"] == agent and name in group["figures"]
                ]
                level = next(
                    (
                        g["figures"][name]["mean"]
                        for g in bare
                        if g["agent"] == agent and name in g["figures"]
                    ),
                    None,
                )
                if known:
                    means, lows, highs = ([span[key] for _, span in known] for key in ("mean", "low", "high"))
                    place, scales = agents.index(agent or "agent"), [scale for scale, _ in known]
                    lines.append(charts.Curve(agent, place, scales, means, lows, highs, level))
            if lines:
                note = "What this prompt is judged by." if name == own else ""
                svg = charts.sweep(lines, "guidance scale", MEASURES[name].unit)
                drawn.append(chart(_title(name), note, svg))
        parts.append(f'<h3>{html.escape(prompt)}</h3>\n<div class="charts">{"".join(drawn)}</div>')
    note = "Means at each guidance scale; bars are 95 % intervals over seeds, cut where the chart ends."
    note += " Dashed: without a goal." if bare else ""
    return f'<h2>Guidance</h2>\n<p class="note">{note}</p>\n{charts.legend(agents)}{_flat(content)}{"".join(parts)}'


def _scores(content: Mapping[str, Any], agents: Sequence[str]) -> str:
    drawn = []
    groups = [group for group in content["groups"] if group["score_series"]["frames"]]
    for kind, prompt, scale in dict.fromkeys((g["kind"], g["prompt"], g["cond_scale"]) for g in groups):
        lines = [
            charts.Curve(
                group["agent"],
                _place(group, agents),
                group["score_series"]["frames"],
                group["score_series"]["mean"],
                group["score_series"]["low"],
                group["score_series"]["high"],
            )
            for group in groups
            if (group["kind"], group["prompt"], group["cond_scale"]) == (kind, prompt, scale)
        ]
        words = html.escape(prompt) + (f", scale {scale or 0:g}" if _is_sweep(groups) else "")
        drawn.append(chart(words, "", charts.curves(lines, "frame", "cosine")))
    if not drawn:
        return ""
    return (
        '<h2>MineCLIP score along the way</h2>\n<p class="note">Cosine between the prompt’s embedding and that of the '
        "last 16 frames: mean over seeds, bands are 95 % intervals. It compares episodes of one prompt under one "
        f'MineCLIP, nothing else.</p>\n{charts.legend(agents)}<div class="charts">{"".join(drawn)}</div>'
    )


def _videos(played: Sequence[PlayedEpisode], inside: set[Path], folder: Path) -> str:
    by_film: dict[Path, list[PlayedEpisode]] = {}
    for episode in played:
        if episode.film is not None:
            by_film.setdefault(episode.film, []).append(episode)
    prompts: dict[tuple, list[Path]] = {}
    for film, sides in by_film.items():
        decides = sides[0].decides
        key = (decides["kind"], sides[0].about["caption"], decides["cond_scale"])
        prompts.setdefault(key, []).append(film)
    parts = []
    wide = " wide" if any(len(sides) > 1 for sides in by_film.values()) else ""
    for (kind, caption, scale), films in prompts.items():
        figures = []
        for film in films:
            sides = by_film[film]
            lost = [f"{s.about['label']} {s.measured['lost']}" for s in sides if s.measured["lost"]]
            words = ", ".join(filter(None, [_seeds(sides[0]), "; ".join(lost)]))
            if film in inside:
                source = data_uri("video/mp4", film.read_bytes())
            else:
                source = quote(os.path.relpath(film, folder).replace(os.sep, "/"))
                words += f' (<a href="{source}">{html.escape(film.name)}</a>)'
            figures.append(
                f'<figure><video controls muted loop playsinline preload="metadata" src="{source}"></video>'
                f"<figcaption>{words}</figcaption></figure>"
            )
        guided = "" if kind == "no_goal" else f" <small>guidance {scale or 0:g}</small>"
        grid = f'<div class="films{wide}">{"".join(figures)}</div>'
        parts.append(f"<h3>{html.escape(caption)}{guided}</h3>\n{grid}\n")
    if not parts:
        return ""
    linked = len(by_film) - len(inside)
    note = "All videos are in this file."
    if linked:
        note = (
            f"{linked} videos are beside this file, as links, and must be kept with it; the others are in it."
        )
    if wide:
        names = [episode.about["label"] for sides in by_film.values() for episode in sides]
        note += f" From left to right: {html.escape(', '.join(dict.fromkeys(names)))}."
    return f'<h2>Videos</h2>\n<p class="note">{note}</p>\n{"".join(parts)}'


def _seeds(episode: PlayedEpisode) -> str:
    world, sampling = episode.decides["world_seed"], episode.decides["sampling_seed"]
    return f"seed {world}" if sampling == world else f"world {world}, sampling {sampling}"


def _all_figures(groups: Sequence[Mapping[str, Any]]) -> str:
    """Every measure of every group, and what the measures are."""
    known = [name for name in MEASURES if any(name in group["figures"] for group in groups)]
    many = len({group["agent"] for group in groups}) > 1, _is_sweep(groups)
    columns = [_label(group, *many) for group in groups]
    lines = [
        [
            name,
            MEASURES[name].unit,
            *(spread(g["figures"][name]) if name in g["figures"] else "-" for g in groups),
        ]
        for name in known
    ]
    about = [
        [name, m.unit, f"{m.about}{' (published measure)' if m.published else ''}"]
        for name, m in MEASURES.items()
    ]
    table = rows(["measure", "unit", *columns], lines, len(columns)) if lines else ""
    return (
        f'<h2>All figures</h2>\n<p class="note">Means over seeds with 95 % intervals; the JSON beside this file has '
        f'every episode’s.</p>\n<div class="scroll">{table}</div>\n<details><summary>What the measures are</summary>'
        f"{rows(['measure', 'unit', 'what it is'], about)}</details>"
    )


def _made_by(content: Mapping[str, Any]) -> str:
    lines = []
    for agent in content["agents"]:
        known = agent["weights_hash"][:12]
        lines.append(
            [f"weights of {agent['label'] or 'the agent'}", f"{agent['in_weights']} (tensors {known})"]
        )
    for key, value in content["settings"].items():
        shown = _said(value)
        lines.append([key.replace("_", " "), shown[:12] if key.endswith("hash") else shown])
    lines.append(["seeds", content["seeds"]])
    return f"<h2>Made by</h2>\n{rows(['what', 'which'], lines)}"
