"""Where no action could lead from one recorded line to the next: the player died, or was put somewhere else.

Lines may carry ``xpos``, ``ypos``, ``zpos`` (blocks), the place of the player as the line's tick begins, and ``stats``,
the game's own counts. Both are OpenAI's recorder's, and any source's lines may have them. What they do not carry
cannot be seen: a reason whose fields are absent is absent from the result as well.

A *jump* is a move that nothing in the game makes. Falling ends at 3.92 blocks a tick and a boat on blue ice at 3.64, so
a longer one sideways, up or down than 4 blocks for each tick passed is a jump. What goes that fast gets there by
and by, or (a trident, an explosion) slows down by and by. So a move of more than 1.5 blocks a tick, which no walking,
sprint-jumping, swimming, minecart or horse reaches, is a jump too where it differs by more than that from the moves
both before and after it. An ender pearl and a portal are jumps as well: no 16 frames show what led there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

JUMP, DEATH = REASONS = ("the player was put elsewhere", "the player died")
FASTEST = 4.0  # blocks a tick, sideways and up or down
SUDDEN = 1.5  # blocks a tick
_PLACE = ("xpos", "ypos", "zpos")
_DEATHS, _ALIVE = "minecraft.custom:minecraft.deaths", "minecraft.custom:minecraft.time_since_death"


class LineCuts:
    """Gathers what a recording's lines say, one at a time; :meth:`found` then says where the cuts are."""

    def __init__(self) -> None:
        self._told: list[tuple[float, ...]] = []

    def add(self, line: dict) -> None:
        """Note the next line."""
        stats = line.get("stats")
        stats = stats if isinstance(stats, dict) else {}
        # The game lists the counts that are not 0.
        nothing = 0.0 if stats else math.nan
        deaths = told(stats, _DEATHS) if _DEATHS in stats else nothing
        self._told.append((*(told(line, field) for field in _PLACE), deaths, told(stats, _ALIVE)))

    def found(self, ticks: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """For each reason that the lines can tell: the lines before which there is a cut, int64 [k], from 0.

        ``ticks``: the tick of each line, int64 [n], never falling; None: a tick each.
        """
        columns = np.array(self._told, dtype=np.float64).reshape(len(self._told), len(_PLACE) + 2)
        places, deaths, alive = columns[:, :3], columns[:, 3], columns[:, 4]
        cuts: dict[str, np.ndarray] = {}
        if np.isfinite(places).all(axis=1).any():
            cuts[JUMP] = jumps(places, np.arange(len(places)) if ticks is None else ticks)
        with np.errstate(invalid="ignore"):
            died = np.diff(deaths) > 0
            if not (deaths > 0).any():
                died = np.diff(alive) < 0
        if np.isfinite(deaths).any():
            cuts[DEATH] = np.flatnonzero(died) + 1
        return cuts


def find_cuts(lines: Iterable[dict]) -> dict[str, np.ndarray]:
    """The cuts of lines that say nothing of ticks, one each; see :meth:`LineCuts.found`."""
    gathered = LineCuts()
    for line in lines:
        gathered.add(line)
    return gathered.found()


def jumps(places: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """The lines, int64 [k], to which the player came by no move of the game's; the rule is this module's docstring.

    Args:
        places: x, y, z in blocks, float [n, 3]; a line whose place is not finite is passed over.
        ticks: of each line, [n], never falling.
    """
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    passed = np.maximum(np.diff(ticks[known]), 1)
    with np.errstate(invalid="ignore", over="ignore"):
        moves = np.diff(places[known], axis=0) / passed[:, None]  # [k - 1, 3] blocks a tick
        beyond = (np.hypot(moves[:, 0], moves[:, 2]) > FASTEST) | (np.abs(moves[:, 1]) > FASTEST)
        apart = np.linalg.norm(np.diff(moves, axis=0), axis=1)
        same = np.concatenate(([False], apart <= SUDDEN, [False]))  # nothing is known beyond the ends
        sudden = (np.linalg.norm(moves, axis=1) > SUDDEN) & ~same[:-1] & ~same[1:]
    return known[1:][beyond | sudden]


def told(holder: dict, field: str) -> float:
    """A field that need not be there: a number, else NaN."""
    value = holder.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
