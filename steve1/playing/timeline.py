"""How an episode's figures came about: its pitch and the measures that it is judged by, along the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steve1.playing.measures import EpisodeMeasures

POINTS = 100  # of each curve, at most
PITCH = "pitch"  # degrees at that moment; all other curves are measures of what was played so far


class Timeline:
    """Curves of an episode of up to ``length`` steps: of the pitch, and of ``measures`` as far as they are known."""

    def __init__(self, length: int, measures: Sequence[str] = ()) -> None:
        self._every = max(1, math.ceil(length / POINTS))
        self._names, self._frames = tuple(measures), list[int]()
        self._curves: dict[str, list[float | None]] = {name: [] for name in (PITCH, *measures)}

    def add(self, measured: EpisodeMeasures) -> None:
        """Take in the newest step; one that was lost is none, and is not measured."""
        if not measured.steps or measured.steps % self._every or self._frames[-1:] == [measured.steps - 1]:
            return
        self._frames.append(measured.steps - 1)
        figures: dict[str, float | None] = measured.result() if self._names else {}
        for name, values in self._curves.items():
            value = measured.pitch if name == PITCH else figures[name]
            values.append(None if value is None else round(value, 4))

    def plain(self) -> dict[str, Any]:
        """``frames``, and for each curve that is known throughout its values there, as JSON has it."""
        known = {name: values for name, values in self._curves.items() if None not in values}
        return {"frames": self._frames, "curves": known if self._frames else {}}
