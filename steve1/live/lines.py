"""Writing an action and its place as a line of OpenAI's recorder (docs/formats.md); data/recorder_lines.py reads them.

Knows of no world: whoever records says what the world tells. The standard library alone is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEGREES_PER_PIXEL = 360 / 2400  # OpenAI's recorder
WINDOW = 1280, 720  # OpenAI's recorder; mouse.x and mouse.y are pixels of this window
CENTRE = WINDOW[0] / 2, WINDOW[1] / 2
# MineRL's keys as the recorder calls them, each after "key.keyboard.", and as numbers of the mouse's buttons.
KEYBOARD = {
    "ESC": "escape",
    "back": "s",
    "drop": "q",
    "forward": "w",
    **{f"hotbar.{n}": str(n) for n in range(1, 10)},
    "inventory": "e",
    "jump": "space",
    "left": "a",
    "right": "d",
    "sneak": "left.shift",
    "sprint": "left.control",
    "swapHands": "f",
}
MOUSE_BUTTONS = {"attack": 0, "use": 1, "pickItem": 2}
_START_MILLI, _MILLI_PER_TICK = 1_654_041_600_000, 50


class LineWriter:
    """Makes the lines of one recording, one for each tick: what was seen then, and the action that came of it."""

    def __init__(self) -> None:
        # What is held in the first line counts as pressed before it: an attack that is new there is read as stuck.
        self._held: tuple[set[str], set[int]] | None = None

    def line(
        self,
        action: Mapping[str, Any],
        tick: int,
        gui_open: bool,
        mouse: tuple[float, float],
        hotbar: int,
        place: Mapping[str, float],
        inventory: Mapping[str, int],
        stats: Mapping[str, int],
    ) -> dict[str, Any]:
        """The line of a tick.

        Args:
            action: MineRL's, all 23 keys and ``camera`` [pitch, yaw] in degrees.
            tick: of the recording's clock, one more in each line.
            mouse: the cursor's place in the window of 1280x720.
            hotbar: the slot that is chosen when the action has been played, 0 to 8.
            place: ``xpos ypos zpos yaw pitch``, as far as they are known.
            inventory, stats: how many there are of what.
        """
        keys = [f"key.keyboard.{name}" for key, name in KEYBOARD.items() if action[key]]
        buttons = [number for key, number in MOUSE_BUTTONS.items() if action[key]]
        held_keys, held_buttons = self._held or (set(keys), set(buttons))
        self._held = set(keys), set(buttons)
        pitch, yaw = (float(angle) for angle in action["camera"])
        x, y = mouse
        return {
            "mouse": {
                "x": x,
                "y": y,
                "dx": yaw / DEGREES_PER_PIXEL,
                "dy": pitch / DEGREES_PER_PIXEL,
                "scaledX": x - CENTRE[0],
                "scaledY": y - CENTRE[1],
                "dwheel": 0.0,
                "buttons": buttons,
                "newButtons": [number for number in buttons if number not in held_buttons],
            },
            "keyboard": {
                "keys": keys,
                "newKeys": [key for key in keys if key not in held_keys],
                "chars": "",
            },
            "isGuiOpen": gui_open,
            "isGuiInventory": gui_open,
            "hotbar": hotbar,
            **{name: place[name] for name in ("yaw", "pitch", "xpos", "ypos", "zpos") if name in place},
            "tick": tick,
            "milli": _START_MILLI + _MILLI_PER_TICK * tick,
            "inventory": [{"type": name, "quantity": count} for name, count in inventory.items()],
            "serverTick": tick,
            "serverTickDurationMs": 20.0,
            "stats": dict(stats),
        }
