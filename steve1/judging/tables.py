"""Verdicts and figures as text: sentences, and tables for a terminal. What they say is decided in ``verdicts``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steve1.judging.verdicts import (
    EQUAL,
    MIN_WORLDS,
    NO_GOAL,
    TOO_FEW,
    WINS,
    Group,
    Interval,
    Verdict,
    told,
)
from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES

RULE = (
    f"paired sign-flip test at 5 % on the same worlds, none below {MIN_WORLDS} worlds; intervals are 95 % (bootstrap "
    "over worlds); not corrected for how many comparisons there are"
)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Rows of as many cells each as lines of text, the columns aligned, two spaces apart."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def spread(span: Interval | None) -> str:
    """``mean [low, high]``, or the mean alone where there are no bounds."""
    if span is None:
        return "-"
    bounds = "" if span.low is None or span.high is None else f" [{span.low:.3g}, {span.high:.3g}]"
    return f"{span.mean:.3g}{bounds}"


def guidance(scale: float | None) -> str:
    """A guidance scale; none is 0."""
    return f"{scale or 0:g}"


def short(asked: Group | Verdict) -> str:
    """What a prompt is called where there is little room: itself, or its name where it is long."""
    return asked.prompt if asked.kind != "text" or len(asked.prompt) <= 24 else asked.name


def sentence(verdict: Verdict, several_agents: bool = False) -> str:
    """A verdict in one sentence."""
    v = verdict
    who = f"“{_cut(v.prompt, 60)}”" if v.kind != "no_goal" else v.prompt.capitalize()
    who += f" at guidance {guidance(v.cond_scale)}" if v.kind != "no_goal" else ""
    if several_agents or v.against != NO_GOAL:
        who += f", played by {v.agent},"
    control = v.against if v.against == NO_GOAL else f"{v.against} with the same"
    what = f"{v.measure.replace('_', ' ')} ({MEASURES[v.measure].unit})"
    if v.ours is None or v.theirs is None or v.difference is None:
        return f"{who} can't be compared with {control} in {what}: {v.word}, {_worlds(v)}."
    verb = {EQUAL: "is not told apart from", TOO_FEW: "has too few worlds to be compared with"}
    how = verb.get(v.word) or f"{v.word if v.word.endswith('s') else f'is {v.word}'} against"
    tail = "" if v.p_value is None else f", p = {v.p_value:.2g}"
    said = f"{who} {how} {control} in {what}: {spread(v.ours)} against {spread(v.theirs)}, {_worlds(v)}{tail}"
    if v.rival is not None and v.against == NO_GOAL:
        others = f"the other {v.rival.of} prompts" if v.rival.of > 1 else "the other prompt"
        gap = abs(v.rival.ahead)
        if v.rival.ahead > 0:
            said += f"; its mean lies above that of {others} at this guidance, {gap:.3g} over “{_cut(v.rival.prompt)}”"
        else:
            more = f"{gap:.3g} more" if gap else "just as much"
            said += f"; yet of {others} at this guidance “{_cut(v.rival.prompt)}” has {more} of it"
    return f"{said}."


def _worlds(verdict: Verdict) -> str:
    n = verdict.difference.n if verdict.difference is not None else 0
    left = f" ({verdict.left_out} left out, lost or not played)" if verdict.left_out else ""
    return f"{n} world{'' if n == 1 else 's'}{left}"


def summary(verdicts: Sequence[Verdict]) -> list[str]:
    """For each agent how many prompts win their own measure, and of how many its mean is the highest."""
    lines = []
    own = [v for v in verdicts if v.own and v.against == NO_GOAL]
    agents = dict.fromkeys(v.agent for v in own)
    for agent in agents:
        mine = [v for v in own if v.agent == agent]
        ranked = [v.rival for v in mine if v.rival is not None]
        few = sum(v.word == TOO_FEW for v in mine)
        what = "prompts" if len({v.prompt for v in mine}) == len(mine) else "prompts at their guidance scales"
        said = (
            f"{sum(v.word == WINS for v in mine)} of {len(mine)} {what} win their own measure against no goal"
        )
        if ranked:
            said += f"; {sum(r.ahead > 0 for r in ranked)} of {len(ranked)} have more of it than every other prompt"
        said += f"; {few} have too few worlds for a verdict" if few else ""
        lines.append(f"{agent}: {said}" if len(agents) > 1 else said)
    return lines


def verdict_rows(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """The verdicts as rows of cells, the first of them the columns' names."""
    rows = [
        [
            "prompt",
            "measure",
            "agent",
            "against",
            "guidance",
            "with it",
            "control",
            "difference",
            "worlds",
            "p",
            "over others",
            "verdict",
        ]
    ]
    for v in verdicts:
        n = v.difference.n if v.difference is not None else 0
        rows.append(
            [
                short(v),
                f"{v.measure} ({MEASURES[v.measure].unit})",
                v.agent or "agent",
                v.against,
                guidance(v.cond_scale),
                spread(v.ours),
                spread(v.theirs),
                spread(v.difference),
                f"{n}, {v.left_out} left out" if v.left_out else str(n),
                "-" if v.p_value is None else f"{v.p_value:.2g}",
                "-" if v.rival is None else f"{v.rival.ahead:+.3g} (of {v.rival.of})",
                v.word,
            ]
        )
    return rows


_SAID_ONCE = ("agent", "against", "guidance", "worlds")  # where they are the same in all lines


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts that tell most, a line each, and how many prompts win; empty where there is none."""
    heads, *rows = verdict_rows(told(verdicts))
    if not rows:
        return ""
    once = [name for name in _SAID_ONCE if len({row[heads.index(name)] for row in rows}) == 1]
    shown = [i for i, name in enumerate(heads) if name not in (*once, "difference")]
    lines = [[_cut(row[i]) for i in shown] for row in (heads, *rows)]
    facts = [f"{name} {rows[0][heads.index(name)]}" for name in once]
    return "\n".join(
        filter(
            None,
            [
                aligned(lines),
                f"in all: {', '.join(facts)}" if facts else "",
                f"verdicts: {RULE}",
                *summary(verdicts),
            ],
        )
    )


def figures_table(groups: Sequence[Group], measures: Sequence[str]) -> str:
    """The figures over seeds, a line a prompt (and agent, and scale), in ``measures`` and each prompt's own."""
    scales = {guidance(group.cond_scale) for group in groups if group.kind != "no_goal"}
    several = len({group.player for group in groups}) > 1, len(scales) > 1, any(g.lost for g in groups)
    extra = [name for name, many in zip(("agent", "guidance", "lost"), several, strict=True) if many]
    heads = [f"{name} ({MEASURES[name].unit})" for name in measures]
    lines = [["prompt", *extra, "seeds", *heads, "its own measure"]]
    for group in groups:
        spans = group.figures([*measures, *filter(None, [group.own])])
        facts = {"agent": group.agent, "guidance": guidance(group.cond_scale), "lost": str(group.lost)}
        own = group.own
        lines.append(
            [
                _cut(short(group)),
                *(facts[name] for name in extra),
                str(len(group.episodes)),
                *(spread(spans.get(name)) for name in measures),
                f"{own} {spread(spans.get(own))} ({MEASURES[own].unit})" if own else "",
            ]
        )
    return aligned(lines)


def matrix_table(groups: Sequence[Group]) -> str:
    """Every prompt's mean (rows) of every prompt's own measure (columns); empty where fewer than two have one."""
    columns = list(dict.fromkeys(group.own for group in groups if group.own))
    if len(columns) < 2:
        return ""
    several = len({(group.player, group.cond_scale) for group in groups if group.kind != "no_goal"}) > 1
    lines = [["mean of", *columns]]
    for group in groups:
        spans = group.figures(columns)
        name = group.name.replace("_", " ")
        if several:
            name += f", {group.agent}, guidance {guidance(group.cond_scale)}"
        cells = [f"{spans[c].mean:.3g}" if c in spans else "-" for c in columns]
        lines.append([name, *(f"{x}*" if c == group.own else x for c, x in zip(columns, cells, strict=True))])
    return f"{aligned(lines)}\n* the prompt's own measure"


def losses(episodes: Sequence[PlayedEpisode]) -> list[str]:
    """A line for each episode that its world's loss cut short; it is in no figure."""
    lines = []
    for episode in episodes:
        if episode.measured["lost"]:
            about, decides = episode.about, episode.decides
            film = f" ({episode.film.name})" if episode.film is not None else ""
            agent = f", {about['label']}" if about["label"] else ""
            lines.append(
                f"“{about['caption']}”{agent}, world {decides['world_seed']}, sampling "
                f"{decides['sampling_seed']}{film}: {episode.measured['lost']}; left out of all figures"
            )
    return lines


def _cut(text: str, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def unjudged(episodes: Sequence[PlayedEpisode]) -> list[str]:
    """A line for each measure of ``--own_measure`` that was measured in none of its prompt's episodes."""
    named = [e for e in episodes if "own_measure" in e.about]
    known = {
        (e.about["caption"], e.about["own_measure"])
        for e in named
        if e.measured["measures"].get(e.about["own_measure"]) is not None
    }
    wanting = dict.fromkeys((e.about["caption"], e.about["own_measure"], e.decides["world"]) for e in named)
    return [
        f"{caption}: {measure} was not measured in {world}, so there is no verdict on it"
        for caption, measure, world in wanting
        if (caption, measure) not in known
    ]
