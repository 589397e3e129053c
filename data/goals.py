"""Which later frames of an episode serve as goals: at drawn gaps, or where marked behaviours end. docs/formats.md."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.EpisodeStorage import EpisodeStorage
from steve1.cli import UserError
from steve1.config import FIRST_EMBED


def sample_goals(
    length: int,
    minimum: int,
    maximum: int,
    rng: np.random.Generator,
    cuts: Sequence[int] | np.ndarray = (),
    boundaries: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw an episode's goal frames, int64 [n], ascending, the last one being ``length - 1``.

    From frame 0 onward the gaps are uniform over the integers [minimum, maximum); where fewer than
    ``minimum`` frames would remain after a goal, the episode's last frame takes its place and ends it.

    ``cuts`` are the frames, ascending, at which a new segment begins. Each segment is drawn for by itself, as an
    episode would be, so the last frame of each is a goal and no frame's goal lies beyond a cut. After a cut goals
    begin with the 16th frame, whose embedding is the first that shows nothing of before; in a segment that has none
    the last frame is the only goal.

    ``boundaries`` are the frames, ascending, with which behaviours end. Each goal is then the first of them within
    [minimum, maximum) frames of the goal before; where there is none, the gap is drawn as above. None: all are drawn.
    """
    ends = None if boundaries is None else np.asarray(boundaries, dtype=np.int64)
    if not len(cuts):
        return _segment_goals(length, minimum, maximum, rng, ends)
    edges = [0, *(int(cut) for cut in cuts), length]
    parts = []
    for begin, end in itertools.pairwise(edges):
        own_ends = None if ends is None else ends[(ends >= begin) & (ends < end)] - begin
        goals = begin + _segment_goals(end - begin, minimum, maximum, rng, own_ends)
        own = goals >= begin + FIRST_EMBED if begin else goals >= 0
        own[-1] = True
        parts.append(goals[own])
    return np.concatenate(parts)


def _segment_goals(
    length: int, minimum: int, maximum: int, rng: np.random.Generator, boundaries: np.ndarray | None
) -> np.ndarray:
    gaps = rng.integers(minimum, maximum, size=length // minimum + 1)
    goals = np.cumsum(gaps)
    if boundaries is not None:
        goals = np.array(_at_boundaries(length, minimum, maximum, gaps, boundaries), dtype=np.int64)
    return np.append(goals[goals <= length - 1 - minimum], length - 1)


def _at_boundaries(
    length: int, minimum: int, maximum: int, gaps: np.ndarray, boundaries: np.ndarray
) -> list[int]:
    goals, last = [], 0
    for gap in gaps.tolist():  # each is at least the minimum, so there are enough of them
        place = int(np.searchsorted(boundaries, last + minimum))
        marked = place < len(boundaries) and boundaries[place] < last + maximum
        last = int(boundaries[place]) if marked else last + gap
        if last >= length:
            break
        goals.append(last)
    return goals


def goal_of_each_frame(goals: np.ndarray, start: int, T: int) -> np.ndarray:
    """Return for frames ``start .. start+T-1`` the first goal at or after each, int64 [T]."""
    return goals[np.searchsorted(goals, np.arange(start, start + T), side="left")]


def check_marked(episode_dirs: Sequence[str]) -> dict[str, Any]:
    """Which policy and rule marked the boundaries of all these episodes: ``{"policy": hash, "rule": {...}}``.

    Raises :class:`~steve1.cli.UserError` where one has none, or they were marked by several.
    """
    unmarked = []
    makers: dict[str, tuple[dict[str, Any], str]] = {}
    for path in episode_dirs:
        episode = EpisodeStorage(path)
        marks = episode.load_boundaries() if episode.has_boundaries() else None
        if marks is None:
            unmarked.append(path)
        else:
            makers.setdefault(marks.maker_name, (marks.made_by, path))
    if unmarked:
        raise UserError(
            f"{len(unmarked):,} of {len(episode_dirs):,} episodes have no marked boundaries (first: {unmarked[0]}); "
            "mark them with python data/generation/mark_boundaries.py --sampling NAME --sampling_dir DIR --in_model "
            "MODEL --in_weights WEIGHTS, or give --goal_sampling uniform"
        )
    if len(makers) > 1:
        found = ", ".join(f"{name} in {path}" for name, (_, path) in sorted(makers.items()))
        raise UserError(
            f"the episodes' boundaries were marked by {len(makers)} policies or rules ({found}); mark all by one with "
            "data/generation/mark_boundaries.py --replace True"
        )
    return next(iter(makers.values()))[0]
