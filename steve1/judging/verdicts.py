"""Who wins: the one rule by which played episodes are compared.

A prompt is compared with no goal, and an agent with the first one, in the same worlds: pairs of episodes on equal
world and sampling seeds. Whether the mean difference is told apart from 0 is a paired sign-flip permutation test
(R. A. Fisher, The Design of Experiments, 1935, section 21): if the two were alike, each difference would have come
with the other sign just as well. All sign flips are taken where they are at most :data:`FLIPS`, else so many at
random, with a fixed seed. Below :data:`MIN_WORLDS` worlds there is no verdict and no interval.

Intervals are 95 % BCa bootstrap intervals of the mean over worlds (B. Efron, Better Bootstrap Confidence Intervals,
JASA 82, 1987): they lie within what was measured, so a share's lies within 0 and 1. Nothing is corrected for how
many comparisons there are: of 20 that are truly equal about one is told apart by chance.

Lost episodes are left out, with the one that they are paired with, and counted; they are never zeros.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steve1.playing.episode import PlayedEpisode
from steve1.playing.measures import MEASURES, own_measure

WINS, LOSES, EQUAL, TOO_FEW = "wins", "loses", "not told apart", "too few worlds"
HIGHER, LOWER = "higher", "lower"  # for measures of which neither more nor less is better
NO_GOAL = "no goal"
LEVEL = 0.05
MIN_WORLDS = 6  # the least p of n worlds is 2 / 2^n, which is below 0.05 from 6 worlds on
FLIPS = 2**13
RESAMPLES = 2000  # of a bootstrap
# Episodes that differ in one of these are not compared: decided by the run, not by who plays or what is asked for.
_SETTING = ("world", "world_version", "gameplay_length", "deterministic", "precision", "device")


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` worlds and the bounds of its 95 % interval; None below :data:`MIN_WORLDS` worlds."""

    mean: float
    low: float | None
    high: float | None
    n: int


def interval(values: Sequence[float], least: float = -math.inf, greatest: float = math.inf) -> Interval:
    """The mean of independent values and its interval, within ``least`` and ``greatest``, what a value can be.

    Values that are all alike give a point. Raises ValueError without values.
    """
    if len(values) == 0:
        raise ValueError("there are no values to take the mean of")
    return _interval(tuple(values), least, greatest)


@functools.lru_cache(maxsize=10_000)  # a page shows one in several places
def _interval(values: tuple[float, ...], least: float, greatest: float) -> Interval:
    import warnings

    import numpy as np
    from scipy.stats import bootstrap

    n = len(values)
    mean = math.fsum(values) / n
    if n < MIN_WORLDS:
        return Interval(mean, None, None, n)
    if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        return Interval(mean, mean, mean, n)
    sample = (np.asarray(values, float),)
    for method in ("BCa", "percentile"):  # the first has no bounds for some samples
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = bootstrap(
                sample, np.mean, n_resamples=RESAMPLES, method=method, rng=np.random.default_rng(0)
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    low, high = min(float(found.low), mean), max(float(found.high), mean)
    return Interval(mean, max(low, least), min(high, greatest), n)


def sign_flip_p(differences: Sequence[float]) -> float:
    """The two-sided p-value of the paired sign-flip test that the mean of ``differences`` is 0."""
    import numpy as np
    from scipy.stats import permutation_test

    return float(
        permutation_test(
            (np.asarray(differences, float),),
            lambda flipped, axis: np.mean(flipped, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=FLIPS,
            rng=np.random.default_rng(0),
        ).pvalue
    )


@dataclass
class Group:
    """The episodes of one prompt, agent and guidance scale in one setting, over worlds. ``own``: its own measure."""

    name: str
    kind: str
    prompt: str
    behaviour: str
    agent: str
    weights: str
    cond_scale: float | None
    setting: tuple[Any, ...]
    own: str | None = None
    episodes: list[PlayedEpisode] = field(default_factory=list)

    @property
    def player(self) -> tuple[str, str]:
        """Who played: what the agent is called, and its weights."""
        return self.agent, self.weights

    @property
    def lost(self) -> int:
        """How many of its worlds were lost."""
        return sum(bool(episode.measured["lost"]) for episode in self.episodes)

    def values(self, measure: str) -> dict[tuple[int, int], float]:
        """A measure's value by world and sampling seed, of whole episodes in which it is known."""
        return {
            _seeds(episode): float(episode.measured["measures"][measure])
            for episode in self.episodes
            if not episode.measured["lost"] and episode.measured["measures"].get(measure) is not None
        }

    def figures(self, measures: Iterable[str]) -> dict[str, Interval]:
        """Mean and interval of each measure that is known of any whole episode."""
        known = ((name, list(self.values(name).values())) for name in measures)
        return {name: interval(values, *MEASURES[name].range) for name, values in known if values}


@dataclass(frozen=True)
class Rival:
    """How far a prompt's own measure lies above that of the other prompts at its guidance scale.

    ``prompt``: the closest of them, or the farthest ahead. ``ahead``: by how much its mean is exceeded in the
    worlds that both played (negative: it is ahead). ``of``: how many others there were.
    """

    prompt: str
    ahead: float
    of: int


@dataclass(frozen=True)
class Verdict:
    """One comparison. ``against``: :data:`NO_GOAL`, or the agent that it is compared with.

    ``word``: :data:`WINS`, :data:`LOSES`, :data:`EQUAL` or :data:`TOO_FEW`, from ``p_value`` and the measure's
    better side (:data:`HIGHER` or :data:`LOWER` where it has none). ``own``: whether ``measure`` is the prompt's own.
    ``ours``, ``theirs``, ``difference``: over the ``difference.n`` worlds that both played whole. ``left_out``: pairs
    that are not, because a world was lost or an episode is not there. ``rival``: the other control, where there is one.
    """

    name: str
    kind: str
    prompt: str
    agent: str
    cond_scale: float | None
    against: str
    measure: str
    own: bool
    word: str
    p_value: float | None
    ours: Interval | None
    theirs: Interval | None
    difference: Interval | None
    left_out: int
    rival: Rival | None


def groups_of(episodes: Sequence[PlayedEpisode]) -> list[Group]:
    """The episodes, prompt by prompt, in their order, the agents of one together; no goal comes last.

    A prompt's own measure is the one that its record names (``--own_measure``), else the first of its behaviour's, if
    its world offers it: if it is known of any episode there.
    Raises ValueError where one prompt and agent played one pair of seeds twice in one setting.
    """
    offered: dict[Any, dict[str, float]] = {}
    for episode in episodes:
        known = {name: v for name, v in episode.measured["measures"].items() if v is not None}
        offered.setdefault(episode.decides["world"], {}).update(known)
    groups: dict[tuple, Group] = {}
    for episode in episodes:
        decides, about = episode.decides, episode.about
        kind, setting = decides["kind"], (*map(decides.get, _SETTING), *decides.get("commands", ()))
        goal = decides.get("goal_hash") if kind == "visual" else decides.get("prior_hash")
        asked = () if kind == "no_goal" else (decides["prompt"], goal, decides["cond_scale"])
        called = about["name"], about["behaviour"], about["label"]
        key = (setting, decides["weights_hash"], *called, kind, *asked)
        group = groups.get(key)
        if group is None:
            named, known = about.get("own_measure"), offered[decides["world"]]
            own = (named if named in known else None) if named else own_measure(about["behaviour"], known)
            group = groups[key] = Group(
                about["name"],
                kind,
                about["caption"],
                about["behaviour"],
                about["label"],
                decides["weights_hash"],
                decides["cond_scale"],
                setting,
                None if kind == "no_goal" else own,
            )
        if any(_seeds(other) == _seeds(episode) for other in group.episodes):
            raise ValueError(f"{group.prompt} was played twice on seeds {_seeds(episode)}")
        group.episodes.append(episode)
    order = list(dict.fromkeys((g.kind, g.prompt, g.cond_scale) for g in groups.values()))
    return sorted(
        groups.values(),
        key=lambda g: (g.kind == "no_goal", order.index((g.kind, g.prompt, g.cond_scale))),
    )


def judge(episodes: Sequence[PlayedEpisode], measures: Sequence[str] = ()) -> list[Verdict]:
    """The verdicts: of every prompt against no goal, and of every agent against the first, as far as both played.

    In each prompt's own measure, and in ``measures`` besides.
    """
    return judge_groups(groups_of(episodes), measures)


def judge_groups(groups: Sequence[Group], measures: Sequence[str] = ()) -> list[Verdict]:
    """As :func:`judge`, of what :func:`groups_of` gives."""
    verdicts = []
    for group in groups:
        for against, other in _others(group, groups):
            for measure in dict.fromkeys([*filter(None, [group.own]), *measures]):
                verdict = _verdict(group, against, other, measure, groups)
                if verdict is not None:
                    verdicts.append(verdict)
    return verdicts


def told(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that tell most: a prompt's in its own measure, or in all where it has none."""
    judged = {verdict.prompt for verdict in verdicts if verdict.own}
    return [v for v in verdicts if v.own or (v.kind != "no_goal" and v.prompt not in judged)]


def from_json(content: Mapping[str, Any]) -> Verdict:
    """What ``dataclasses.asdict`` made of a verdict, back from JSON."""
    inner = {"ours": Interval, "theirs": Interval, "difference": Interval, "rival": Rival}
    return Verdict(
        **{key: inner[key](**v) if key in inner and v is not None else v for key, v in content.items()}
    )


def _seeds(episode: PlayedEpisode) -> tuple[int, int]:
    return episode.decides["world_seed"], episode.decides["sampling_seed"]


def _others(group: Group, groups: Sequence[Group]) -> list[tuple[str, Group]]:
    same = [other for other in groups if other.setting == group.setting and other is not group]
    found = []
    if group.kind != "no_goal":
        found += [(NO_GOAL, g) for g in same if g.kind == "no_goal" and g.player == group.player]
    if group.player != groups[0].player:
        asked = (group.kind, group.prompt, group.name, group.cond_scale)
        first = [g for g in same if g.player == groups[0].player]
        found += [(g.agent, g) for g in first if (g.kind, g.prompt, g.name, g.cond_scale) == asked]
    return found


def _verdict(
    group: Group, against: str, other: Group, measure: str, groups: Sequence[Group]
) -> Verdict | None:
    """None where no world offers the measure, though some were played whole."""
    ours, theirs = group.values(measure), other.values(measure)
    pairs = [seeds for seeds in ours if seeds in theirs]
    played = dict.fromkeys(_seeds(episode) for g in (group, other) for episode in g.episodes)
    own = measure == group.own
    if not pairs and not own:
        return None
    asked = (group.name, group.kind, group.prompt, group.agent, group.cond_scale, against, measure, own)
    left_out = len(played) - len(pairs)
    if not pairs:
        return Verdict(*asked, TOO_FEW, None, None, None, None, left_out, None)
    least, greatest = MEASURES[measure].range
    apart = [ours[seeds] - theirs[seeds] for seeds in pairs]
    difference = interval(apart, least - greatest, greatest - least)
    p_value = sign_flip_p(apart) if len(pairs) >= MIN_WORLDS else None
    return Verdict(
        *asked,
        _word(MEASURES[measure].better, difference.mean, p_value),
        p_value,
        interval([ours[seeds] for seeds in pairs], least, greatest),
        interval([theirs[seeds] for seeds in pairs], least, greatest),
        difference,
        left_out,
        _rival(group, measure, groups) if own else None,
    )


def _word(better: str, mean: float, p_value: float | None) -> str:
    if p_value is None:
        return TOO_FEW
    if p_value >= LEVEL:
        return EQUAL
    if not better:
        return HIGHER if mean > 0 else LOWER
    return WINS if (mean > 0) == (better == "more") else LOSES


def _rival(group: Group, measure: str, groups: Sequence[Group]) -> Rival | None:
    """Of the other behaviours' prompts at the same guidance scale the one that comes closest, or is farthest ahead."""
    mine, found = group.values(measure), []
    for other in groups:
        same = other.setting == group.setting and other.player == group.player
        if not same or other.kind == "no_goal" or other.cond_scale != group.cond_scale:
            continue
        if other.behaviour == group.behaviour:  # itself, or the same in other words or pictures
            continue
        its = other.values(measure)
        apart = [mine[seeds] - its[seeds] for seeds in mine if seeds in its]
        if apart:
            found.append((math.fsum(apart) / len(apart), other.prompt))
    if not found:
        return None
    ahead, prompt = min(found, key=lambda pair: pair[0])
    return Rival(prompt, ahead, len(found))
