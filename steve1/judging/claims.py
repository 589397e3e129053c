"""A method's claims, judged over training seeds: the matrix, wins, and each setting beside the usual one."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steve1.judging.training_seeds import (
    as_list,
    by_column,
    column_maxima,
    matrix,
    mean_matrix,
    own_values,
    paired,
    score,
    t_interval,
    tally,
    told_apart,
)
from steve1.judging.verdicts import Group
from steve1.playing.measures import MEASURES

Run = Sequence[Group]  # what one policy played in one setting
_HASHES = ("weights_hash", "prior_hash", "mineclip_hash", "world", "world_version", "version")


@dataclass(frozen=True)
class Claim:
    """``setting`` is claimed to be ahead of ``against`` in the normalised score."""

    sentence: str
    setting: str
    against: str


@dataclass(frozen=True)
class Runs:
    """All that was played, a :data:`Run` a training seed. ``text``: the matrix's, with no goal.

    ``policies``: by setting, of the same policies. ``arms``: by what they were trained on. ``usual``: the setting, and
    the arm, that the others are put beside.
    """

    text: Sequence[Run]
    policies: Mapping[str, Sequence[Run]]
    arms: Mapping[str, Sequence[Run]]
    usual: tuple[str, str]


def summarise(runs: Runs, worlds: Sequence[int], claims: Sequence[Claim]) -> dict[str, Any]:
    """All figures as plain JSON. ``worlds``: those in which all settings were played; the matrix may have more.

    The normalised score of a run is the mean over behaviours of its own measure as a share of the most that any
    prompt, or no goal, has of it in the matrix (the mean over training seeds). A claim whose settings were not
    played is left out.
    """
    matrices = [matrix(groups) for groups in runs.text]
    mean = mean_matrix(matrices)
    measures = {group.behaviour: str(group.own) for group in runs.text[0] if group.own}
    maxima = column_maxima(mean)
    most = {behaviour: maxima[measure] for behaviour, measure in measures.items()}
    tallies = [tally(groups) for groups in runs.text]

    scores: dict[str, list[float]] = {}
    rows = []
    for settings, usual in zip((runs.policies, runs.arms), runs.usual, strict=True):
        own = {name: [own_values(groups) for groups in played] for name, played in settings.items()}
        for name in settings:
            scores[name] = [score(one, most, worlds, measures) for one in own[name]]
        for name in settings:
            apart = None if name == usual else paired(scores[name], scores[usual])
            means = {
                behaviour: [sum(one[behaviour][world] for world in worlds) / len(worlds) for one in own[name]]
                for behaviour in measures
            }
            rows.append(
                {
                    "setting": name,
                    "against": None if name == usual else usual,
                    "scores": scores[name],
                    "score": as_list(t_interval(scores[name])),
                    "difference": None if apart is None else as_list(apart),
                    "word": None if apart is None else told_apart(apart),
                    "own_measures": {b: as_list(t_interval(values)) for b, values in means.items()},
                }
            )
    return {
        "measures": {b: {"name": m, "unit": MEASURES[m].unit} for b, m in measures.items()},
        "matrix": {"by_training_seed": matrices, "mean": mean, "share_of_column": by_column(mean)},
        "training_seeds": [asdict(one) for one in tallies],
        "wins": _counts([len(one.wins) for one in tallies]),
        "highest": _counts([len(one.highest) for one in tallies]),
        "loses": _counts([len(one.loses) for one in tallies]),
        "settings_played": rows,
        "claims": [
            {
                **asdict(one),
                "difference": as_list(apart),
                "word": told_apart(apart),
            }
            for one in claims
            if one.setting in scores and one.against in scores
            for apart in [paired(scores[one.setting], scores[one.against])]
        ],
    }


def _counts(found: Sequence[int]) -> dict[str, Any]:
    """The counts of all training seeds, their mean with its interval, and the least and the greatest."""
    return {
        "each": list(found),
        "mean": as_list(t_interval(list(map(float, found)))),
        "least": min(found),
        "greatest": max(found),
    }


def made_by(text: Sequence[Run]) -> dict[str, Any]:
    """Versions, and the hashes of all that played."""
    import torch

    decided = [group.episodes[0].decides for groups in text for group in groups]
    hashes = {
        name: list(dict.fromkeys(d[name] for d in decided if d.get(name) is not None)) for name in _HASHES
    }
    return {"python": platform.python_version(), "torch": torch.__version__, **hashes}


def scores_by_setting(settings: Mapping[str, Run], worlds: Sequence[int]) -> dict[str, float]:
    """The normalised score of one policy's settings, each measure's most being that of all of them."""
    found = {name: [g for g in groups if g.kind != "no_goal"] for name, groups in settings.items()}
    measures = {group.behaviour: str(group.own) for groups in found.values() for group in groups if group.own}
    maxima = [column_maxima(matrix(groups)) for groups in found.values()]
    most = {behaviour: max(each[measure] for each in maxima) for behaviour, measure in measures.items()}
    return {name: score(own_values(groups), most, worlds, measures) for name, groups in found.items()}
