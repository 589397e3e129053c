"""The mouse cursor: Minecraft's window shows one while a screen is open, its recordings do not contain it."""

from __future__ import annotations

import functools

import numpy as np

# The drawing: '#' outline, 'o' white filling, '.' nothing. The hot spot is the upper left corner.
_ARROW = (
    "#...............",
    "##..............",
    "#o#.............",
    "#oo#............",
    "#ooo#...........",
    "#oooo#..........",
    "#ooooo#.........",
    "#oooooo#........",
    "#ooooooo#.......",
    "#oooooooo#......",
    "#ooooo####......",
    "#oo#oo#.........",
    "#o#.#oo#........",
    "##..#oo#........",
    "#....##.........",
    "................",
)


@functools.lru_cache(maxsize=1)
def cursor_rgba() -> np.ndarray:
    """The cursor as uint8 [16, 16, 4]: a white arrow with a dark, slightly transparent outline."""
    colours = {".": (0, 0, 0, 0), "#": (30, 30, 30, 200), "o": (255, 255, 255, 255)}
    return np.array([[colours[c] for c in row] for row in _ARROW], dtype=np.uint8)


def draw_cursor(frame: np.ndarray, x: int, y: int) -> None:
    """Composite the cursor onto ``frame`` (uint8 [H, W, 3], in place) with its tip at column x, row y.

    What lies outside of the frame is cut off.
    """
    height, width = frame.shape[:2]
    cursor = cursor_rgba()
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(16, height - y), min(16, width - x)
    if top >= bottom or left >= right:
        return
    part = cursor[top:bottom, left:right].astype(np.float32)
    alpha = part[..., 3:] / 255
    region = frame[y + top : y + bottom, x + left : x + right]
    region[:] = (region * (1 - alpha) + part[..., :3] * alpha).astype(np.uint8)
