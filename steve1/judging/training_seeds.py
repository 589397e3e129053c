"""How a method plays, over several training seeds: who wins how often, and what one setting does beside another.

A run is what one policy (a training seed) played in one setting: groups of episodes as ``verdicts.py`` makes them,
whose one rule decides every win. What is added here is a figure for a whole run, its normalised score, and
Student's t-interval over runs, the unit that a training method is judged by: a policy's worlds tell about that
policy alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steve1.judging.verdicts import LOSES, NO_GOAL, WINS, Group, Interval, judge_groups

Matrix = dict[str, dict[str, float]]  # prompt -> measure -> mean over worlds; the last prompt is no goal
Own = dict[str, dict[int, float]]  # behaviour -> world -> its own measure

AHEAD, BEHIND, OPEN = "ahead", "behind", "not told apart"


def t_interval(values: Sequence[float]) -> Interval:
    """The mean of independent values and its 95 % interval by Student's t; no bounds below two values.

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("there are no values to take the mean of")
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, None, None, n)
    from scipy.stats import t

    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def matrix(groups: Sequence[Group]) -> Matrix:
    """Each prompt's mean of each prompt's own measure.

    Raises ValueError where a behaviour is there twice, as at two guidance scales.
    """
    measures = list(dict.fromkeys(group.own for group in groups if group.own))
    found: Matrix = {}
    for group in groups:
        if group.behaviour in found:
            raise ValueError(f"{group.behaviour} was played in two settings; a matrix has one")
        found[group.behaviour] = {name: span.mean for name, span in group.figures(measures).items()}
    return found


def mean_matrix(matrices: Sequence[Matrix]) -> Matrix:
    """The mean over training seeds, cell by cell."""
    first = matrices[0]
    return {
        prompt: {name: math.fsum(m[prompt][name] for m in matrices) / len(matrices) for name in row}
        for prompt, row in first.items()
    }


def column_maxima(found: Matrix) -> dict[str, float]:
    """The most that any prompt, or no goal, has of each measure."""
    measures = dict.fromkeys(name for row in found.values() for name in row)
    return {name: max(row[name] for row in found.values() if name in row) for name in measures}


def by_column(found: Matrix) -> Matrix:
    """Each cell as a share of its column's maximum; of a column that has nothing but 0, 0."""
    most = column_maxima(found)
    return {
        prompt: {name: value / most[name] if most[name] > 0 else 0.0 for name, value in row.items()}
        for prompt, row in found.items()
    }


@dataclass(frozen=True)
class Tally:
    """What one training seed's prompts came to against no goal.

    ``wins``, ``loses``: behaviours by the rule of ``verdicts.py``. ``highest``: those whose own measure has a higher
    mean than with every other prompt at that guidance and without a goal. ``judged``: how many there were.
    """

    wins: tuple[str, ...]
    loses: tuple[str, ...]
    highest: tuple[str, ...]
    judged: int


def tally(groups: Sequence[Group]) -> Tally:
    """Count one run's verdicts."""
    own = [v for v in judge_groups(groups) if v.own and v.against == NO_GOAL]
    found = matrix(groups)
    measures = {group.behaviour: group.own for group in groups if group.own}
    highest = [
        behaviour
        for behaviour, measure in measures.items()
        if all(found[behaviour][measure] > row[measure] for other, row in found.items() if other != behaviour)
    ]
    return Tally(
        tuple(v.name for v in own if v.word == WINS),
        tuple(v.name for v in own if v.word == LOSES),
        tuple(highest),
        len(own),
    )


def own_values(groups: Iterable[Group]) -> Own:
    """Each prompt's own measure by world, no goal left out."""
    return {
        group.behaviour: {world: value for (world, _), value in group.values(group.own).items()}
        for group in groups
        if group.own
    }


def score(own: Own, most: Mapping[str, float], worlds: Iterable[int], behaviours: Iterable[str]) -> float:
    """The normalised score: the mean over ``behaviours`` of the own measure's mean over ``worlds``, each as a share of
    ``most`` of it, by behaviour. A behaviour that nothing shows any of (``most`` 0) is left out.

    Raises ValueError where a world was not played, or nothing is left.
    """
    worlds, shares = list(worlds), []
    for behaviour in behaviours:
        missing = [world for world in worlds if world not in own[behaviour]]
        if missing:
            raise ValueError(f"{behaviour} was not played whole in world {missing[0]}")
        if most[behaviour] > 0:
            mean = math.fsum(own[behaviour][world] for world in worlds) / len(worlds)
            shares.append(mean / most[behaviour])
    if not shares:
        raise ValueError("no behaviour was shown by anything")
    return math.fsum(shares) / len(shares)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """The mean difference of two settings' scores, of the same training seeds, with its t-interval."""
    return t_interval([a - b for a, b in zip(ours, theirs, strict=True)])


def told_apart(difference: Interval) -> str:
    """:data:`AHEAD` or :data:`BEHIND` where the interval lies above or below 0, else :data:`OPEN`."""
    if difference.low is not None and difference.low > 0:
        return AHEAD
    if difference.high is not None and difference.high < 0:
        return BEHIND
    return OPEN


def as_list(span: Interval) -> list[Any]:
    """``[mean, low, high]``, as JSON keeps it."""
    return [span.mean, span.low, span.high]


def from_list(figures: Sequence[Any]) -> Interval:
    """What :func:`as_list` made, back; how many values it was of is not kept, and is 0."""
    mean, low, high = figures
    return Interval(mean, low, high, 0)
