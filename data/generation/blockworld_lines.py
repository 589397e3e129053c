"""Writing the lines of a contractor recording from a BlockWorld; data/contractor.py reads them (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.recording_options import DEGREES_PER_PIXEL

_KEYS = {
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
_BUTTONS = {"attack": 0, "use": 1, "pickItem": 2}
_CENTRE = 640.0, 360.0
_START_MILLI, _MILLI_PER_TICK = 1_654_041_600_000, 50


class LineWriter:
    """Makes the lines of one recording, one for each frame, with the screen, the place and the action at that frame.

    ``env``: a BlockWorldEnv; call :meth:`before` when a frame is taken and :meth:`after` when its action was played.
    """

    def __init__(self, env: Any) -> None:
        self._env = env
        # What is held in the first line counts as pressed before it: an attack that is new there is read as stuck.
        self._held: tuple[set[str], set[int]] | None = None

    def before(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """The line of the frame as the world is now, and of the MineRL ``action`` that comes next."""
        env, player = self._env, self._env.player
        keys = [f"key.keyboard.{name}" for key, name in _KEYS.items() if action[key]]
        buttons = [number for key, number in _BUTTONS.items() if action[key]]
        held_keys, held_buttons = self._held or (set(keys), set(buttons))
        self._held = set(keys), set(buttons)
        pitch, yaw = (float(angle) for angle in action["camera"])
        x, y = env.mouse if env.gui_open else _CENTRE
        counts = {name: count for name, count in sorted(env.inventory.counts().items()) if count}
        return {
            "mouse": {
                "x": x,
                "y": y,
                "dx": yaw / DEGREES_PER_PIXEL,
                "dy": pitch / DEGREES_PER_PIXEL,
                "scaledX": x - _CENTRE[0],
                "scaledY": y - _CENTRE[1],
                "dwheel": 0.0,
                "buttons": buttons,
                "newButtons": [number for number in buttons if number not in held_buttons],
            },
            "keyboard": {
                "keys": keys,
                "newKeys": [key for key in keys if key not in held_keys],
                "chars": "",
            },
            "isGuiOpen": env.gui_open,
            "isGuiInventory": env.gui_open,
            "hotbar": env.inventory.selected,
            "yaw": player.yaw,
            "pitch": player.pitch,
            "xpos": player.x,
            "ypos": player.y,
            "zpos": player.z,
            "tick": env.ticks,
            "milli": _START_MILLI + _MILLI_PER_TICK * env.ticks,
            "inventory": [{"type": name, "quantity": count} for name, count in counts.items()],
            "serverTick": env.ticks,
            "serverTickDurationMs": 20.0,
            "stats": {f"minecraft.mined:minecraft.{name}": n for name, n in sorted(env.broken.items())},
        }

    def after(self, line: dict[str, Any]) -> None:
        """Complete a line when its action was played: the hot bar's slot is the one that the action chose."""
        line["hotbar"] = self._env.inventory.selected
