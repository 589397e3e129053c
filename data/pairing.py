"""Which picture belongs to which line of actions: by time, for every source (docs/formats.md).

A line is a tick of 1/20 s. It gets the picture that is nearest to the tick's beginning among those taken up to then
and those taken within the tick. Where a picture was lost, the tick shows the picture before it; in a hole of more
ticks than allowed nothing is known, so its lines are left out. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from steve1.config import FPS

Picture = TypeVar("Picture")

TICK = 1 / FPS  # seconds
MAX_DIFFERENCE = 0.02  # between the lengths of a video and of its lines
_LEAST_TICKS = 2  # a shorter difference is none
_ROUNDING = 0.0015  # seconds; containers round times to milliseconds
_JITTER_TICKS = 2  # a wall clock that is off by less says nothing about left-out ticks


@dataclass(frozen=True)
class Clock:
    """The ticks of a recording's lines, int64 [n], never falling, from 0; ``name`` is the field that says so."""

    name: str
    ticks: np.ndarray

    @property
    def length(self) -> int:
        """Ticks that the lines cover."""
        return int(self.ticks[-1]) + 1 if len(self.ticks) else 0

    @property
    def left_out(self) -> int:
        """Ticks that have no line."""
        return self.length - len(np.unique(self.ticks))

    @property
    def repeated(self) -> int:
        """Lines of a tick that another line has already."""
        return len(self.ticks) - len(np.unique(self.ticks))


@dataclass(frozen=True)
class ClockField:
    """A field of the lines that grows by ``per_tick`` in a tick; ``exact``: it counts ticks and never trembles."""

    field: str
    per_tick: float
    exact: bool


def own_clock(said: ClockField, values: np.ndarray) -> Clock | None:
    """What the values float64 [n] of a field say of the lines' ticks.

    None where they say nothing more than a tick a line, or can't be a clock of ticks: not all are there, they fall, or
    they grow at another pace.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    passed = (values - values[0]) / said.per_tick
    ticks = np.round(passed).astype(np.int64)
    if (np.diff(ticks) < 0).any() or abs(np.median(np.diff(passed)) - 1) > 0.2:
        return None
    index = np.arange(len(ticks))
    if (ticks == index).all() or (not said.exact and np.abs(passed - index).max() < _JITTER_TICKS):
        return None
    return Clock(said.field, ticks)


def choose_clock(n_lines: int, clocks: Iterable[Clock], seconds: float, one_each: bool) -> Clock:
    """The clock whose length agrees best with the video's: the lines' own, or a tick for each line.

    ``one_each``: the video has a picture for each line, 1/20 s apart; then a clock of equal length decides nothing.
    """
    plain = Clock("line", np.arange(n_lines))
    candidates = [plain, *clocks] if one_each else [*clocks, plain]
    return min(candidates, key=lambda clock: abs(clock.length - round(seconds * FPS)))


def lengths_agree(ticks: int, seconds: float) -> bool:
    """Whether lines of so many ticks can belong to a video of so many seconds."""
    there = round(seconds * FPS, 3)
    return abs(ticks - there) <= max(_LEAST_TICKS, MAX_DIFFERENCE * there)


@dataclass
class Paired(Generic[Picture]):
    """A line's row and its picture. ``held``: it is the picture of an earlier tick; ``cut``: lines or pictures are
    missing before it, more than may be."""

    row: int
    picture: Picture
    held: bool
    cut: bool


def pair(
    ticks: np.ndarray, pictures: Iterable[tuple[float, Picture]], last_seconds: float, max_hole: int
) -> Iterator[Paired[Picture]]:
    """Yield the rows that have a picture, in order.

    Args:
        ticks: the tick of each row, int64 [n], never falling, from 0.
        pictures: (seconds since the first one, picture), in order of time.
        last_seconds: how long the last picture is shown.
        max_hole: ticks in a row that may show the picture before them.
    """
    rows: _Rows[Picture] = _Rows(ticks, max_hole)
    shown: tuple[float, Picture] | None = None
    for seconds, picture in pictures:
        if shown is not None:
            yield from rows.between(shown, seconds, picture)
        shown = seconds, picture
        if rows.done == len(ticks):
            return
    if shown is not None:
        yield from rows.between(shown, shown[0] + last_seconds, None)


class _Rows(Generic[Picture]):
    def __init__(self, ticks: np.ndarray, max_hole: int) -> None:
        self._ticks, self._max_hole = ticks, max_hole
        self.done = 0
        self._cut = False
        self._last_tick = 0
        self._last_seconds = -1.0

    def between(
        self, shown: tuple[float, Picture], end: float, following: Picture | None
    ) -> Iterator[Paired[Picture]]:
        """The rows whose ticks begin while a picture is shown; ``following`` comes at ``end``, None at the video's."""
        start, picture = shown
        hole = round((end - start) * FPS) - 1
        # The last picture is shown up to the end; a tick of which less than half is left has no picture.
        stop = end - _ROUNDING if following is not None else end - TICK / 2
        while self.done < len(self._ticks):
            tick = int(self._ticks[self.done])
            begins = tick * TICK
            if begins > stop:
                return
            near = following is not None and end < begins + TICK - _ROUNDING
            if near and end - begins < begins - start - 2 * _ROUNDING:
                assert following is not None
                yield self._paired(tick, following, end)
            elif hole > self._max_hole and begins - start > TICK / 2:
                self.done, self._cut = self.done + 1, True
            else:
                yield self._paired(tick, picture, start)

    def _paired(self, tick: int, picture: Picture, seconds: float) -> Paired[Picture]:
        row, held = self.done, seconds == self._last_seconds and tick != self._last_tick
        cut = self._cut or (row > 0 and tick - self._last_tick - 1 > self._max_hole)
        self.done, self._cut = row + 1, False
        self._last_tick, self._last_seconds = tick, seconds
        return Paired(row, picture, held, cut)
