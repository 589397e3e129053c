"""The environment: a tick of the game after MineRL 1.0's action, and what is seen after it.

Simple where Minecraft is not: what is broken goes straight into the inventory (only what finds no room there, and
what is thrown away, lies in the world), sand does not fall, water does not flow, nothing hurts, the time of day stands
still. ``use`` places blocks and does nothing else: nothing can be eaten, and no block can be opened, so that sneaking
changes nothing about placing. Tools dig no faster than the hand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from blockworld import VERSION, observation, physics, spaces, window
from blockworld import blocks as b
from blockworld.drawing import screens
from blockworld.drawing.cursor import draw_cursor
from blockworld.drawing.render import Renderer
from blockworld.hands import SWING, Hands
from blockworld.inventory import HOTBAR, Inventory
from blockworld.physics import Hit, Player
from blockworld.spaces import gym
from blockworld.things import Things
from blockworld.world import World


class BlockWorldEnv(gym.Env):
    """A player in a BlockWorld, with MineRL 1.0's interface: 20 ticks a second, one action a tick.

    ``seed``: makes the world, the start and the drops; None takes a new one at every reset.
    ``render_height``: rows that rays are cast for, a divisor of 360; the picture is enlarged by whole pixels
    (120 casts 320x120 rays, each 2 pixels wide and 3 tall).
    ``items``: what the player starts with, ``{item: count}``.

    For players and counters, to be read: ``world``, ``player``, ``inventory``, ``things`` (items that lie in the
    world), ``target``, ``break_progress``, ``broken`` (blocks broken so far by name), ``gui_open``, ``mouse``,
    ``ticks``. The score is always 0 and an episode never ends by itself.

    The same ``version``, seed and actions give the same observations to the bit. What each key of an observation
    tells, and which never change, says ``observation.observe``.

    Raises ValueError for a ``render_height`` that does not divide 360 and for ``items`` that BlockWorld does not know.
    """

    name, version = "blockworld", VERSION
    metadata = {"render.modes": ["rgb_array"], "render_modes": ["rgb_array"]}  # noqa: RUF012
    reward_range = (0.0, 0.0)

    def __init__(
        self, seed: int | None = None, render_height: int = 120, items: Mapping[str, int] | None = None
    ) -> None:
        if not 0 < render_height <= screens.HEIGHT or screens.HEIGHT % render_height:
            raise ValueError(
                f"render_height {render_height} does not divide {screens.HEIGHT}; take 180, 120 or 90"
            )
        unknown = sorted(item for item in items or {} if item not in spaces.ITEMS or item == "air")
        if unknown:
            raise ValueError(f"BlockWorld has no items {', '.join(unknown)}; see blockworld.spaces.ITEMS")
        self.action_space = spaces.action_space()
        self.observation_space = spaces.observation_space()
        self._seed = seed
        self._items = dict(items or {})
        # Whole pixels: as many times as wide as tall, or where the width can't be parted so, a little less.
        times = screens.HEIGHT // render_height
        while screens.WIDTH % times:
            times -= 1
        self._renderer = Renderer(screens.WIDTH // times, render_height)
        self._world: World | None = None
        self._frame: np.ndarray | None = None  # of this tick, if it was drawn already

    # What MineRL's interface asks for

    def seed(self, seed: int | None = None) -> list[int | None]:
        """The world of the coming resets."""
        self._seed = seed
        return [seed]

    def reset(self) -> dict[str, Any]:
        """A new episode; with a seed always the same world from the same start. Returns the first observation."""
        seed = self._seed
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._world = World(int(seed))
        self.player = Player()
        self.player.x, self.player.y, self.player.z = self._world.spawn()
        self.player.yaw = float(np.random.default_rng([int(seed), 4]).uniform(-180, 180))
        self.player.on_ground = True
        self.inventory = Inventory()
        for item, count in self._items.items():
            self.inventory.add(item, count)
        self.things = Things(self._world)
        drops = np.random.default_rng([int(seed), 3])
        self.hands = Hands(self._world, self.player, self.inventory, self.things, drops)
        self.ticks = 0
        self.gui_open = False
        self.mouse = window.CENTRE
        self._air = observation.FULL_AIR
        self._last: dict[str, int] = {}
        self._frame = None
        return self.observe()

    def step(self, action: Mapping[str, Any]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """One tick. ``action``: MineRL's keys, those left out doing nothing.

        Returns (observation, 0.0, False, info); info says ``isGuiOpen``, ``isGuiInventory``, ``inWater``,
        ``hitBlock`` (the name of the block that is being broken, or None) and ``tick``.
        Raises ValueError for an action outside of the action space, and where there is no world (call ``reset``).
        """
        keys, pitch, yaw = spaces.checked_action(action)
        world = self.world
        fresh = {key for key, down in keys.items() if down and not self._last.get(key)}
        self._last = keys
        screen = self.gui_open
        if screen:
            self.mouse = window.moved(self.mouse, pitch, yaw)
            window.press(
                self.inventory,
                self.mouse,
                fresh,
                bool(keys["sneak"]),
                bool(keys["sprint"]),
                self.hands.throw,
            )
        else:
            physics.turn(self.player, pitch, yaw)
            self._hold(fresh, bool(keys["sprint"]))
        if "inventory" in fresh or (screen and "ESC" in fresh):
            self._toggle_inventory()
        walking = not self.gui_open
        self.hands.attack(bool(keys["attack"]) and walking and not screen)
        self.hands.use(bool(keys["use"]) and walking and not screen, "use" in fresh)
        physics.tick(
            self.player,
            world.blocks,
            (keys["forward"] - keys["back"]) * walking,
            (keys["left"] - keys["right"]) * walking,
            bool(keys["jump"] and walking),
            bool(keys["sneak"] and walking),
            bool(keys["sprint"] and walking),
        )
        self.hands.picked.update(self.things.tick(self.player, self.inventory))
        self._air = observation.breathe(self._air, self.player.head_in_water)
        self.ticks += 1
        self._frame = None
        dug = self.hands.dug
        info = {
            "isGuiOpen": self.gui_open,
            "isGuiInventory": self.gui_open,
            "inWater": bool(self.player.in_water),
            "hitBlock": b.BLOCKS[world.block_at(*dug[0])].name if dug else None,
            "tick": self.ticks,
        }
        return self.observe(), 0.0, False, info

    def render(self, mode: str = "rgb_array") -> np.ndarray:
        """The picture of the last observation, uint8 [360, 640, 3]."""
        return self.render_pov()

    def close(self) -> None:
        """Let go of the world; ``reset`` makes another."""
        self._world = self._frame = None

    # For players, recorders and counters

    @property
    def world(self) -> World:
        """The world of this episode."""
        if self._world is None:
            raise ValueError("there is no world yet; call reset() first")
        return self._world

    @property
    def target(self) -> Hit | None:
        """The block under the cross-hair within 4.5 blocks, or None."""
        return self.hands.target

    @property
    def broken(self) -> Counter[str]:
        """The blocks broken so far, by name."""
        return self.hands.broken

    @property
    def break_progress(self) -> float:
        """How much of the target is broken, 0 to 1."""
        if self.hands.dug is None:
            return 0.0
        cell, ticks = self.hands.dug
        return ticks / max(b.BLOCKS[self.world.block_at(*cell)].ticks, 1)

    def nearest_tree(self, within: float = 48.0) -> tuple[int, int, int] | None:
        """The lowest log of the nearest trunk, (x, y, z), or None."""
        cell = self.world.nearest(b.LOGS, self.player.eye, within)
        if cell is None:
            return None
        x, y, z = cell
        while self.world.block_at(x, y - 1, z) in b.LOGS:
            y -= 1
        return x, y, z

    def nearest_water(self, within: float = 48.0) -> tuple[int, int, int] | None:
        """The nearest cell of water, or None."""
        return self.world.nearest((b.WATER,), self.player.eye, within)

    def nearest_tall_grass(self, within: float = 48.0) -> tuple[int, int, int] | None:
        """The nearest cell of tall grass, or None."""
        return self.world.nearest((b.TALL_GRASS,), self.player.eye, within)

    def angles_to(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Yaw and pitch (degrees) that put the cross-hair on a point; a cell's middle is its corner + 0.5."""
        ex, ey, ez = self.player.eye
        dx, dy, dz = x - ex, y - ey, z - ez
        return math.degrees(math.atan2(-dx, dz)), math.degrees(-math.atan2(dy, math.hypot(dx, dz)))

    def set_view(self, yaw: float, pitch: float) -> None:
        """Turn the player's head at once, outside of any action."""
        self.player.yaw = self.player.pitch = 0.0
        physics.turn(self.player, pitch, yaw)
        self._frame = None

    def teleport(self, x: float, y: float, z: float) -> None:
        """Put the player's feet at a place, at rest, outside of any action."""
        player = self.player
        player.x, player.y, player.z = float(x), float(y), float(z)
        player.vx = player.vy = player.vz = 0.0
        player.on_ground = False
        self._frame = None

    def render_pov(self, cursor: bool = True) -> np.ndarray:
        """The picture as it is now, uint8 [360, 640, 3]; ``cursor`` False leaves the mouse out, as recordings do."""
        if self._frame is None:
            self._frame = self._draw(self.world)
        frame = self._frame.copy()
        if cursor and self.gui_open:
            x, y = window.pixel(self.mouse)
            draw_cursor(frame, int(x), int(y))
        return frame

    def observe(self) -> dict[str, Any]:
        """The observation as it is now (after ``set_view`` or ``teleport``, for example)."""
        return observation.observe(
            self.world, self.player, self.inventory, self.hands, self._air, self.render_pov()
        )

    # The parts of a tick

    def _hold(self, fresh: set[str], whole: bool) -> None:
        """The keys that choose what the hands hold; ``whole``: drop throws away all of it."""
        for slot in range(HOTBAR):
            if f"hotbar.{slot + 1}" in fresh:
                self.inventory.selected = slot
        if "pickItem" in fresh:
            self.hands.pick()
        if "swapHands" in fresh:
            self.hands.swap()
        if "drop" in fresh:
            self.hands.drop(whole)

    def _toggle_inventory(self) -> None:
        self.gui_open = not self.gui_open
        self.mouse = window.CENTRE
        if not self.gui_open:
            for item, count in self.inventory.put_back():
                self.hands.throw(item, count)

    def _draw(self, world: World) -> np.ndarray:
        player, target = self.player, self.target if not self.gui_open else None
        small = self._renderer.draw(
            world,
            player.eye,
            player.yaw,
            player.pitch,
            self.ticks,
            target.cell if target else None,
            self.break_progress if target else 0.0,
            screens.DIM if self.gui_open else 1.0,
            self.things,
        )
        # By whole pixels: nearest is exact repetition here.
        frame = cv2.resize(small, (screens.WIDTH, screens.HEIGHT), interpolation=cv2.INTER_NEAREST)
        if self.gui_open:
            screens.draw_inventory(frame, self.inventory, *window.pixel(self.mouse))
        else:
            screens.draw_hud(frame, self.inventory, self.hands.stroke / SWING, self._air)
        return frame
