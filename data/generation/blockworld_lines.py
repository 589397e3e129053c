"""What a BlockWorld tells for the lines of a contractor recording, which steve1/live/lines.py writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steve1.live import lines


class LineWriter:
    """Makes the lines of one recording, one for each frame, with the screen, the place and the action at that frame.

    ``env``: a BlockWorldEnv; call :meth:`before` when a frame is taken and :meth:`after` when its action was played.
    """

    def __init__(self, env: Any) -> None:
        self._env, self._lines = env, lines.LineWriter()

    def before(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """The line of the frame as the world is now, and of the MineRL ``action`` that comes next."""
        env, player = self._env, self._env.player
        return self._lines.line(
            action,
            env.ticks,
            env.gui_open,
            env.mouse if env.gui_open else lines.CENTRE,
            env.inventory.selected,
            {"yaw": player.yaw, "pitch": player.pitch, "xpos": player.x, "ypos": player.y, "zpos": player.z},
            {name: count for name, count in sorted(env.inventory.counts().items()) if count},
            {f"minecraft.mined:minecraft.{name}": n for name, n in sorted(env.broken.items())},
        )

    def after(self, line: dict[str, Any]) -> None:
        """Complete a line when its action was played: the hot bar's slot is the one that the action chose."""
        line["hotbar"] = self._env.inventory.selected
