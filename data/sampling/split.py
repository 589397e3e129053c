"""Splitting episodes into training and validation by whole play sessions. Pure functions of their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from data.sampling.sessions import Episode
from steve1.cli import UserError
from steve1.streams import numpy_stream


@dataclass
class Split:
    """The result. ``unused`` are usable episodes on neither side: sessions mates of validation, or surplus."""

    train: list[Episode] = field(default_factory=list)
    val: list[Episode] = field(default_factory=list)
    unused: list[Episode] = field(default_factory=list)


def total(episodes: Iterable[Episode]) -> int:
    """Return the number of frames."""
    return sum(episode.frames for episode in episodes)


def shuffled(episodes: Sequence[Episode], seed: int, purpose: int) -> list[Episode]:
    """Return the episodes in an order that depends on their paths, the seed and the purpose alone."""
    ordered = sorted(episodes, key=lambda episode: episode.path)
    return [ordered[index] for index in numpy_stream(seed, purpose).permutation(len(ordered))]


def take(episodes: Iterable[Episode], frames: float) -> list[Episode]:
    """Return the first episodes that hold ``frames`` frames together, so at most one episode too much."""
    taken: list[Episode] = []
    have = 0
    for episode in episodes:
        if have >= frames:
            break
        taken.append(episode)
        have += episode.frames
    return taken


def choose_validation(
    episodes: Sequence[Episode], frames: float, seed: int, sessions: set[str]
) -> list[Episode]:
    """Choose validation episodes of at least ``frames`` frames, adding their sessions to ``sessions``.

    Sessions that are in ``sessions`` already come first. Then whole sessions, in random order, as long as they
    fit. What is still missing is taken from the session where that leaves the fewest frames unused.
    """
    groups: dict[str, list[Episode]] = {}
    for episode in shuffled(episodes, seed, 0):
        groups.setdefault(episode.session, []).append(episode)
    sizes = {session: total(group) for session, group in groups.items()}
    chosen: list[Episode] = []
    missing = frames
    for session in [session for session in groups if session in sessions]:
        taken = take(groups.pop(session), missing)
        chosen += taken
        missing -= total(taken)
    for session in list(groups):
        if sizes[session] <= missing:
            sessions.add(session)
            chosen += groups.pop(session)
            missing -= sizes[session]
    while groups and missing > 0:
        least = missing
        session = min(groups, key=lambda session: sizes[session] - total(take(groups[session], least)))
        sessions.add(session)
        taken = take(groups.pop(session), missing)
        chosen += taken
        missing -= total(taken)
    return chosen


def split(
    datasets: Sequence[Sequence[Episode]],
    weights: Sequence[float] | None,
    val_frames: int | None,
    train_frames: int,
    seed: int,
    val: Sequence[Episode] | None = None,
) -> Split:
    """Split the episodes of one or more datasets.

    Args:
        weights: with which the datasets' items will be drawn, of any sum; None takes them as large as they are. They
            decide where ``val_frames`` and ``train_frames`` come from; no episode is left out because of them, but
            those of a dataset of weight 0.
        val_frames: frames to validate on; None means a tenth of each dataset; 0 means none.
        train_frames: frames to train on, of a dataset that has fewer than its share all; -1 means all.
        val: validation episodes that are chosen already; their sessions are kept out of training.

    Raises UserError where there are too few frames.
    """
    pools = [list(pool) for pool in datasets] if weights else [[e for pool in datasets for e in pool]]
    shares = [weight / sum(weights) for weight in weights] if weights else [1.0]
    used = {index for index, share in enumerate(shares) if share > 0}

    # ---- validation ----
    sessions = {episode.session for episode in val or ()}
    result = Split(val=list(val or ()))
    if val is None:
        for index in sorted(used):
            target = total(pools[index]) / 10 if val_frames is None else shares[index] * val_frames
            chosen = choose_validation(pools[index], target, seed, sessions)
            if total(chosen) < target:
                raise UserError(_too_few(total(chosen), target, "--val_frames", "validate"))
            result.val += chosen

    # ---- training ----
    rest = [
        [episode for episode in shuffled(pool, seed, 1) if episode.session not in sessions] for pool in pools
    ]
    if not all(rest[index] for index in used):
        raise UserError(
            f"nothing is left to train on: the usable episodes are of {len({e.session for p in pools for e in p})} "
            "play session(s), which stay on one side; add episodes, lower --val_frames (0 for no validation) or "
            "give --val_from"
        )
    possible = sum(total(rest[index]) for index in used)
    if train_frames > possible:
        raise UserError(_too_few(possible, train_frames, "--train_frames", "train"))
    for index in sorted(used):
        wanted = total(rest[index]) if train_frames < 0 else shares[index] * train_frames
        result.train += take(rest[index], wanted - 1e-6)

    taken = {episode.path for episode in result.train + result.val}
    result.unused = [episode for pool in datasets for episode in pool if episode.path not in taken]
    assert not {e.session for e in result.train} & {e.session for e in result.val}
    return result


def _too_few(have: int, wanted: float, flag: str, what: str) -> str:
    return (
        f"too few frames: {have:,} can be used to {what} where {wanted:,.0f} are asked for (sessions stay "
        f"whole); lower {flag} or add episodes"
    )
