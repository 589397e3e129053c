"""What lies over the view, in pixels of the 640x360 frame: cross-hair, hot bar, hearts, hand, inventory screen.

Sizes are those of Minecraft's interface at GUI scale 1.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from blockworld.drawing import textures
from blockworld.inventory import HOTBAR, OFFHAND, RESULT, SLOTS, SQUARES, Inventory, Stack

WIDTH, HEIGHT = 640, 360
DIM = 0.28  # brightness of the world behind a screen
_PANEL_W, _PANEL_H = 176, 166
_PANEL_X, _PANEL_Y = (WIDTH - _PANEL_W) // 2, (HEIGHT - _PANEL_H) // 2
_BAR_W, _BAR_H = 182, 22
_BAR_X, _BAR_Y = (WIDTH - _BAR_W) // 2, HEIGHT - _BAR_H
_EXTRA = {OFFHAND: (77, 62), RESULT: (154, 28)} | {
    square: (98 + 18 * (i % 2), 18 + 18 * (i // 2)) for i, square in enumerate(SQUARES)
}
_SLOTS = (*range(SLOTS), *_EXTRA)


def paste(frame: np.ndarray, image: np.ndarray, x: int, y: int) -> None:
    """Draw uint8 [h, w, 4] onto the frame at column x, row y; alpha below half is clear, what is outside is cut."""
    height, width = image.shape[:2]
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(height, frame.shape[0] - y), min(width, frame.shape[1] - x)
    if top >= bottom or left >= right:
        return
    part = image[top:bottom, left:right]
    region = frame[y + top : y + bottom, x + left : x + right]
    np.copyto(region, part[..., :3], where=part[..., 3:] > 127)


def slot_place(slot: int) -> tuple[int, int]:
    """Column and row of the upper left corner of a slot's 16x16 icon in the inventory screen."""
    if slot in _EXTRA:
        return _PANEL_X + _EXTRA[slot][0], _PANEL_Y + _EXTRA[slot][1]
    if slot < HOTBAR:
        return _PANEL_X + 8 + 18 * slot, _PANEL_Y + 142
    return _PANEL_X + 8 + 18 * (slot % 9), _PANEL_Y + 84 + 18 * (slot // 9 - 1)


def slot_at(x: float, y: float) -> int | None:
    """The slot under a pixel of the inventory screen, or None."""
    for slot in _SLOTS:
        left, top = slot_place(slot)
        if left - 1 <= x < left + 17 and top - 1 <= y < top + 17:
            return slot
    return None


def in_panel(x: float, y: float) -> bool:
    """Whether a pixel lies in the inventory screen's panel."""
    return _PANEL_X <= x < _PANEL_X + _PANEL_W and _PANEL_Y <= y < _PANEL_Y + _PANEL_H


def draw_hud(frame: np.ndarray, inventory: Inventory, swing: float, air: int) -> None:
    """Hand, hot bar with icons, hearts, food, bubbles and cross-hair. ``swing`` 0..1: how far the arm is."""
    _draw_hand(frame, inventory.in_hand, swing)
    _draw_other_hand(frame, inventory.slots[OFFHAND])
    bar = frame[_BAR_Y:, _BAR_X : _BAR_X + _BAR_W]
    np.right_shift(bar, 2, out=bar)
    paste(frame, _bar(inventory.selected), _BAR_X - 1, _BAR_Y)
    for slot in range(HOTBAR):
        _draw_stack(frame, inventory.slots[slot], _BAR_X + 3 + 20 * slot, _BAR_Y + 3)
    paste(frame, _marks(-1 if air >= 300 else (air + 29) // 30), _BAR_X, _BAR_Y - 21)
    # The cross-hair takes the opposite brightness of what lies under it.
    for part in (frame[175:186, 320:321], frame[180:181, 315:326]):
        np.subtract(255, part, out=part)


def draw_inventory(frame: np.ndarray, inventory: Inventory, x: float, y: float) -> None:
    """The inventory screen over the (dimmed) frame; the slot under pixel (x, y) is lit, the held stack is there."""
    frame[_PANEL_Y : _PANEL_Y + _PANEL_H, _PANEL_X : _PANEL_X + _PANEL_W] = _panel()
    pointed = slot_at(x, y)
    for slot in _SLOTS:
        left, top = slot_place(slot)
        stack = inventory.result if slot == RESULT else inventory.slots[slot]
        # Beyond the 36, only where a click would do something: a cursor that crosses the panel stays as it was.
        if slot == pointed and (slot < SLOTS or stack or (inventory.held and slot != RESULT)):
            frame[top : top + 16, left : left + 16] = 200
        _draw_stack(frame, stack, left, top)
    _draw_stack(frame, inventory.held, int(x) - 8, int(y) - 8)


def _draw_stack(frame: np.ndarray, stack: Stack | None, x: int, y: int) -> None:
    if stack is None:
        return
    paste(frame, textures.icon(stack[0]), x, y)
    if stack[1] > 1:
        picture = _number(stack[1])
        paste(frame, picture, x + 17 - picture.shape[1], y + 17 - picture.shape[0])


@functools.lru_cache(maxsize=128)
def _number(value: int) -> np.ndarray:
    """A count in white with a shadow, uint8 [6, w, 4]."""
    glyphs = [_GLYPHS[digit] for digit in str(value)]
    mask = np.zeros((5, 4 * len(glyphs)), bool)
    for i, glyph in enumerate(glyphs):
        mask[:, 4 * i : 4 * i + 3] = glyph
    image = np.zeros((6, 4 * len(glyphs), 4), np.uint8)
    image[1:, 1:][mask[:, :-1]] = (50, 50, 50, 255)
    image[:5][mask] = (255, 255, 255, 255)
    return image


# Each digit as five rows of three pixels, one octal digit a row.
_GLYPHS = {
    digit: np.array([[int(row) >> (2 - bit) & 1 for bit in range(3)] for row in rows], bool)
    for digit, rows in zip(
        "0123456789",
        ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71122", "75757", "75717"),
        strict=True,
    )
}


@functools.lru_cache(maxsize=HOTBAR)
def _bar(selected: int) -> np.ndarray:
    """The hot bar's lines, the selected slot framed, uint8 [22, 184, 4]."""
    image = np.zeros((_BAR_H, _BAR_W + 2, 4), np.uint8)
    for edge in range(HOTBAR + 1):
        image[:, 1 + 20 * edge : 3 + 20 * edge] = (90, 90, 90, 255)
    image[[0, -1], 1:-1] = (90, 90, 90, 255)
    left = 20 * selected
    image[:, [left, left + 1, left + 22, left + 23]] = (235, 235, 235, 255)
    image[[0, 1, -2, -1], left : left + 24] = (235, 235, 235, 255)
    return image


@functools.lru_cache(maxsize=12)
def _marks(bubbles: int) -> np.ndarray:
    """Hearts, food and, where ``bubbles`` is not negative, so many air bubbles, uint8 [19, 182, 4]."""
    y, x = np.mgrid[0:9, 0:9]
    heart = (
        (abs(x - 4) + np.maximum(y - 3, 0) <= 4) & (y >= 1) & ~((y == 1) & ((x == 4) | (x == 0) | (x == 8)))
    )
    food = ((x - 5) ** 2 + (y - 3) ** 2 <= 9) | ((x + y == 8) & (x < 5))
    bubble = abs((x - 4) ** 2 + (y - 4) ** 2 - 10) <= 5
    image = np.zeros((19, _BAR_W, 4), np.uint8)
    for i in range(10):
        image[10:, 8 * i : 8 * i + 9][heart] = (214, 30, 30, 255)
        right = _BAR_W - 9 - 8 * i
        image[10:, right : right + 9][food] = (176, 108, 52, 255)
        if i < bubbles:
            image[:9, right : right + 9][bubble] = (150, 200, 255, 255)
    return image


@functools.lru_cache(maxsize=1)
def _panel() -> np.ndarray:
    """The empty inventory screen, uint8 [166, 176, 3]."""
    panel = np.full((_PANEL_H, _PANEL_W, 3), 198, np.uint8)
    panel[:2], panel[:, :2] = 255, 255
    panel[-2:], panel[:, -2:] = 85, 85
    panel[[0, -1]] = panel[:, [0, -1]] = 0
    squares = [tuple(np.array(slot_place(slot)) - (_PANEL_X, _PANEL_Y)) for slot in _SLOTS]
    squares += [(8, 8 + 18 * i) for i in range(4)]
    for x, y in squares:
        panel[y - 1 : y + 17, x - 1 : x + 17] = 55
        panel[y : y + 17, x : x + 17] = 255
        panel[y : y + 16, x : x + 16] = 139
    panel[7:79, 25:75] = 0
    panel[29:43, 138:141] = 110  # the arrow from the crafting squares to what they make
    for i in range(7):
        panel[29 + i : 43 - i, 141 + i] = 110
    skin, shirt, trousers = (222, 170, 130), (0, 150, 160), (60, 60, 160)
    panel[14:27, 44:57] = skin
    panel[14:18, 44:57] = (70, 45, 25)
    panel[21:23, [46, 47, 53, 54]] = (40, 40, 120)
    panel[27:48, 43:58] = shirt
    panel[27:46, 37:43] = panel[27:46, 58:64] = skin
    panel[48:70, 43:58] = trousers
    panel[48:70, 50] = (40, 40, 120)
    return panel


@functools.lru_cache(maxsize=64)
def _hand(item: str | None) -> np.ndarray:
    """The arm, or the block or thing in hand, as seen by the player, uint8 RGBA."""
    if item is not None:
        return textures.icon(item).repeat(7, 0).repeat(7, 1)
    image = np.zeros((150, 120, 4), np.uint8)
    y, x = np.mgrid[0:150, 0:120]
    # An arm that comes from the lower right, in two tones, with a sleeve.
    across = x - (104 - 0.42 * (149 - y))
    arm = (abs(across) < 26) & (y > 16 - 0.25 * across)
    image[arm] = (216, 164, 124, 255)
    image[arm & (across < -6)] = (190, 140, 104, 255)
    image[arm & (y > 118)] = (0, 140, 150, 255)
    image[arm & (y > 118) & (across < -6)] = (0, 118, 128, 255)
    return image[::2, ::2].repeat(2, 0).repeat(2, 1)


def _draw_hand(frame: np.ndarray, item: str | None, swing: float) -> None:
    image = _hand(item)
    # The arm swings up to the left and back within a stroke.
    lift = math.sin(swing * math.pi)
    x = WIDTH - image.shape[1] - (20 if item is None else 60) - int(90 * lift)
    y = HEIGHT - image.shape[0] + (10 if item is None else 14) - int(46 * lift)
    paste(frame, image, x, y)


def _draw_other_hand(frame: np.ndarray, stack: Stack | None) -> None:
    """What the other hand holds, seen at the left, and its slot beside the hot bar."""
    if stack is None:
        return
    image = _hand(stack[0])[:, ::-1]
    paste(frame, image, 60, HEIGHT - image.shape[0] + 14)
    left = _BAR_X - 29
    slot = frame[_BAR_Y:, left : left + 22]
    np.right_shift(slot, 2, out=slot)
    slot[[0, 1, -2, -1]] = slot[:, [0, 1, -2, -1]] = 90
    _draw_stack(frame, stack, left + 3, _BAR_Y + 3)
