"""What mouse and keys do while the inventory screen is open, as in Minecraft. Drags and double clicks do nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection

from blockworld.drawing import screens
from blockworld.inventory import HOTBAR, OFFHAND, Inventory

# The mouse counts in pixels of a 1280x720 window, as in the contractors' recordings; so many to a degree.
MOUSE_WIDTH, MOUSE_HEIGHT = 1280, 720
MOUSE_PER_DEGREE = 2400 / 360
CENTRE = MOUSE_WIDTH / 2, MOUSE_HEIGHT / 2


def moved(mouse: tuple[float, float], pitch: float, yaw: float) -> tuple[float, float]:
    """Where the cursor is after a camera move in degrees; it stays in the window."""
    x, y = mouse[0] + yaw * MOUSE_PER_DEGREE, mouse[1] + pitch * MOUSE_PER_DEGREE
    return min(max(x, 0.0), MOUSE_WIDTH - 1.0), min(max(y, 0.0), MOUSE_HEIGHT - 1.0)


def pixel(mouse: tuple[float, float]) -> tuple[float, float]:
    """The place (x, y) of the cursor in the 640x360 frame."""
    return mouse[0] * screens.HEIGHT / MOUSE_HEIGHT, mouse[1] * screens.HEIGHT / MOUSE_HEIGHT


def press(
    inventory: Inventory,
    mouse: tuple[float, float],
    fresh: Collection[str],
    shift: bool,
    control: bool,
    throw: Callable[[str, int], None],
) -> None:
    """What the keys and buttons that went down in this tick (``fresh``) do with the slot under the cursor.

    attack and use: the left and the right button (with ``shift`` the stack goes to the other part of the inventory;
    outside of the panel what is carried is thrown away); hotbar.N and swapHands: exchange with that slot, drop:
    throw one away (with ``control`` all), these three while the cursor carries nothing. ``throw`` takes what leaves.
    """
    x, y = pixel(mouse)
    slot = screens.slot_at(x, y)
    for button in ("attack", "use"):
        if button not in fresh:
            continue
        if slot is not None:
            if shift:
                inventory.quick_move(slot)
            else:
                inventory.click(slot, right=button == "use")
        elif inventory.held and not screens.in_panel(x, y):
            item, count = inventory.held
            gone = count if button == "attack" else 1
            inventory.held = (item, count - gone) if count > gone else None
            throw(item, gone)
    if slot is None or inventory.held:
        return
    for number in range(HOTBAR):
        if f"hotbar.{number + 1}" in fresh:
            inventory.exchange(slot, number)
    if "swapHands" in fresh:
        inventory.exchange(slot, OFFHAND)
    if "drop" in fresh:
        stack = inventory.take(slot, 64 if control else 1)
        if stack:
            throw(*stack)
