"""What can be made in the inventory screen's 2x2 squares: planks of logs, sticks of planks. Minecraft's amounts."""

from __future__ import annotations

from collections.abc import Sequence

_PLANKS = {"oak_log": "oak_planks", "birch_log": "birch_planks"}


def result(squares: Sequence[tuple[str, int] | None]) -> tuple[str, int] | None:
    """What one item of each of the four squares (left to right, upper row first) makes, or None.

    A log anywhere makes 4 planks; planks of any kind, one above the other, make 4 sticks.
    """
    items = [stack[0] if stack else None for stack in squares]
    filled = [i for i, item in enumerate(items) if item]
    used = {items[i] for i in filled}
    if len(filled) == 1 and used <= set(_PLANKS):
        return _PLANKS[str(items[filled[0]])], 4
    if filled in ([0, 2], [1, 3]) and used <= set(_PLANKS.values()):
        return "stick", 4
    return None
