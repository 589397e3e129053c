"""How deep an episode dug: what its feet came down by through ground that it had broken, from positions and counters.

Where a broken block lay is not observed, so a descent is dug only where these facts make it so:

- Each broken block of ground stands for one block of depth, once, and for :data:`TICKS` ticks.
- A drop that began and ended where the player stood when breaking (within :data:`ROOM`) is dug as deep as blocks
  were broken for it; what lies beyond, a cave say, is a fall.
- A drop to the side is dug where it is a stair, one block deep and a step away (:data:`STAIR`). A deeper one is a
  fall: off a cliff, or into a hole that was dug from beside.
- What a jump rose by is no depth on the way back.
"""

from __future__ import annotations

import math

TICKS = 20  # one second
ROOM = 0.4  # blocks: a player 0.6 wide in a hole one block wide
STAIR = 1.5  # blocks: from the middle of a block to beyond the middle of the next
JUMP = 1.3  # blocks; Minecraft's highest jump is 1.252
_STILL, _SLACK = 1e-3, 0.1  # blocks
_FASTEST_RISE = 0.5  # blocks a tick; a jump begins with 0.42


class Digging:
    """Takes in an episode's ticks. ``x, y, z``: where the feet are at its start, blocks."""

    def __init__(self, x: float, y: float, z: float) -> None:
        self._y, self._tick = y, 0
        self._broken: list[
            tuple[int, float, float]
        ] = []  # when and where the player stood, of each unused block
        self._risen = 0.0  # above what was last stood on, as far as a jump may explain it
        self._drop = 0.0
        self._began = 0
        self._at = (x, z)
        self._depth = 0.0

    def add(self, x: float, y: float, z: float, broken: int) -> None:
        """The next tick: where the feet are after it, and how many blocks of ground were broken in it."""
        self._tick += 1
        rise, self._y = y - self._y, y
        if rise > -_STILL:
            self._land()
        self._at = (x, z)
        self._broken += [(self._tick, x, z)] * broken
        if abs(rise) <= _STILL:
            self._risen = 0.0
        elif rise > 0:
            self._risen += rise
            if rise > _FASTEST_RISE or self._risen > JUMP:  # no jump: the ground itself is higher
                self._risen = 0.0
        else:
            back = min(self._risen, -rise)
            self._risen -= back
            if not self._drop:
                self._began = self._tick
            self._drop += -rise - back

    @property
    def depth(self) -> float:
        """Blocks dug so far; a drop that is still going on counts by where it has come to."""
        return self._depth + self._dug()

    def _land(self) -> None:
        dug = self._dug()
        self._depth += dug
        del self._broken[: math.ceil(dug - _SLACK)]
        self._drop = 0.0

    def _dug(self) -> float:
        if not self._drop:
            return 0.0
        self._broken = [block for block in self._broken if self._began - block[0] <= TICKS]
        if not self._broken:
            return 0.0
        aside = min(math.dist(self._at, block[1:]) for block in self._broken)
        if aside <= ROOM:
            return min(self._drop, len(self._broken))
        return self._drop if aside < STAIR and self._drop <= 1 + _SLACK else 0.0
