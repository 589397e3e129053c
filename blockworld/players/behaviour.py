"""What scripted players share: how an action is made, how a view is turned, a place found, and a player disturbed.

Camera moves are the angles of the policy's own bins, taken greedily towards what is looked at, so that the players can
be imitated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from blockworld import blocks as b
from blockworld.env import BlockWorldEnv
from blockworld.players import walking
from steve1.vpt.actions import BIN_ANGLES, ENV_KEYS

Action = dict[str, Any]
Rng = np.random.Generator


def action(*keys: str, pitch: float = 0.0, yaw: float = 0.0) -> Action:
    """A MineRL action with these keys down and this camera move in degrees."""
    pressed: Action = dict.fromkeys(ENV_KEYS, 0) | dict.fromkeys(keys, 1)
    pressed["camera"] = np.array([pitch, yaw])
    return pressed


def towards(error: float, limit: float) -> float:
    """The bin angle of at most ``limit`` degrees that leaves the least of ``error``."""
    angles = BIN_ANGLES[abs(BIN_ANGLES) <= limit + 1e-6]
    return float(angles[abs(angles - error).argmin()])


def turn_between(current: float, wanted: float) -> float:
    """Degrees to turn from one yaw to another, -180..180."""
    return (wanted - current + 180.0) % 360.0 - 180.0


class Behaviour:
    """A player that shows one behaviour. Call :meth:`begin` once, then :meth:`act` before each tick.

    ``frames``: shortest and longest showing; ``disturbed``: chance a tick that the director disturbs the view,
    unless ``steady`` says otherwise; ``shown``: whether the behaviour can be seen by now.
    """

    frames = (50, 90)
    disturbed = 1 / 28

    def __init__(self, env: BlockWorldEnv, rng: Rng) -> None:
        self.env, self.rng = env, rng
        self.pace = 5.9 if rng.random() < 0.6 else 3.3  # degrees a tick that the camera turns at most
        self.shown = False
        self._blocked = 0

    @property
    def steady(self) -> float:
        """The chance that the director may disturb the view before this tick."""
        return self.disturbed

    @property
    def bearing(self) -> float | None:
        """The yaw at which what the player goes to lies; None where it goes to nothing that has a place."""
        return None

    def begin(self) -> None:
        """Find a place for it; outside of any action the player may be moved there."""

    def disturb(self) -> None:
        """What the world does to the player outside of any action: turn its head.

        As far up as the sky's player looks, in every behaviour: else to be looking up would belong to that one.
        """
        self.env.set_view(self.env.player.yaw + self.rng.uniform(-60, 60), self.rng.uniform(-88, 80))

    def act(self) -> Action:
        """The action of this tick."""
        raise NotImplementedError

    # What they share

    def look(self, yaw: float, pitch: float) -> dict[str, float]:
        """This tick's camera move towards a view."""
        player = self.env.player
        return {
            "pitch": towards(pitch - player.pitch, self.pace),
            "yaw": towards(turn_between(player.yaw, yaw), self.pace),
        }

    def step(self) -> tuple[str, ...]:
        """Keys for walking on: a jump where something is in the way."""
        self._blocked = self._blocked + 1 if self.env.player.blocked else 0
        return ("forward", "jump") if self.env.player.blocked else ("forward",)

    def move_to(self, suits: Any, cells: np.ndarray, distances: tuple[float, float]) -> None:
        """Stay where ``suits`` holds, else go to such a place near one of ``cells``, looking anywhere."""
        if self.env.player.on_ground and suits():
            return
        walking.place_near(self.env, self.rng, cells, distances, suits)
        self.env.set_view(self.rng.uniform(-180, 180), self.rng.uniform(-10, 30))

    def in_the_open(self) -> bool:
        """Sky above, dry ground, and somewhere to go."""
        env = self.env
        eye = tuple(math.floor(value) for value in env.player.eye)
        return (
            env.world.light_at(*eye) == 15
            and not env.player.in_water
            and max(walking.walkable(env, yaw, 5.0) for yaw in range(0, 360, 45)) >= 5.0
        )

    def ground(self) -> np.ndarray:
        """Cells of grass-covered ground all over the world."""
        return walking.cells_of(self.env, (b.GRASS_BLOCK,))
